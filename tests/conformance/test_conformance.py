"""The conformance kit against simulated devices on a real broker: those that keep every rule, and
one for each way to break a single one."""

import getpass
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conformance import report, rules
from conformance.drill import Drill, Programmes
from conformance.listener import AnotherServer, Entrance, Listener, Unreachable
from conformance.report import Report
from conformance.trace import ProtocolTimes
from cymba.broker_address import BrokerAddress
from cymba.devices.signing import show_public_key
from ops import broker as embedded
from ops.exits import Exit
from simulator.faults import Behaviour
from simulator.fleet import DeviceCredentials, Fleet
from simulator.life import Rhythm
from tests.conformance.broken import FAULTS, Flaw
from tests.conformance.pulse import ServerPulse
from tests.end_to_end.parts import listens, wait_until
from tests.free_ports import free_port
from tests.ops.conftest import Run
from tests.programs import IN_CI, MOSQUITTO

KEY = Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Tempo:
    """The protocol's delays, twenty times as fast, or less where the machine cannot keep up."""

    factor: float = 1.0

    @property
    def timing(self) -> ProtocolTimes:
        return ProtocolTimes(
            resend_s=1.5 * self.factor,
            resend_at_most_s=30 * self.factor,
            exchange_within_s=3 * self.factor,
            sent_is_stale_s=5 * self.factor,
            report_within_s=5 * self.factor,
            back_within_s=20 * self.factor,
            grace_s=self.factor,
            slack=0.35,
        )

    @property
    def right(self) -> Behaviour:
        """Of a device that keeps every rule."""
        return Behaviour(
            resend_after_s=1.5 * self.factor,
            resend_at_most_s=30 * self.factor,
            reconnect_at_most_s=1,
        )

    @property
    def at_most_s(self) -> float:
        return 60 * self.factor

    @property
    def held_up_s(self) -> float:
        """A way through the broker that may turn a verdict: half of the least that is allowed."""
        return 0.25 * self.factor


FAST = Tempo()
SLOWEST = 16.0
GROUP_COUNT = 4
CUTS = MOSQUITTO is not None  # the embedded broker leaves the old line of a taken client id
# What no broker shows that leaves the old line of a client standing when its id is taken.
OF_A_CUT = {"R5", "R37"}


@dataclass
class OpenBroker:
    """Allows everybody everything."""

    port: int

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"


@contextmanager
def open_broker(folder: Path) -> Iterator[OpenBroker]:
    if MOSQUITTO is None:
        assert not IN_CI, "the CI has to have mosquitto"
        running = embedded.start(None, anonymous=True)
        try:
            yield OpenBroker(running.port)
        finally:
            running.stop()
        return
    port, config = free_port(), folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type error\n"
        f"user {getpass.getuser()}\n"
    )
    process = subprocess.Popen([MOSQUITTO, "-c", config])
    try:
        wait_until(lambda: listens(port), what="mosquitto listens")
        yield OpenBroker(port)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OpenBroker]:
    with open_broker(tmp_path) as broker:
        yield broker


def make_fleet(
    broker: OpenBroker, device_id: str, fault: Flaw, model: str = "neck", pace: Tempo = FAST
) -> Fleet:
    """A device with two hours of sessions behind it. Its id alone decides which."""
    credentials = DeviceCredentials(device_id, None, model, show_public_key(KEY))
    return Fleet(
        broker.address,
        [credentials],
        seed=4,
        speed=1e6,
        past=timedelta(hours=2),
        profile=fault.profile,
        behaviour=fault.behaviour(pace.right),
        schedule=Rhythm(first_after_s=(0.2, 0.3), pause_s=(60, 120)),
        frame_s=fault.frame_s,
        distortion=fault.distortion,
    )


class Pupil(NamedTuple):
    device_id: str
    fault: Flaw
    model: str = "neck"


def drill(broker: OpenBroker, pupil: Pupil, pace: Tempo) -> Report:
    fleet = make_fleet(broker, pupil.device_id, pupil.fault, pupil.model, pace)
    moves = pupil.fault.rule in {"", "R44"}  # who breaks another rule need not wait for that
    lesson = Drill(pupil.device_id, pace.timing, Programmes(KEY, 5), cuts=CUTS, moves=moves)
    listener = Listener(Entrance(broker.address), pupil.device_id, lesson)
    fleet.start()
    try:
        listener.listen(pace.at_most_s)
    finally:
        fleet.stop(drain=False)
    return report.judge(pupil.device_id, listener.trace, pace.timing)


def at_a_pace(folder: Path, attempt: Callable[[OpenBroker, Tempo], None]) -> None:
    """Where a message was held up for so long meanwhile that a verdict says nothing of the device,
    there is another attempt at half the pace: by the same devices, so that they have the same to
    tell, and on another broker, which keeps nothing of the one before."""
    pace = FAST
    while True:
        with open_broker(folder) as broker, ServerPulse(broker.address) as pulse:
            try:
                attempt(broker, pace)
            except AssertionError:
                if pulse.longest_s < pace.held_up_s or pace.factor == SLOWEST:
                    raise
            else:
                return
        pace = Tempo(2 * pace.factor)


def drill_all(
    folder: Path, pupils: Sequence[Pupil], check: Callable[[Sequence[Report]], None]
) -> None:
    def attempt(broker: OpenBroker, pace: Tempo) -> None:
        with ThreadPoolExecutor(len(pupils)) as pool:
            check(list(pool.map(lambda pupil: drill(broker, pupil, pace), pupils)))

    at_a_pace(folder, attempt)


