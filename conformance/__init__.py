"""The conformance kit: which of the protocol's rules a device under development keeps.

`trace` is what was said, `story` what that means, `judgement` and the modules named after what
they judge (`frames`, `flash`, `connection`, `programme`) are pure functions of it. `drill` plays
the server and provokes what a good day does not show; `listener` is MQTT; `report` the answer.
"""
