"""What a person sees of a session (its day, its length, how many there are) depends on what
happened: not on when, in which order or by which way it was uploaded, nor on what the account was
set to by then. What evidence cannot tell apart is within the error that is stated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy.orm import Session

from cymba.accounts import profile
from cymba.accounts.merging import Seen
from cymba.accounts.tables import Account
from cymba.database import line_of
from cymba.devices.anchors import Anchor, BootAnchor, BootKey
from cymba.devices.clocks import to_ms
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.session.pages import SessionPages
from cymba.stimulation.session.shown import Shown, load_shown
from cymba.stimulation.session.waiting import close_silent
from cymba.stimulation.wire.messages import Frame, to_json
from cymba.stimulation.written.sessions import WrittenSessions
from tests.histories import history
from tests.stimulation.conftest import BOOTED_AT, DEVICE, Tape
from tests.stimulation.worker_steps import summarise_due

STORE = 7
PAGES = SessionPages(lambda _, column: column)
HOME = "Europe/Berlin"
ABROAD = ("Asia/Tokyo", "America/New_York", HOME)
LATEST = BOOTED_AT + timedelta(days=20)  # by then all is uploaded
SECOND = timedelta(seconds=1)
BORDER = timedelta(minutes=2)  # what is known of most clocks is better
AS_THEY_ARE = (
    "state", "end_reason", "programme", "frames_stored", "frames_expected", "completeness",
    "sample_count", "boots", "doubts", "recorder",
)  # fmt: skip


@dataclass
class UploadedLife:
    """What happened to a person and their device. Times are true ones."""

    frames: list[tuple[Frame, datetime]] = field(default_factory=list)  # and when it was complete
    booted_at: list[datetime] = field(default_factory=list)
    exchanged: list[bool] = field(default_factory=list)  # by boot: its clock is known
    began_at: dict[UUID, datetime] = field(default_factory=dict)  # by the device's own id
    journeys: list[tuple[datetime, str]] = field(default_factory=list)
    written: list[tuple[UUID, datetime]] = field(default_factory=list)  # by the person

    def exchanges(self, boot: int) -> list[BootAnchor]:
        """As the device asked for the time at its first and its last frame of a boot."""
        ups = [frame.up for frame, _ in self.frames if frame.boot == boot] or [1_000]
        booted_ms = to_ms(self.booted_at[boot - 1])
        key = BootKey(DEVICE, STORE, boot)
        return [
            BootAnchor(key, Anchor("exchange", up, booted_ms + up, 5.0))
            for up in sorted({min(ups), max(ups)})
        ]


@st.composite
def lives(draw: st.DrawFn) -> UploadedLife:
    life, tape, at = UploadedLife(), Tape(), BOOTED_AT
    knows_clocks = draw(st.booleans())

    def boot(after: timedelta) -> None:
        if life.booted_at:
            tape.reboot(up=0)
        tape.up = 0
        life.booted_at.append(at + after)
        life.exchanged.append(knows_clocks or draw(st.booleans()))

    def now() -> datetime:
        return life.booted_at[-1] + timedelta(milliseconds=tape.up)

    def note(*, is_lost: bool = False) -> None:
        frame = tape.frames.pop()
        if not is_lost:
            life.frames.append((frame, now()))
            life.began_at.setdefault(frame.sid, life.booted_at[-1] + frame.up * SECOND / 1000)

    boot(timedelta())
    for number in range(draw(st.integers(1, 4))):
        tape.pass_time(draw(st.integers(60, 20 * 3_600)) * 1_000)
        at = now()
        if draw(st.booleans()):
            boot(draw(st.integers(1, 3_600)) * SECOND)
        tape.sid = UUID(int=number + 1, version=4)
        tape.start()
        note()
        if life.exchanged[-1] and knows_clocks and draw(st.booleans()):
            life.written.append((UUID(int=100 + number, version=4), now()))
        for _ in range(draw(st.integers(0, 3))):
            tape.samples(amplitude_ua=[1_000] * 60)
            note(is_lost=draw(st.integers(0, 5)) == 0)
            if draw(st.integers(0, 5)) == 0:
                at = now()
                boot(draw(st.integers(1, 600)) * SECOND)
        tape.end()
        note(is_lost=draw(st.integers(0, 5)) == 0)
    hours = draw(st.lists(st.integers(-24, 96), unique=True, max_size=2))
    life.journeys = [
        (BOOTED_AT + timedelta(hours=hour), draw(st.sampled_from(ABROAD))) for hour in sorted(hours)
    ]
    return life


Step = tuple[datetime, str, Any]


@st.composite
def plans(draw: st.DrawFn, life: UploadedLife) -> list[Step]:
    """One way in which all of it may come to the server, and what its account is set to by then."""
    steps: list[Step] = [(at, "travels", zone) for at, zone in life.journeys]
    for boot, booted_at in enumerate(life.booted_at, start=1):
        if life.exchanged[boot - 1]:
            steps.append((_within(draw, booted_at), "exchange", boot))
    for id_, began_at in life.written:
        steps.append((_within(draw, began_at + timedelta(minutes=4)), "writes", (id_, began_at)))
    for frame, made_at in life.frames:
        way = draw(st.sampled_from(["live", "later", "by phone", "twice"]))
        if way in {"live", "twice"}:
            steps.append((made_at + SECOND, "mqtt", frame))
        if way != "live":
            at = _within(draw, made_at)
            steps.append((at, "phone" if way == "by phone" else "mqtt", frame))
    return sorted(steps, key=lambda step: step[0])


def _within(draw: st.DrawFn, begin: datetime) -> datetime:
    """Soon after, or any time until all has come."""
    if draw(st.booleans()):
        return begin + draw(st.integers(1, 600)) * SECOND
    return begin + SECOND + draw(st.floats(0, 1)) * (LATEST - begin)


@st.composite
def lives_and_plans(draw: st.DrawFn) -> tuple[UploadedLife, list[Step], list[Step], list[int]]:
    life = draw(lives())
    worked = draw(st.lists(st.integers(0, 30), max_size=4))  # after which steps a worker comes by
    return life, draw(plans(life)), draw(plans(life)), worked


class Server:
    def __init__(self, session: Session, account_id: UUID, life: UploadedLife) -> None:
        self.session, self.account_id, self.life = session, account_id, life
        self.now = BOOTED_AT

    def follow(self, plan: Sequence[Step], worked: Sequence[int]) -> list[Shown]:
        for number, (self.now, kind, what) in enumerate(plan):
            self._take(kind, what)
            if number in worked:
                summarise_due(self.session, now=self.now)
        self.now = LATEST + timedelta(days=3)
        summarise_due(self.session, now=self.now)
        close_silent(self.session, self.now)
        summarise_due(self.session, now=self.now)
        self.session.flush()
        self.session.expire_all()
        page = PAGES.read(line_of(self.session), self.account_id, None)
        assert page is not None
        items = [orjson.loads(one) if isinstance(one, str) else one for one in page.items]
        ids = sorted({UUID(str(item["id"])) for item in items}, key=str)
        return load_shown(self.session, self.account_id, ids)

    def days(self) -> list[tuple[int | None, float | None]]:
        first = (BOOTED_AT - timedelta(days=3)).date()
        found = history(
            line_of(self.session), self.account_id, "day", first, first + timedelta(days=20)
        )
        minutes = [one.stimulating_min and round(one.stimulating_min, 1) for one in found]
        return list(zip([one.sessions for one in found], minutes, strict=True))

    def _take(self, kind: str, what: Any) -> None:
        match kind:
            case "travels":
                account = self.session.get_one(Account, self.account_id)
                profile.change(self.session, account, time_zone=what)
                self.session.flush()
            case "exchange":
                ingest(self.session, [], exchanges=self.life.exchanges(what))
            case "writes":
                id_, began_at = what
                fields = {
                    "recorder": "person", "device_id": DEVICE, "started_at": began_at,
                    "time_zone": HOME, "duration_s": 180,
                }  # fmt: skip
                WrittenSessions().merge(
                    self.session, self.account_id, id_, fields, seen=Seen(0), now=self.now
                )
                self.session.flush()
            case _:
                self._ingest(what, by_phone=kind == "phone")

    def _ingest(self, frame: Frame, *, by_phone: bool) -> None:
        boots = self.life.booted_at
        ends_at = boots[frame.boot] if frame.boot < len(boots) else LATEST + timedelta(days=9)
        if not by_phone and self.now < ends_at:
            passed = self.now - boots[frame.boot - 1] - timedelta(milliseconds=50)
            frame = replace(frame, sent=passed // timedelta(milliseconds=1))
        delivery = Delivery(DEVICE, to_json(frame), self.now, settled=not by_phone)
        ingest(self.session, [delivery])


def _day_of(life: UploadedLife, began_at: datetime) -> tuple[str, date] | None:
    """The zone and the day of a session, in truth; None too near to the border of either."""
    zone = HOME
    for at, went_to in life.journeys:
        zone = went_to if at <= began_at else zone
    borders = [began_at - BORDER, began_at + BORDER]
    if any(borders[0] <= at <= borders[1] for at, _ in life.journeys):
        return None
    days = {at.astimezone(ZoneInfo(zone)).date() for at in borders}
    return (zone, days.pop()) if len(days) == 1 else None


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(lives_and_plans())
def test_two_ways_of_uploading_the_same_life_show_the_same(
    session: Session, owner_id: UUID, lived: tuple[UploadedLife, list[Step], list[Step], list[int]]
) -> None:
    life, *both, worked = lived
    found, days = [], []
    for plan in both:
        server = Server(session, owner_id, life)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(profile, "utc_now", lambda server=server: server.now)
            found.append(server.follow(plan, worked))
        days.append(server.days())
        session.rollback()
    truth = {SessionKey(DEVICE, sid).id: began_at for sid, began_at in life.began_at.items()}
    assert [{shown["id"] for shown in one} for one in found] == [set(truth)] * 2
    is_certain = True
    for one, other in zip(*found, strict=True):
        for name in AS_THEY_ARE:
            assert one[name] == other[name], name
        assert one["stimulating_s"] == pytest.approx(other["stimulating_s"], abs=0.1)
        assert len(one["witnesses"]) == len(other["witnesses"])
        began_at = truth[one["id"]]
        for shown in (one, other):
            error = timedelta(milliseconds=shown["time_error_ms"] + 2)
            assert abs(shown["started_at"] - began_at) <= error
            expected = _day_of(life, began_at)
            if expected is None or error > BORDER:
                is_certain = False
                continue
            zone = shown["time_zone"]
            assert (zone, shown["started_at"].astimezone(ZoneInfo(zone)).date()) == expected
        errors = timedelta(milliseconds=one["time_error_ms"] + other["time_error_ms"] + 2)
        assert abs(one["ended_at"] - other["ended_at"]) <= errors
    if is_certain:
        assert days[0] == days[1]


@pytest.fixture
def owner_id(session: Session, person: Callable[..., UUID], device: Callable[..., str]) -> UUID:
    """A person in Berlin with a device of whose clock nothing is known yet."""
    account_id = person(session, "person@example.org", HOME)
    device(session, account_id)
    session.commit()
    return account_id
