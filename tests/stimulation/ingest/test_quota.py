"""A device that begins too much is refused, and keeps it; what it began goes on."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from cymba.accounts.rate_limiter import Bucket
from cymba.devices.quotas import BUCKETS, PORTIONS, QUARANTINED, SESSIONS, STORED, Quota
from cymba.stimulation.ingest.decide import Delivery, Duplicate, Quarantined, Refused, Stored
from cymba.stimulation.ingest.ingest import ingest
from tests.stimulation.ingest.conftest import AT, Uplink

Frame = Callable[..., dict[str, Any]]
Payload = Callable[[dict[str, Any]], bytes]
NO_PORTIONS = dict.fromkeys(PORTIONS, 0.0)


def quota_of(kind: str, capacity: int) -> Quota:
    return Quota({**BUCKETS, kind: Bucket(capacity, leak_s=1e6)}, portions=NO_PORTIONS)


def test_too_many_sessions_are_kept_by_their_device(
    line: Uplink, frame: Frame, payload: Payload
) -> None:
    quota = quota_of(SESSIONS, 2)

    def send(*sessions: int) -> list[object]:
        frames = [frame(seq, sid=str(UUID(int=sid))) for seq, sid in enumerate(sessions, 1)]
        deliveries = [Delivery("device-1", payload(one), AT, True) for one in frames]
        ingested = ingest(line.session, deliveries, quota=quota.reserve())
        line.session.commit()
        return [type(outcome) for outcome in ingested.outcomes]

    assert send(1, 2, 1, 3, 2) == [Stored, Stored, Stored, Refused, Stored]
    assert line.rows("SELECT count(DISTINCT sid) FROM session_extent") == [(2,)]
    # What is stored already is acknowledged; what was refused stays refused.
    assert send(1, 2, 1, 3, 2) == [Duplicate, Duplicate, Duplicate, Refused, Duplicate]
    assert line.rows("SELECT resolved::text FROM flash_store") == [("{[1,4),[5,6)}",)]


def test_a_process_that_forgot_refuses_no_stored_frame(
    line: Uplink, frame: Frame, payload: Payload
) -> None:
    for quota in (Quota(), quota_of(SESSIONS, 0)):
        ingested = ingest(
            line.session, [Delivery("device-1", payload(frame(1)), AT, True)], quota=quota.reserve()
        )
        line.session.commit()
    assert ingested.outcomes == [Duplicate(7, 1)]


def test_quarantine_takes_only_so_much(line: Uplink, payload: Payload, frame: Frame) -> None:
    quota = quota_of(QUARANTINED, 1_000)
    bad = [Delivery("device-1", b"{%d" % n, AT, True) for n in range(4)]
    good = Delivery("device-1", payload(frame(1)), AT, True)
    ingested = ingest(line.session, [*bad, good], quota=quota.reserve())
    line.session.commit()
    kinds = [type(outcome) for outcome in ingested.outcomes]
    assert kinds == [Quarantined, Quarantined, Refused, Refused, Stored]
    rejections = [one for _, ack in ingested.acks for one in ack.rejected]
    assert [(one.code, one.retry) for one in rejections[2:]] == [("rate", True)] * 2
    assert line.rows("SELECT count(*) FROM quarantine") == [(2,)]


def test_a_device_has_only_so_much_stored_in_a_day(
    line: Uplink, frame: Frame, payload: Payload
) -> None:
    """Whatever its sessions are; what is over it keeps, and another device stores on."""
    quota = quota_of(STORED, 1_200)
    frames = [payload(frame(seq, sid=str(UUID(int=seq)))) for seq in range(1, 5)]
    deliveries = [Delivery("device-1", one, AT, True) for one in frames]
    ingested = ingest(line.session, deliveries, quota=quota.reserve())
    line.session.commit()
    assert [type(one) for one in ingested.outcomes] == [Stored, Stored, Refused, Refused]
    (refused, _) = [one for _, ack in ingested.acks for one in ack.rejected]
    assert (refused.code, refused.retry) == ("rate", True)
    line.hold("device-3")
    other = ingest(line.session, [Delivery("device-3", frames[0], AT, True)], quota=quota.reserve())
    assert other.outcomes == [Stored(7, 1)]
