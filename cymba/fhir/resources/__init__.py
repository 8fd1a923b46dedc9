"""One module for each resource type: what it is made of, and how."""
