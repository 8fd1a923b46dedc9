"""Checks that every frame that the devices made is stored exactly once."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.devices.tables import DevicePresence
from cymba.stimulation.archive.recording import decode_recording
from cymba.stimulation.tables import QuarantinedFrame, Recording, StimulationSession, StoredFrame
from cymba.stimulation.wire.frames import pack

Key = tuple[str, int, int]  # device, store, seq


class Made(NamedTuple):
    device_id: str
    store: int
    seq: int
    digest: bytes | None  # None: spoiled, so it belongs in quarantine


@dataclass(frozen=True)
class DemoVerdict:
    """Counts of frames; all but `made` and `stored_once` must be 0."""

    made: int
    stored_once: int  # or, if spoiled, quarantined
    missing: int
    repeated: int
    altered: int  # stored under its key with another content
    invented: int  # stored, but never made

    @property
    def is_good(self) -> bool:
        return self.made == self.stored_once and not (
            self.missing or self.repeated or self.altered or self.invented
        )

    def __str__(self) -> str:
        if self.is_good:
            return f"each of the {self.made} frames that the devices made is stored exactly once"
        return (
            f"of {self.made} frames made {self.stored_once} are stored exactly once; "
            f"{self.missing} missing, {self.repeated} stored more than once, "
            f"{self.altered} altered, {self.invented} never made"
        )


class Counts(NamedTuple):
    """Frames in the database."""

    stored: int
    quarantined: int


def read_made(paths: Iterable[Path]) -> list[Made]:
    """What `cymba simulate --made` wrote."""
    made = []
    for path in paths:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            digest = None if row["digest"] is None else bytes.fromhex(row["digest"])
            made.append(Made(row["device_id"], row["store"], row["seq"], digest))
    return made


def judge(engine: Engine, made: Iterable[Made]) -> DemoVerdict:
    """Compare with the frame table, recordings and quarantine, in one snapshot of the database."""
    expected: dict[Key, bytes | None] = {one[:3]: one.digest for one in made}
    stores = {key[:2] for key in expected}
    with UnitOfWork(engine) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        found = Counter(_stored(session, stores))
        refused = set(
            session.execute(
                select(
                    QuarantinedFrame.device_id, QuarantinedFrame.store, QuarantinedFrame.seq
                ).where(QuarantinedFrame.device_id.in_({device_id for device_id, _ in stores}))
            ).tuples()
        )
    by_key: dict[Key, list[bytes]] = {}
    for (key, stored), times in found.items():
        by_key.setdefault(key, []).extend([stored] * times)
    once = missing = altered = 0
    for key, digest in expected.items():
        there: list[bytes] = by_key.get(key, [])
        if digest is None:
            good, absent = key in refused and not there, key not in refused
        else:
            good, absent = there == [digest], not there
        once += good
        missing += absent
        altered += bool(there) and digest not in there
    return DemoVerdict(
        made=len(expected),
        stored_once=once,
        missing=missing,
        repeated=sum(len(digests) > 1 for digests in by_key.values()),
        altered=altered,
        invented=len(by_key.keys() - expected.keys()),
    )


def count(engine: Engine) -> Counts:
    """All frames that are stored or quarantined now."""
    with UnitOfWork(engine) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        waiting = session.scalar(select(func.count()).select_from(StoredFrame)) or 0
        recorded = session.scalar(select(func.sum(Recording.frame_count))) or 0
        quarantined = session.scalar(select(func.count()).select_from(QuarantinedFrame)) or 0
    return Counts(waiting + recorded, quarantined)


def devices_now(engine: Engine, device_ids: Iterable[str], earlier: Iterable[str]) -> str:
    """What the devices are doing, in words. Frames arrive only in sessions, and only while online.

    `earlier` are the sessions that an earlier run left open.
    """
    ids = list(device_ids)
    with UnitOfWork(engine) as session:
        online = set(
            session.scalars(
                select(DevicePresence.device_id).where(
                    DevicePresence.device_id.in_(ids), DevicePresence.online
                )
            )
        )
        in_session = set(
            session.scalars(
                select(StimulationSession.device_id).where(
                    StimulationSession.device_id.in_(ids),
                    StimulationSession.state == "open",
                    StimulationSession.id.not_in([UUID(one) for one in earlier]),
                )
            )
        )
    counts = {
        "in a session": len(in_session & online),
        "resting": len(online - in_session),
        "offline, recording on": len(in_session - online),
        "offline": len(set(ids) - online - in_session),
    }
    return ", ".join(f"{count} {doing}" for doing, count in counts.items() if count)


def _stored(session: Session, stores: set[tuple[str, int]]) -> Iterator[tuple[Key, bytes]]:
    """Key and digest of each stored copy, in the frame table or in a recording."""
    devices = {device_id for device_id, _ in stores}
    waiting = select(
        StoredFrame.device_id, StoredFrame.store, StoredFrame.seq, StoredFrame.digest
    ).where(StoredFrame.device_id.in_(devices))
    for device_id, store, seq, digest in session.execute(waiting):
        if (device_id, store) in stores:
            yield (device_id, store, seq), digest
    # The decoded frames count, not the digests stored beside them.
    recordings = select(Recording.device_id, Recording.store, Recording.sid, Recording.body).where(
        Recording.device_id.in_(devices)
    )
    for device_id, store, sid, body in session.execute(recordings):
        if (device_id, store) in stores:
            for read in decode_recording(body, store, sid):
                yield (device_id, store, read.frame.seq), pack(read.frame).digest
