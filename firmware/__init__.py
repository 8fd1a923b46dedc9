"""The device's side of the protocol, of which the simulator and the gateway are made.

`flash` keeps each frame until the server's acknowledgement names it. `device` is what a device says
and hears on one connection after another. `programme` is the version that it holds, and its limits.
`broker_link` is MQTT, `wire` the bytes.

It stands above the core, whose messages it speaks, and below those who are devices.
"""
