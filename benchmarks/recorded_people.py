"""People whose sessions can be read and gone on with: the last of each is open, with its frames in
the frame table, and those before it are recorded."""

import functools
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
from sqlalchemy import Engine, text

from cymba.database import ANSWER_S, BoundedConnection, UnitOfWork, line_of, utc_now
from cymba.devices.models import MODELS, usual_programme
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import encode_recording
from cymba.stimulation.wire.frames import pack
from cymba.stimulation.wire.messages import EndFrame, Frame, SamplesFrame, StartFrame
from ops import schema
from tests.many_people import SESSION_SEQS, EachHas, add_people

KEPT = EachHas(sessions=10, entries=30, findings=20)
CHUNK = 5_000  # people in a transaction
FRAMES_OF_OPEN = 20
UNSEALED = """
WITH unsealed AS (
  UPDATE session_extent SET sealed = false, high_seq = low_seq + :count - 1
  WHERE low_seq > (:sessions - 1) * :seqs RETURNING device_id, sid, low_seq
), opened AS (
  UPDATE stimulation_session AS s SET state = 'open' FROM unsealed AS u
  WHERE s.device_id = u.device_id AND s.sid = u.sid RETURNING s.id
), summed AS (
  INSERT INTO session_sums SELECT id, CAST(:sums AS bytea) FROM opened
)
INSERT INTO frame (device_id, store, seq, boot, sid, kind, up_ms, digest, body, received_at)
SELECT device_id, 1, low_seq + place - 1, 1, sid, kind, up_ms, digest, body, :at
FROM unsealed, unnest(CAST(:kinds AS int[]), CAST(:ups AS bigint[]), CAST(:digests AS bytea[]),
                      CAST(:bodies AS bytea[])) WITH ORDINALITY
  AS f (kind, up_ms, digest, body, place)
"""
SEALED = """
INSERT INTO recording (device_id, sid, store, frame_count, sample_count, seqs, digests, body)
SELECT device_id, sid, 1, :frames, :samples, CAST(:seqs AS int8multirange), CAST(:digests AS bytea),
       CAST(:body AS bytea)
FROM session_extent WHERE sealed AND low_seq = :low
"""


def frames_of(day: int) -> list[Frame]:
    """Ten minutes of four channels, a reading in two seconds, on the clock of boot 1."""
    noise = np.random.default_rng(day)
    sid, first = uuid4(), (day - 1) * SESSION_SEQS + 1
    key: dict[str, Any] = {"v": 1, "store": 1, "boot": 1, "sid": sid}
    begin_ms = day * 86_400_000
    made: list[Frame] = [
        StartFrame(**key, seq=first, up=begin_ms, programme=usual_programme(MODELS["ear_cymba"]))
    ]
    for number in range(60):
        columns = {
            name: noise.integers(low, low + 40, 5).tolist()
            for name, low in (("amplitude_ua", 1_500), ("impedance_ohm", 3_000),
                              ("heart_rate_bpm", 60), ("battery_pct", 50))
        }  # fmt: skip
        up_ms = begin_ms + number * 10_000
        made.append(SamplesFrame(**key, seq=first + number + 1, up=up_ms, dt=2_000, n=5, c=columns))
    return [*made, EndFrame(**key, seq=first + 61, up=begin_ms + 600_000, reason="completed",
                             first_seq=first, last_seq=first + 61)]  # fmt: skip


def fill(engine: Engine, people: int) -> None:
    schema.upgrade(engine)
    for low in range(1, people + 1, CHUNK):
        with _patient(engine) as session:
            add_people(session, low, min(people, low + CHUNK - 1), KEPT, begin=begin_at())
    *finished, last = (frames_of(day) for day in range(1, KEPT.sessions + 1))
    with _patient(engine) as session:
        session.execute(text(UNSEALED), opened(last[:FRAMES_OF_OPEN]))
    for frames in finished:
        with _patient(engine) as session:
            session.execute(text(SEALED), recorded(frames))
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(False)) as line:
        line.autocommit = True
        line.execute("VACUUM ANALYZE")
        line.execute("CHECKPOINT")


@contextmanager
def _patient(engine: Engine) -> Iterator[UnitOfWork]:
    """A transaction that takes as long as it takes."""
    with UnitOfWork(engine) as session, session.begin():
        line = line_of(session)
        assert isinstance(line, BoundedConnection)
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text("SET LOCAL session_replication_role = replica"))
        line.patience_s = None
        yield session
        line.patience_s = ANSWER_S


@functools.cache
def begin_at() -> datetime:
    """Everybody's open session began a minute ago."""
    now = utc_now().replace(microsecond=0)
    return now - timedelta(days=KEPT.sessions, minutes=1)


def opened(frames: Sequence[Frame]) -> dict[str, Any]:
    packed = [pack(frame) for frame in frames]
    return {
        "sessions": KEPT.sessions, "seqs": SESSION_SEQS, "count": len(frames), "at": utc_now(),
        "sums": random.Random(1).randbytes(300), "kinds": [one.kind for one in packed],
        "ups": [frame.up for frame in frames], "digests": [one.digest for one in packed],
        "bodies": [one.body for one in packed],
    }  # fmt: skip


def recorded(frames: Sequence[Frame]) -> dict[str, Any]:
    made = encode_recording([ReadFrame(frame, begin_at()) for frame in frames])
    low, high = made.seqs[0], made.seqs[-1]
    return {
        "low": low, "seqs": f"{{[{low},{high + 1})}}", "frames": made.frame_count,
        "samples": made.sample_count, "digests": made.digests, "body": made.body,
    }  # fmt: skip
