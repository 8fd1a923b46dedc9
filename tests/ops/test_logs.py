"""A log line about a defect says where it was, and nothing about the data."""

import io
import json
import logging

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from cymba.settings import Settings
from ops import logs


@pytest.fixture
def told():
    """Gives what a log in a format says of an exception."""

    def tell(log_format, error):
        configuration = logs.dict_config(Settings(log_format=log_format))
        formatter = configuration["formatters"]["line"]
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        make = formatter.pop("()")
        handler.setFormatter(make(**formatter))
        logger = logging.Logger("of one test")
        logger.addHandler(handler)
        logger.error("it failed", exc_info=error)
        return stream.getvalue()

    return tell


def fail(sleep):
    note = f"I could {sleep} sleep"
    raise RuntimeError("no such thing", len(note))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_holds_no_local_variables(told, log_format):
    with pytest.raises(RuntimeError) as caught:
        fail("not")
    line = told(log_format, caught.value)
    assert "no such thing" in line
    assert "test_logs" in line
    assert "I could not sleep" not in line


def test_a_row_that_the_database_refuses_is_not_quoted(told, engine):
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        connection.execute(text("INSERT INTO account (id, email) VALUES (NULL, 'ada@example.org')"))
    assert "ada@example.org" in str(caught.value)
    line = told("json", caught.value)
    assert "ada@example.org" not in line
    assert "null value in column" in json.loads(line)["exception"][0]["exc_value"]
