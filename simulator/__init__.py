"""Simulated stimulators: people, sessions, flash stores, drifting clocks and bad links.

From the inside out: `physiology` is what sensors read on a person, `stimulator` a session second by
second, `recorder` the columns of its frames, `life` a device's sessions and boots. All of that is
made from a seed alone and knows no network. `flash`, `link` and `device` are the device's side of
the protocol. `client` is MQTT. `fleet` runs many devices in a thread. `past` writes months of
sessions straight through the core. `faults` holds the profiles of faults.

`clock` keeps the simulated time. At speed 1 it is the real time. At a higher speed a device first
lives a past that ends at the start of the simulation, and sends it as a backlog of earlier boots.
So no stored time lies in the future.
"""
