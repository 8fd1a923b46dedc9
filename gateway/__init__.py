"""A consumer stimulator at a desk: `radio` reaches it, `store` keeps its sessions' frames."""
