"""One table for all limits: who is known where they sign in stays known, and old code runs."""

from sqlalchemy import Engine, text

from ops import schema


def test_what_was_counted_is_counted_on(empty_engine: Engine) -> None:
    schema.upgrade(empty_engine)
    schema.downgrade(empty_engine, "0020")
    before = text(
        "INSERT INTO sign_in_bucket (key, level, updated_at, succeeded_at)"
        " VALUES (:key, 2.5, '2026-03-01T12:00:00Z', '2026-02-01T12:00:00Z')"
    )
    with empty_engine.begin() as connection:
        connection.execute(before, {"key": b"known"})
    schema.upgrade(empty_engine)
    with empty_engine.begin() as connection:
        (counted,) = connection.execute(text("TABLE rate_limit"))
        (kept,) = connection.execute(text("TABLE sign_in_bucket"))
        assert counted == kept
        # What the version before writes while it still runs.
        connection.execute(before, {"key": b"another"})
        connection.execute(text("INSERT INTO claim_guesses VALUES ('x', 1, now())"))
