"""Simulated stimulators: people, sessions, flash stores, drifting clocks and bad links.

From the inside out: `physiology` is what sensors read on a person, `stimulator` a session second
by second, `recorder` its frames' columns, `life` a device's sessions and boots. All of that is
made from a seed alone and knows no network. `flash`, `link` and `device` are the protocol from
the device's side; `client` is MQTT; `fleet` runs many devices in a thread, and `past` writes
months of sessions straight through the core. `faults` says what goes wrong, and how often.

`clock` says what time it is in there: at speed 1 the simulated world is the real one. At a higher
speed a device first lives a past that ends at the moment of starting, and sends it as a backlog of
earlier boots; so no stored time lies in the future or is untrue of that world.
"""
