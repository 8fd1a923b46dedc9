"""The conformance kit: it shows which rules of the protocol a device under development keeps.

`trace` holds the messages, and `story` interprets them. `judgement` and the modules named after
what they judge (`frames`, `flash`, `connection`, `programme`) are pure functions of the story.
`drill` plays the server, and provokes situations that rarely occur. `largest` makes a frame that a
broker has to carry. `listener` is MQTT, and `report` the result.
"""
