"""What reaches a stimulator: the radio, and each kind's bytes. Nothing here knows the network."""
