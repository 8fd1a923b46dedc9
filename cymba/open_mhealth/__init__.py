"""What a person's record holds of heart rate, RR intervals and sleep, as data points of IEEE 1752.1
and Open mHealth, for the archive.

`points` makes a data point, `mappings` says what becomes one, and `record` reads the rows.
"""
