"""The person's side: their keys, the session that runs, and its record. It knows no network."""
