"""A consumer stimulator at a desk: its sessions, recorded as a device of the protocol.

`radio` reaches the stimulator. `desk` is the person's: it starts and stops on their keys alone, and
writes what happens into the `store`. `network` sends what the store holds, and puts the limits that
the server set into it.

The desk and the network meet in the store and nowhere else. `network` imports neither `desk` nor
`radio`, so nothing that arrives can start, change or stop anything; `import-linter` holds that.
"""