def outcomes(made: Report) -> dict[str, tuple[str, ...]]:
    """The breaches by their rules."""
    return {one.rule: one.breaches for one in made.verdicts if one.outcome == "broken"}


@pytest.mark.slow
def test_simulated_devices_keep_every_rule(tmp_path: Path) -> None:
    models = ("ear_clip", "ear_cymba", "neck", "neck_band")

    def check(reports: Sequence[Report]) -> None:
        expected = set() if CUTS else OF_A_CUT | {"R1"}
        for made in reports:
            assert outcomes(made) == {}
            unseen = {one.rule for one in made.verdicts if one.outcome == "unseen"}
            assert unseen == expected
            assert made.outcome == ("kept" if CUTS else "unseen")
            assert made.frames > 100

    drill_all(tmp_path, [Pupil(f"right-{model}", Flaw(""), model) for model in models], check)


GROUPS = [list(FAULTS)[at::GROUP_COUNT] for at in range(GROUP_COUNT)]


@pytest.mark.slow
@pytest.mark.parametrize("names", GROUPS, ids=[" & ".join(names[:2]) for names in GROUPS])
def test_a_broken_device_breaks_its_own_rule_alone(tmp_path: Path, names: Sequence[str]) -> None:
    if not CUTS:
        names = [name for name in names if FAULTS[name].rule not in OF_A_CUT | {"R1", "R36"}]

    def check(reports: Sequence[Report]) -> None:
        found = {name: outcomes(made) for name, made in zip(names, reports, strict=True)}
        told = json.dumps(found, indent=2)
        assert {name: set(broken) for name, broken in found.items()} == {
            name: {FAULTS[name].rule} for name in names
        }, told
        assert {made.outcome for made in reports} == {"broken"}

    pupils = [Pupil(f"broken-{list(FAULTS).index(name):03}", FAULTS[name]) for name in names]
    drill_all(tmp_path, pupils, check)


@pytest.mark.slow
def test_beside_a_server_it_hears_both_and_two_servers_are_one_too_many(tmp_path: Path) -> None:
    """The drill is the server here; a listener follows it, and a second drill gives way."""

    def attempt(broker: OpenBroker, pace: Tempo) -> None:
        device_id = "overheard"
        fleet = make_fleet(broker, device_id, Flaw(""), pace=pace)
        beside = Listener(Entrance(broker.address), device_id)
        serving = Listener(
            Entrance(broker.address), device_id, Drill(device_id, pace.timing, cuts=CUTS)
        )
        second = Listener(Entrance(broker.address), device_id, Drill(device_id, pace.timing))
        with ThreadPoolExecutor(2) as pool:
            over = threading.Event()
            hearing = pool.submit(beside.listen, pace.at_most_s, stopping=over.is_set)
            served = pool.submit(serving.listen, pace.at_most_s)
            fleet.start()
            try:
                wait_until(lambda: fleet.counters.acked > 0, what="a server answers")
                with pytest.raises(AnotherServer, match="another server answers"):
                    second.listen(pace.at_most_s)
                served.result()
                over.set()
                hearing.result()
            finally:
                over.set()
                fleet.stop(drain=False)
        made = report.judge(device_id, beside.trace, pace.timing)
        assert outcomes(made) == {}
        unseen = {one.rule for one in made.verdicts if one.outcome == "unseen"}
        # A listener cuts nothing and gives no programme. The rest it sees as well as the server.
        assert {"R5", "R40", "R44"} <= unseen <= {"R1", "R5", "R37", "R40", "R44"}

    at_a_pace(tmp_path, attempt)


def test_an_absent_broker_is_told_from_a_broken_device(cymba: Run) -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=f"no broker answers at 127.0.0.1:{port}"):
        Listener(Entrance(BrokerAddress("127.0.0.1", port)), "device-0001").listen(1)
    done = cymba(
        "conformance", "--device", "device-0001", "--broker", f"mqtt://127.0.0.1:{port}",
        settings={},
    )  # fmt: skip
    assert done.returncode == Exit.UNREACHABLE
    assert "no broker answers at" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--broker", "http://localhost"), "is not mqtt"),
        (("--broker", "mqtt://bridge:x@127.0.0.1:1"), "would replace"),
        (("--secret", "x"), "go with --drill"),
        (("--programme-version", "1", "--drill"), "programme-version"),
    ],
)
def test_wrong_arguments_are_told(cymba: Run, arguments: Sequence[str], said: str) -> None:
    done = cymba("conformance", "--device", "device-0001", *arguments, settings={})
    assert done.returncode == Exit.USAGE
    assert said in " ".join(done.stderr.split())


@pytest.mark.slow
def test_the_command_reports_in_words_and_in_json(cymba: Run, broker: OpenBroker) -> None:
    listen = ("conformance", "--device", "device-0002", "--broker", broker.url, "--seconds", "4")
    silent = cymba(*listen, settings={})
    assert silent.returncode == Exit.UNMET
    assert f"0 kept, 0 broken, {len(rules.JUDGED)} not seen" in silent.stdout
    fleet = make_fleet(broker, "device-0002", FAULTS["sends a minute at once"])
    fleet.start()
    try:
        done = cymba(*listen, "--json", settings={})
    finally:
        fleet.stop(drain=False)
    assert done.returncode == Exit.FAILED
    told = json.loads(done.stdout)
    broken_rules = [one for one in told["rules"] if one["outcome"] == "broken"]
    assert [one["rule"] for one in broken_rules] == ["R23"]
    (broken,) = broken_rules
    lines = rules.PAGE.read_text().splitlines()
    assert lines[broken["line"] - 1].startswith("- **R23** ")
    assert broken["text"].startswith("A frame is sent when it is full")
