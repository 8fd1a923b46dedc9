"""Sends the store's frames to the server, and keeps in the store the limits that the server sets.

It imports neither the desk nor the radio: nothing that arrives reaches the stimulator.
"""
