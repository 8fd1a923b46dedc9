"""The device's side of the protocol, shared by the simulator and the gateway.

`flash` keeps each frame until the server's acknowledgement names it. `device` is what a device says
and hears on one connection after another. `programme` is the version that it holds, and its limits.
`brokers` is where it connects to, `broker_link` is MQTT, `wire` the bytes.

It imports the core, whose messages it speaks. The simulator and the gateway import it.
"""
