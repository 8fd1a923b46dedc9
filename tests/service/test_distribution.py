"""On tables that lie in parts by the keys of several nodes, a statement asks one part of each."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from cymba.database import make_engine, reading
from cymba.settings import Settings
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.fast_path import append
from ops import distribution
from ops.postgres import EmbeddedPostgres
from tests.kept_database import new_database
from tests.partitioned import AskedParts, Partitions
from tests.service.bodies import FAINTED, operation
from tests.service.conftest import ApiUser, Worn
from workers.session_worker import SessionWorker

# By what they contain, the statements that ask every part, and why.
OF_ALL_PARTS = {
    "stimulation_session.account_id =": "a person's sessions lie with their devices",
    "s.account_id =": "ditto",
    "FROM session_sums AS s": "sums of several sessions, each by its key",
    "retiming.asked": "the session worker looks for work",
    "RECURSIVE step": "ditto",
}
# What answers with something else than a person's rows, or with all of them at once.
NOT_HOT = ("/v1/account/export", "/v1/operator/", "/v1/report", "/v1/insights", "/v1/openapi.json")


@pytest.fixture(scope="module")
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The tables are laid by a run that breaks off again and again."""
    with new_database(postgres_server.url) as url:
        engine, parts = make_engine(url), Partitions()
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO rate_limit VALUES ('kept', 1, now())"))
        assert distribution.faults(engine, parts)
        steps: list[str] = []

        def break_off(what: str) -> None:
            steps.append(what)
            if len(steps) % 60 == 0:
                raise KeyboardInterrupt

        while True:
            try:
                distribution.distribute(engine, parts, on_step=break_off)
            except KeyboardInterrupt:
                continue
            break
        assert len(steps) > 60
        engine.dispose()
        yield url


def test_tables_that_were_laid_lie_as_they_should(engine: Engine) -> None:
    assert distribution.faults(engine, Partitions()) == []
    with engine.begin() as connection:
        assert connection.scalar(text("DELETE FROM rate_limit RETURNING level")) == 1  # it was kept
    with engine.connect() as connection:  # rolled back
        connection.execute(text("ALTER TABLE quarantine DROP CONSTRAINT pk_quarantine"))
        connection.execute(
            text(
                "ALTER TABLE remark ADD CONSTRAINT far FOREIGN KEY (device_id)"
                " REFERENCES device (id)"
            )
        )
        connection.execute(text("DROP TABLE frame"))
        connection.execute(text("CREATE TABLE frame (device_id text, store bigint, seq bigint)"))
        found = distribution.faults_seen(connection, Partitions())
    assert found == [
        "frame: lies on one node",
        "frame: pk_frame does not hold across nodes",
        "quarantine: pk_quarantine does not hold across nodes",
        "remark: far crosses nodes",
    ]


def test_each_statement_asks_one_part_of_each_table(
    app: Flask,
    engine: Engine,
    person: ApiUser,
    wear: Callable[..., Worn],
) -> None:
    asked, client = AskedParts(), app.test_client()
    with asked.of(engine):
        worn = wear(person)
        with reading(engine) as line:
            frame = worn.samples_frame(60)
            frame_alone = json.dumps(frame).encode()  # with no news of its clock
            delivery = Delivery(worn.device_id, frame_alone, worn.now, True)
            assert append(line, [delivery], AnchorCache()).stored == [delivery]
        worn.samples(60).sum_up().samples(60).end().sum_up()
        worker = SessionWorker(engine, Settings(), clock=lambda: worn.now + timedelta(days=2))
        assert worker.run_once().failed == []
        push = {"operations": [operation("diary-entry", fields=FAINTED)]}
        assert client.post("/v1/sync", json=push, headers=person.headers).status_code == 200
        for path in paths(app, session_id=worn.id, device_id=worn.device_id):
            answer = client.get(path, headers=person.headers)
            assert answer.status_code in {200, 401}, path
    far = {
        " ".join(statement.split()): {name: len(found) for name, found in tables.items()}
        for statement, tables in asked.parts.items()
        if any(len(found) > 1 for found in tables.values())
    }
    unknown = {
        statement: tables
        for statement, tables in far.items()
        if not any(what in statement for what in OF_ALL_PARTS)
    }
    assert unknown == {}
    assert [what for what in OF_ALL_PARTS if not any(what in one for one in far)] == []
    assert len(asked.parts) > 80


def test_what_no_reference_takes_along_is_erased_all_the_same(
    app: Flask, engine: Engine, person: ApiUser, wear: Callable[..., Worn]
) -> None:
    wear(person).samples(60).sum_up()
    kept = text("SELECT count(*) FROM session_sums")
    with engine.connect() as connection:
        assert connection.scalar(kept) == 1
    headers = {**person.headers, "If-Match": "*"}
    assert app.test_client().delete("/v1/account", headers=headers).status_code == 200
    with engine.connect() as connection:
        assert connection.scalar(kept) == 0


def paths(app: Flask, **given: str) -> Iterator[str]:
    """Of everything that a person can read."""
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.rule.startswith(NOT_HOT):
            continue
        if (
            rule.rule.startswith("/v1")
            and rule.arguments <= given.keys()
            and "live" not in rule.rule
        ):
            yield app.url_map.bind("").build(rule.endpoint, {k: given[k] for k in rule.arguments})
