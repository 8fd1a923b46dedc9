"""What a person writes beside a session or a diary entry."""

MAX_NOTE = 4_000  # characters
