"""A report as a PDF, set by another process, so that no report can hold or bring down this one."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time

import orjson

from cymba.insights.pictures import THEMES, Form
from cymba.reports.document import PrintedReport

LONGEST_S = 20.0
MOST_BYTES = 20_000_000
VERSION = 1  # +1 with every change of what the report looks like
PICTURES = Form(width=900)
_KEPT = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "TMPDIR",
)  # of the environment: no secret goes along


class NotSetError(Exception):
    """The report could not be set within its limits."""


def typeset(document: PrintedReport, *, made_on: date) -> bytes:
    """The same document gives the same bytes.

    Raises:
        NotSetError: it took too long or too much, or the process ended in an error.
    """
    theme = THEMES["light"]
    given = {
        "data": document.data,
        "pictures": {
            name: picture.svg(theme, PICTURES).decode()
            for name, picture in document.pictures.items()
        },
        "timestamp": int(datetime.combine(made_on, time(), UTC).timestamp()),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cymba.reports.typesetter"],
            input=orjson.dumps(given),
            capture_output=True,
            timeout=LONGEST_S,
            check=False,
            env={name: os.environ[name] for name in _KEPT if name in os.environ}
            | {"RAYON_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise NotSetError("it took too long") from None
    if done.returncode:
        raise NotSetError(f"the typesetter ended with {done.returncode}: {_last_line(done.stderr)}")
    if len(done.stdout) > MOST_BYTES:
        raise NotSetError("it is too large")
    return done.stdout


def _last_line(errors: bytes) -> str:
    """Of a traceback: what went wrong. It may quote the person, so it is cut to a kind."""
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1].partition(":")[0][:100] if lines else "without a word"
