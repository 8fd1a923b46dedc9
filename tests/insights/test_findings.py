"""Findings in the database: what is stored, what the app hears, and what is not done twice."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.changes import announce
from cymba.accounts.tables import Account, Change
from cymba.database import line_of
from cymba.devices.tables import Device, DeviceTenure
from cymba.diary.tables import DiaryEntry
from cymba.insights import findings
from cymba.insights.inputs import load_days
from cymba.insights.sentences import exposure_title, of_finding
from cymba.insights.tables import Finding, InsightState
from cymba.rights import consents
from cymba.stimulation.tables import StimulationSession
from cymba.voice import Voice
from tests.histories import history

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
PRIMARY_PAIN = ("charge", "pain_now", 1)


@pytest.fixture
def account_id(session: Session) -> UUID:
    account = Account(email="person@example.org", time_zone="Europe/Berlin")
    device = Device(id="device-0001", serial="S1", model="ear_cymba")
    session.add_all([account, device])
    session.flush()
    session.add(DeviceTenure(device_id=device.id, account_id=account.id, claimed_at=BEGAN))
    consent.give(session, account.id, "insights", version="1/en", now=BEGAN)
    session.commit()
    return account.id


def live(session: Session, account_id: UUID, days: int, *, effect: float, seed: int = 1) -> None:
    """A diary of mornings and evenings; each session moves the next morning by `effect`."""
    rng = np.random.default_rng(seed)
    level = 0.0
    yesterday = 0
    for day in range(days):
        level = 0.6 * level + rng.normal(0, 1)
        pain = int(np.clip(round(5 + level + effect * yesterday), 0, 10))
        morning = BEGAN + timedelta(days=day, hours=7)
        rate(session, account_id, morning, pain)
        rate(
            session,
            account_id,
            morning + timedelta(hours=10),
            int(np.clip(round(5 + level), 0, 10)),
        )
        yesterday = int(rng.random() < 0.55)
        if yesterday:
            use(session, account_id, morning + timedelta(hours=11))
    changed(session, account_id)


def rate(session: Session, account_id: UUID, at: datetime, pain: int) -> None:
    session.add(
        DiaryEntry(
            account_id=account_id,
            id=uuid4(),
            felt_at=at,
            written_at=at,
            time_zone="Europe/Berlin",
            items={"pain_now": pain},
            version=1,
            field_versions={},
        )
    )


def use(
    session: Session,
    account_id: UUID,
    at: datetime,
    *,
    device_id: str = "device-0001",
    minutes: float = 15,
    charge_uc: float | None = 11_250,
    level: float | None = None,
) -> None:
    session.add(
        StimulationSession(
            id=uuid4(),
            device_id=device_id,
            sid=uuid4(),
            account_id=account_id,
            state="ended",
            started_at=at,
            ended_at=at + timedelta(minutes=30),
            time_zone="Europe/Berlin",
            time_source="anchored",
            time_error_ms=20,
            frames_stored=10,
            sample_count=1800,
            stimulating_s=60 * minutes,
            contact_lost_s=0,
            delivered_charge_uc=charge_uc,
            mean_native_level=level,
            event_count=0,
            boots=[1],
            changed_at=at,
        )
    )


def changed(session: Session, account_id: UUID) -> None:
    announce(session, account_id, "diary-entry", "x")
    session.commit()


def refresh(session: Session, account_id: UUID) -> list[str]:
    told = findings.refresh(session, account_id, now=NOW)
    session.commit()
    return told


def finding(session: Session, account_id: UUID) -> Finding:
    return session.get_one(Finding, (account_id, *PRIMARY_PAIN))


def test_a_large_effect_is_found_with_its_sign_and_the_app_is_told(
    session: Session, account_id: UUID
) -> None:
    live(session, account_id, 150, effect=-2.0)
    told = refresh(session, account_id)
    found = finding(session, account_id)
    assert "charge~pain_now~1" in told
    assert found.grade in ("moderate", "strong")
    assert found.low is not None
    assert found.high is not None
    assert found.low < -2.0 < found.high < 0
    assert found.milestone in (112, 160)
    assert [look["milestone"] for look in found.looks][:3] == [28, 40, 56]


def test_nothing_is_computed_twice(session: Session, account_id: UUID) -> None:
    live(session, account_id, 60, effect=0)
    assert findings.accounts_due(session) == [account_id]
    assert refresh(session, account_id)
    assert findings.accounts_due(session) == []
    changed(session, account_id)  # of something that is no input
    assert findings.accounts_due(session) == [account_id]
    assert refresh(session, account_id) == []
    assert findings.accounts_due(session) == []


def test_between_milestones_nothing_moves(session: Session, account_id: UUID) -> None:
    live(session, account_id, 90, effect=-1)
    refresh(session, account_id)
    before = finding(session, account_id)
    shown = (before.effect, before.low, before.version, before.input_hash)
    pairs = before.pairs_now
    for hours in (7, 17):
        rate(session, account_id, BEGAN + timedelta(days=90, hours=hours), 9)
    use(session, account_id, BEGAN + timedelta(days=90, hours=18))
    changed(session, account_id)
    told = refresh(session, account_id)
    after = finding(session, account_id)
    assert after.pairs_now == pairs + 1
    assert (after.effect, after.low, after.version, after.input_hash) == shown
    assert "charge~pain_now~1" not in told


def test_an_edit_of_the_past_is_computed_anew_with_another_hash(
    session: Session, account_id: UUID
) -> None:
    live(session, account_id, 90, effect=-1)
    refresh(session, account_id)
    old = finding(session, account_id).input_hash
    edited = BEGAN + timedelta(days=20, hours=7)
    session.execute(
        update(DiaryEntry).where(DiaryEntry.felt_at == edited).values(items={"pain_now": 0})
    )
    changed(session, account_id)
    refresh(session, account_id)
    assert finding(session, account_id).input_hash != old


def test_an_older_methods_findings_are_due_though_nothing_changed(
    session: Session, account_id: UUID
) -> None:
    live(session, account_id, 60, effect=-2)
    refresh(session, account_id)
    assert findings.accounts_due(session) == []
    session.execute(update(InsightState).values(method_version="0"))
    assert findings.accounts_due(session) == [account_id]
    assert findings.claim_due(session, account_id)
    refresh(session, account_id)
    assert findings.accounts_due(session) == []


def test_fourteen_days_are_collecting_and_say_what_is_missing(
    session: Session, account_id: UUID
) -> None:
    live(session, account_id, 14, effect=-3)
    refresh(session, account_id)
    found = session.scalars(select(Finding).where(Finding.account_id == account_id)).all()
    assert {f.grade for f in found} == {"collecting"}
    assert {(f.tier, f.lag) for f in found} == {("primary", 1)}
    assert finding(session, account_id).more_days_low is not None


def test_without_consent_nobody_is_due_and_withdrawal_takes_the_findings_away(
    session: Session, account_id: UUID
) -> None:
    live(session, account_id, 40, effect=0)
    told = refresh(session, account_id)
    consents.withdraw(session, account_id, "insights", now=NOW)
    session.commit()
    of_findings = (Change.deleted, Change.kind == findings.KIND)
    gone = session.scalars(select(Change.entity_id).where(*of_findings))
    assert told
    assert set(gone) == set(told)
    assert findings.accounts_due(session) == []
    assert session.scalars(select(Finding)).all() == []


def test_sessions_left_out_and_hidden_do_not_count(session: Session, account_id: UUID) -> None:
    live(session, account_id, 60, effect=-2)
    session.execute(update(StimulationSession).values(excluded=True))
    changed(session, account_id)
    refresh(session, account_id)
    assert finding(session, account_id).grade in ("collecting", "not_enough")
    assert finding(session, account_id).effect is None


def test_a_day_whose_session_is_left_out_is_not_a_day_without_any(
    session: Session, account_id: UUID
) -> None:
    live(session, account_id, 30, effect=-2)
    session.flush()
    days, _, _ = load_days(session, account_id)
    some = session.scalars(select(StimulationSession).order_by(StimulationSession.started_at)).all()
    place = days.dates.index(some[3].started_at.astimezone(ZoneInfo("Europe/Berlin")).date())
    assert days.exposures[0, place] > 0
    some[3].excluded = True
    session.flush()
    left, _, _ = load_days(session, account_id)
    assert np.isnan(left.exposures[:, place]).all()
    others = np.arange(len(days.dates)) != place
    np.testing.assert_array_equal(left.exposures[:, others], days.exposures[:, others])


@pytest.mark.parametrize("claimed_after_days", [0, 20, 70])
@pytest.mark.parametrize("released_after_days", [None, 35])
def test_history_and_insights_agree_on_which_days_had_no_session(
    session: Session,
    account_id: UUID,
    claimed_after_days: int,
    released_after_days: int | None,
) -> None:
    """Whenever the device was claimed or given back, one judgement serves both."""
    live(session, account_id, 60, effect=-2)
    claimed_at = BEGAN + timedelta(days=claimed_after_days)
    released_at = None
    if released_after_days is not None:
        released_at = max(claimed_at, BEGAN + timedelta(days=released_after_days))
    session.execute(update(DeviceTenure).values(claimed_at=claimed_at, released_at=released_at))
    rate(session, account_id, BEGAN - timedelta(days=90), 5)
    changed(session, account_id)
    days, _, _ = load_days(session, account_id)
    told = history(line_of(session), account_id, "day", days.dates[0], days.dates[-1])
    sessions = [np.nan if one.sessions is None else one.sessions for one in told]
    # A device's word ends at the start of its latest session: on that day they may differ.
    np.testing.assert_array_equal(days.exposures[1][:-3], sessions[:-3])


def test_one_old_entry_draws_no_links_days_out(session: Session, account_id: UUID) -> None:
    live(session, account_id, 60, effect=-2)
    refresh(session, account_id)
    before = {f.outcome: (f.days, f.outcome_coverage) for f in findings.mine(session, account_id)}
    rate(session, account_id, datetime(1969, 12, 4, 8, tzinfo=UTC), 5)
    changed(session, account_id)
    refresh(session, account_id)
    found = findings.mine(session, account_id)
    assert {f.outcome: (f.days, f.outcome_coverage) for f in found} == before
    assert max(f.days for f in found) <= 61


def test_a_logged_cycle_is_taken_into_account(session: Session, account_id: UUID) -> None:
    live(session, account_id, 60, effect=-2)
    refresh(session, account_id)
    without = finding(session, account_id).input_hash
    days, _, _ = load_days(session, account_id)
    assert days.cycle is None
    session.execute(
        update(DiaryEntry)
        .where(DiaryEntry.felt_at == BEGAN + timedelta(days=6, hours=7))
        .values(items={"cycle_start": True, "pain_now": 5})
    )
    changed(session, account_id)
    refresh(session, account_id)
    days, _, _ = load_days(session, account_id)
    assert days.cycle is not None
    assert days.cycle[0, [6, 34]] == pytest.approx(1)
    assert finding(session, account_id).input_hash != without


def test_who_has_no_current_is_told_by_minutes_and_keeps_them_with_another_device(
    session: Session, account_id: UUID
) -> None:
    """First a device with a current, then for longer a band that knows levels alone. The minutes
    count through both; neither its charge nor its levels are taken for the other's."""
    session.add(Device(id="band-0001", serial="S2", model="neck_band"))
    session.flush()
    changes_on = BEGAN + timedelta(days=30)
    band = DeviceTenure(device_id="band-0001", account_id=account_id, claimed_at=changes_on)
    session.add(band)
    rng = np.random.default_rng(4)
    pain, minutes = 0.0, 0.0
    for day in range(150):
        morning = BEGAN + timedelta(days=day, hours=7)
        pain = 0.5 * pain + rng.normal(0, 0.8)
        rate(session, account_id, morning, int(np.clip(round(6 + pain - minutes / 10), 0, 10)))
        minutes = float(rng.choice([5, 15, 30]))
        at = morning + timedelta(hours=11)
        if at < changes_on:
            use(session, account_id, at, minutes=minutes)
        else:
            level = float(rng.integers(2, 7))
            use(session, account_id, at, minutes=minutes, device_id="band-0001", charge_uc=None,
                level=level)  # fmt: skip
    changed(session, account_id)
    refresh(session, account_id)
    by_minutes = session.get_one(Finding, (account_id, "minutes", "pain_now", 1))
    assert by_minutes.grade in {"moderate", "strong"}
    assert by_minutes.tier == "primary"
    assert by_minutes.milestone == 112  # of both devices
    said = of_finding(Voice.of("en"), by_minutes)
    assert said.startswith("On days with more minutes of stimulation, pain now was")
    by_charge = session.get_one(Finding, (account_id, "charge", "pain_now", 1))
    assert (by_charge.tier, by_charge.milestone, by_charge.pairs_now) == ("exploratory", 28, 29)
    by_level = session.get_one(Finding, (account_id, "level:neck_band", "pain_now", 1))
    assert (by_level.tier, by_level.pairs_now) == ("exploratory", 118)
    assert by_level.grade not in {"moderate", "strong", "early_signal"}
    title = exposure_title(Voice.of("de"), by_level.exposure)
    assert title == "Stärke an „Halsband, nach Stufen“"
