"""What is known to be uploaded: by the device's own word, or by numbers without a hole."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.dialects.postgresql.ranges import MultiRange, Range
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.database import line_of
from cymba.devices.tables import Device, DevicePresence, DeviceTenure
from cymba.stimulation.session.uploads import (
    CompleteDays,
    Upload,
    UsedByHand,
    load_complete_days,
)
from cymba.stimulation.tables import AckLedgerRow, StimulationSession

DEVICE = "device-0001"
CLAIMED = datetime(2026, 3, 1, tzinfo=UTC)
LATEST = CLAIMED + timedelta(days=9)


@pytest.fixture
def account_id(session: Session) -> UUID:
    account = Account(email="person@example.org")
    session.add_all([account, Device(id=DEVICE, serial="S1", model="ear_cymba")])
    session.flush()
    session.add(DeviceTenure(device_id=DEVICE, account_id=account.id, claimed_at=CLAIMED))
    session.add(
        StimulationSession(
            id=uuid4(), device_id=DEVICE, sid=uuid4(), account_id=account.id, state="ended",
            started_at=LATEST, ended_at=LATEST, time_zone="UTC", time_source="anchored",
            time_error_ms=20, frames_stored=1, sample_count=0, stimulating_s=0, contact_lost_s=0,
            event_count=0, boots=[1], changed_at=LATEST,
        )
    )  # fmt: skip
    session.flush()
    return account.id


def resolve(session: Session, *ranges: tuple[int, int]) -> None:
    resolved = MultiRange([Range(low, high + 1) for low, high in ranges])
    session.merge(AckLedgerRow(device_id=DEVICE, store=7, resolved=resolved))
    session.flush()


def uploaded_until(session: Session, account_id: UUID) -> datetime | None:
    (upload,) = load_complete_days(line_of(session), account_id).uploads
    return upload.uploaded_until


def test_without_a_hole_the_latest_session_says_it(session: Session, account_id: UUID) -> None:
    resolve(session, (1, 400))
    assert uploaded_until(session, account_id) == LATEST


@pytest.mark.parametrize("ranges", [((1, 100), (300, 400)), ((300, 400),)])
def test_a_live_session_before_its_backlog_says_nothing(
    session: Session, account_id: UUID, ranges: tuple[tuple[int, int], ...]
) -> None:
    resolve(session, *ranges)
    assert uploaded_until(session, account_id) is None
    resolve(session, (1, 400))
    assert uploaded_until(session, account_id) == LATEST


def test_an_empty_flash_says_it_whatever_hole_is_left(session: Session, account_id: UUID) -> None:
    resolve(session, (1, 100), (300, 400))
    empty_at = LATEST - timedelta(days=1)
    session.add(
        DevicePresence(
            device_id=DEVICE, online=True, store=7, boot=1, sent_ms=0, queued_frames=0,
            changed_at=empty_at, seen_at=empty_at, drained_at=empty_at,
        )
    )  # fmt: skip
    session.flush()
    assert uploaded_until(session, account_id) == empty_at
    session.execute(update(DevicePresence).values(drained_at=LATEST + timedelta(days=1)))
    assert uploaded_until(session, account_id) == LATEST + timedelta(days=1)


def test_a_device_that_recorded_before_it_was_claimed_is_held_from_then(
    session: Session, account_id: UUID
) -> None:
    resolve(session, (1, 400))
    claimed_at = LATEST + timedelta(days=2)
    session.execute(update(DeviceTenure).values(claimed_at=claimed_at))
    complete = load_complete_days(line_of(session), account_id)
    (upload,) = complete.uploads
    assert upload.held_from == LATEST
    before = LATEST - timedelta(days=40)
    day = np.array([before.timestamp(), (before + timedelta(days=1)).timestamp()])
    assert complete.among(before.date(), day).tolist() == [False]  # nothing is known of it


MOMENTS = st.integers(-3, 12).map(lambda days: CLAIMED + timedelta(days=days)) | st.integers(
    -200, 1_000
).map(lambda quarters: CLAIMED + timedelta(minutes=15 * quarters))
MAYBE = st.none() | MOMENTS


def is_complete(complete: CompleteDays, day: date, begins_at: datetime, ends_at: datetime) -> bool:
    """The same of one day, in plain words."""

    def in_use(one: Upload | UsedByHand) -> bool:
        used_from, used_until = one[0], one[1]
        return used_from < ends_at and (used_until is None or used_until > begins_at)

    by_hand = any(map(in_use, complete.by_hand))
    held = [upload for upload in complete.uploads if in_use(upload)]
    if by_hand and day not in complete.without_session:
        return False
    return (by_hand or bool(held)) and all(
        upload.uploaded_until is not None
        and upload.uploaded_until >= min(ends_at, upload.released_at or ends_at)
        for upload in held
    )


@given(
    st.lists(st.builds(Upload, MOMENTS, MAYBE, MAYBE), max_size=4),
    st.lists(st.builds(UsedByHand, MOMENTS, MAYBE), max_size=3),
    st.frozensets(st.integers(-1, 9).map(lambda days: (CLAIMED + timedelta(days=days)).date())),
    st.integers(1, 9),
)
def test_days_in_a_row_are_judged_as_each_by_itself(
    uploads: list[Upload], by_hand: list[UsedByHand], without: frozenset[date], count: int
) -> None:
    complete = CompleteDays(uploads, by_hand, without)
    borders = [CLAIMED + timedelta(days=after) for after in range(count + 1)]
    days = [border.date() for border in borders[:-1]]
    starts = np.array([border.timestamp() for border in borders])
    assert complete.among(days[0], starts).tolist() == [
        is_complete(complete, day, begins_at, ends_at)
        for day, begins_at, ends_at in zip(days, borders, borders[1:], strict=False)
    ]
