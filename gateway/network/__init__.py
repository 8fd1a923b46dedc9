"""What the store holds goes to the server, and the limits that it sets into the store.

It imports neither the desk nor the radio: nothing that arrives reaches the stimulator.
"""
