"""No number in any answer is one that nobody measured: whatever a device sends that its model
cannot know, its person sees what they would see of a device that sends only what it knows."""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import msgspec
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from cymba.accounts.audit import Actor
from cymba.database import UnitOfWork
from cymba.devices.catalogue import add_model
from cymba.devices.charge import Pulse
from cymba.devices.models import Model, Reports
from cymba.insights.exposures import exposures_of
from cymba.insights.inputs import session_facts
from cymba.rights.export import export
from cymba.stimulation.archive.reading import load_frames
from cymba.stimulation.wire.messages import SamplesFrame
from tests.service.conftest import MORNING, ApiUser, Worn

KINDS = {
    f"of_{current}_{frequency}_{width}": msgspec.convert(
        {"current": current, "frequency": frequency, "pulse_width": width}, Reports
    )
    for current, frequency, width in product(
        ("known", "by_level", "unknown"), ("known", "unknown"), ("known", "unknown")
    )
}
PROGRAMME = {
    "site": "neck",
    "side": "left",
    "duration_s": 1800,
    "frequency_hz": 25.0,
    "pulse_width_us": 250,
    "amplitude_ua": 1500,
    "native_level": 4,
    "ramp_ua_per_s": 500,
    "sensory_threshold_ua": 1000,
}
COLUMNS = {
    "amplitude_ua": [1500] * 30,
    "amplitude_delivered_ua": [1400] * 30,
    "native_level": [4] * 30,
    "charge_uc": list(range(0, 300, 10)),
    "impedance_ohm": [3000] * 30,
    "heart_rate_bpm": [70] * 30,
}
DETAIL = {"amplitude_ua": 1500, "native_level": 4, "by": "person"}
SHEETS = ("sessions.csv", "insights.csv", "tables/stimulation_session.jsonl")


def cannot_know(reports: Reports) -> set[str]:
    """§12 of the protocol's page."""
    names: set[str] = set()
    if reports.current != "known":
        names |= {"amplitude_ua", "amplitude_delivered_ua", "charge_uc"}
        names |= {"ramp_ua_per_s", "sensory_threshold_ua"}
    if reports.current == "unknown":
        names.add("native_level")
    if reports.frequency == "unknown":
        names.add("frequency_hz")
    if reports.pulse_width == "unknown":
        names.add("pulse_width_us")
    return names


class Owner:
    """Somebody with a device of each kind, each of which recorded a session."""

    def __init__(self, engine: Engine, person: ApiUser, devices: dict[str, str]) -> None:
        self.engine, self.person, self.devices = engine, person, devices
        self.worn: dict[str, Worn] = {}

    def wear(self, *, makes_up: bool) -> None:
        flash: Counter[str] = Counter()
        for day, (kind, device_id) in enumerate(self.devices.items()):
            unknown = set() if makes_up else cannot_know(KINDS[kind])
            worn = Worn(self.engine, device_id, MORNING + timedelta(days=day), flash)
            self.worn[kind] = worn
            worn.send(worn.frame("start", programme=_but(PROGRAMME, unknown)))
            worn.samples(30, **_but(COLUMNS, unknown))
            worn.send(
                worn.frame("event", event={"name": "titrated", "detail": _but(DETAIL, unknown)})
            )
            worn.end()
        worn.sum_up()

    def plain(self, text: str) -> str:
        """With names in place of ids: all that may differ between two owners."""
        for kind, worn in self.worn.items():
            for id_, name in ((worn.id, "id"), (str(worn.sid), "sid"), (worn.device_id, "device")):
                text = text.replace(id_, f"{name} {kind}")
        return text.replace(str(self.person.id), "account")

    def views(self, client: FlaskClient) -> Iterator[tuple[str, str]]:
        """Every answer that shows a session or rests on one, by what it is of."""

        def get(path: str) -> str:
            answer = client.get(path, headers=self.person.headers)
            assert answer.status_code == 200, path
            text = self.plain(answer.text)
            answer.close()  # a live view holds a place until then
            return text

        for kind, worn in self.worn.items():
            at = f"/v1/sessions/{worn.id}"
            parts = ("", "/telemetry", "/telemetry?format=csv", "/events", "/live")
            yield from ((f"{kind}{part}", get(at + part)) for part in parts)
        yield "list", get("/v1/sessions")
        yield "history", get("/v1/history?period=day&from=2026-02-27&to=2026-03-20")
        feed = json.loads(get("/v1/sync"))
        yield "feed", json.dumps([feed["sessions"], feed["findings"]])
        with UnitOfWork(self.engine) as session:
            facts = [one._replace(id=None) for one in session_facts(session, self.person.id)]
            yield "facts", str(facts)
            yield "exposures", str([one.name for one in exposures_of(facts)])
        yield from self._export()

    def _export(self) -> Iterator[tuple[str, str]]:
        at = MORNING + timedelta(days=100)
        with UnitOfWork(self.engine) as session:
            pieces = export(session, self.person.id, schema_version="1", now=at)
            archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
        for name in SHEETS:
            lines = self.plain(archive.read(name).decode()).splitlines()
            yield name, "\n".join(sorted(lines))
        for kind, worn in self.worn.items():
            table = pq.read_table(io.BytesIO(archive.read(f"telemetry/{worn.id}.parquet")))
            yield f"telemetry {kind}", str(table.to_pylist())


def _but(given: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}


@pytest.fixture
def owners(
    engine: Engine, make_person: Callable[..., ApiUser], hold: Callable[..., str]
) -> tuple[Owner, Owner]:
    """The first one's devices make everything up, the second one's nothing."""
    with UnitOfWork(engine) as session, session.begin():
        for number, (kind, reports) in enumerate(KINDS.items()):
            model = Model(
                name=kind,
                titles={"en": kind},
                prefix="K" + chr(ord("A") + number),
                sites=("neck",),
                recorder="phone",
                reports=reports,
                waveform=Pulse(),
                native_levels=9,
            )
            add_model(session, model, Actor("operator", "op"), widens=False, now=MORNING)
    made = []
    for makes_up in (True, False):
        person = make_person()
        owner = Owner(engine, person, {kind: hold(person, model=kind) for kind in KINDS})
        owner.wear(makes_up=makes_up)
        made.append(owner)
    return made[0], made[1]


def test_what_a_model_cannot_know_is_kept_and_in_no_answer(
    client: FlaskClient, engine: Engine, owners: tuple[Owner, Owner]
) -> None:
    inventive, honest = (dict(owner.views(client)) for owner in owners)
    for what, shown in honest.items():
        assert inventive[what] == shown, what
    assert "amplitude_delivered_ua" in honest["of_known_known_known/telemetry"]
    assert "mean_amplitude_ua" in honest["list"]
    worn = owners[0].worn["of_unknown_unknown_unknown"]
    with UnitOfWork(engine) as session:
        frames = load_frames(session, worn.device_id, UUID(str(worn.sid)))
    (sampled,) = [read.frame for read in frames if isinstance(read.frame, SamplesFrame)]
    assert sampled.c == COLUMNS
