"""CPU time of making a page of 50 sessions into JSON: four ways over the same rows.

    python -m benchmarks.bench_writing [--pages 400] [--rounds 7]

The ways take turns, and the fastest round of each counts: it was disturbed least.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks.bench_api import PAGE, session_row
from cymba.stimulation.session.shown import NAMES, recorded_shown
from service.http.answers import dumps
from service.http.rounding import LARGEST, SCALES
from service.shapes.sessions import SessionSchema, session_shown

GOAL = 0.25


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """The builder by hand: the row's own dict, its numbers rounded in place by their names."""
    for name, value in row.items():
        if isinstance(value, float) and name in SCALES and -LARGEST < value < LARGEST:
            row[name] = round(value * SCALES[name]) / SCALES[name]
    return row


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pages", type=int, default=400)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    rows = [tuple(session_row(number).get(name) for name in NAMES) for number in range(PAGE)]

    def page() -> list[dict[str, Any]]:
        return [recorded_shown(dict(zip(NAMES, row, strict=True))) for row in rows]

    schema = SessionSchema(many=True)
    ready = [session_shown(row) for row in page()]
    ways: dict[str, Callable[[], object]] = {
        "marshmallow's dump": lambda: orjson.dumps(schema.dump(page())),
        "compiled writer": lambda: dumps([session_shown(row) for row in page()]),
        "rounded in place": lambda: dumps([rounded(row) for row in page()]),
        "orjson alone": lambda: dumps(ready),
    }
    fastest = dict.fromkeys(ways, float("inf"))
    for _ in range(given.rounds):
        for name, way in ways.items():
            began = time.thread_time()
            for _ in range(given.pages):
                way()
            fastest[name] = min(fastest[name], (time.thread_time() - began) / given.pages)
    floor = fastest["marshmallow's dump"]
    print(f"a page of {PAGE} sessions, from the database's rows to JSON")
    print(f"{'':20} {'CPU, µs':>9} {'of dump':>9}")
    for name, took_s in fastest.items():
        print(f"{name:20} {took_s * 1e6:9,.0f} {took_s / floor:9.2f}")
    ratio = fastest["compiled writer"] / floor
    print(f"goal: at most {GOAL} of the dump: {'reached' if ratio <= GOAL else 'NOT reached'}")


if __name__ == "__main__":
    main()
