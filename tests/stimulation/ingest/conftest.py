"""Devices that somebody holds, and the payloads they send."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.devices.tables import Device, DeviceTenure
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.halving import by_halves
from cymba.stimulation.ingest.ingest import Ingested, gave_up, ingest

AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
SID = UUID("6f0c6f0c-0000-4000-8000-000000000001")


def samples(seq: int = 1, **changes: Any) -> dict[str, Any]:
    """A samples frame's members; a change to `...` leaves the member out."""
    members: dict[str, Any] = {
        "v": 1,
        "store": 7,
        "seq": seq,
        "boot": 3,
        "sid": str(SID),
        "kind": "samples",
        "up": 10_000 * seq,
        "dt": 1000,
        "n": 2,
        "c": {"amplitude_ua": [1500, 1510], "impedance_ohm": [3969, None]},
    }
    members |= changes
    return {name: value for name, value in members.items() if value is not ...}


def to_json(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


class Uplink:
    """A way into the database: sends payloads of one device or of several, and commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def hold(self, device_id: str, held: bool = True) -> str:
        self.session.add(Device(id=device_id, serial=device_id, model="ear_cymba"))
        self.session.flush()
        if held:
            account = Account(email=f"{uuid4()}@example.org")
            self.session.add(account)
            self.session.flush()
            self.session.add(
                DeviceTenure(device_id=device_id, account_id=account.id, claimed_at=AT)
            )
        self.session.commit()
        return device_id

    def send(self, *sent: dict[str, Any] | bytes, device_id: str = "device-1") -> Ingested:
        """Each as one delivery of one batch."""
        payloads = [one if isinstance(one, bytes) else to_json(one) for one in sent]
        return self.deliver([Delivery(device_id, payload, AT, True) for payload in payloads])

    def deliver(self, deliveries: list[Delivery]) -> Ingested:
        """In one transaction, or in halves where the database does not take it."""
        parts = by_halves(deliveries, self._commit, gave_up)
        return Ingested(
            deliveries,
            outcomes=[outcome for part in parts for outcome in part.outcomes],
            acks=[ack for part in parts for ack in part.acks],
            anchors=[anchor for part in parts for anchor in part.anchors],
        )

    def _commit(self, deliveries: Sequence[Delivery]) -> Ingested:
        try:
            ingested = ingest(self.session, deliveries)
            self.session.commit()
        except Exception:
            self.session.rollback()
            raise
        return ingested

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        rows = [tuple(row) for row in self.session.execute(text(query))]
        self.session.commit()
        return rows


@pytest.fixture
def line(session: Session) -> Uplink:
    """With `device-1`, which somebody holds, and `device-2`, which nobody does."""
    line = Uplink(session)
    line.hold("device-1")
    line.hold("device-2", held=False)
    return line


@pytest.fixture
def frame() -> Callable[..., dict[str, Any]]:
    return samples


@pytest.fixture
def payload() -> Callable[[dict[str, Any]], bytes]:
    return to_json
