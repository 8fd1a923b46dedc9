"""A person's record as FHIR R4, for reading only.

`resources` holds one module for each resource type: its mapping, as tables where there is a list.
`record` reads the rows that they are made of, and `search` pages through what becomes of them.
"""
