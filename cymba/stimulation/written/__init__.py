"""Sessions that a phone or a person writes down, and a person's remarks.

`sessions` and `remarks` say what is valid. `grouping` decides which records are of one session, and
`witnesses` stores that in `shown_with`. `cymba.stimulation.session.shown` shows them as one.
"""
