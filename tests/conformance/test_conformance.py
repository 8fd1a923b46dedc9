"""The conformance kit against simulated devices on a real broker: those that keep every rule, and
one for each way to break a single one."""

import getpass
import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conformance import report, rules
from conformance.drill import Drill, Programmes
from conformance.listener import AnotherServer, Entrance, Listener, Unreachable
from conformance.report import Report
from conformance.trace import Timing
from cymba.broker_address import BrokerAddress
from cymba.devices.signing import show_public_key
from ops import broker as embedded
from ops.exits import Exit
from simulator.faults import Behaviour
from simulator.fleet import DeviceCredentials, Fleet
from simulator.life import Rhythm
from tests.conformance.broken import FAULTS, Fault
from tests.end_to_end.parts import free_port, listens, wait_until
from tests.ops.conftest import Run
from tests.programs import IN_CI, MOSQUITTO

# The protocol's delays, twenty times as fast, and more patience with a machine that is busy.
TIMING = Timing(
    resend_s=1.5, resend_at_most_s=30, exchange_within_s=3, report_within_s=5, slack=0.35, grace_s=1
)
RIGHT = Behaviour(resend_after_s=1.5, resend_at_most_s=30, reconnect_at_most_s=1)
KEY = Ed25519PrivateKey.generate()
AT_MOST_S = 60.0
GROUP_COUNT = 4
# What no broker shows that leaves the old line of a client standing when its id is taken.
OF_A_CUT = {"R5", "R37"}


@dataclass
class OpenBroker:
    """Lets everybody do everything. `cuts`: it ends a connection whose client id is taken."""

    port: int
    cuts: bool

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OpenBroker]:
    if MOSQUITTO is None:
        assert not IN_CI, "the CI has to have mosquitto"
        running = embedded.start(None, anonymous=True)
        yield OpenBroker(running.port, cuts=False)
        running.stop()
        return
    port, config = free_port(), tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type error\n"
        f"user {getpass.getuser()}\n"
    )
    process = subprocess.Popen([MOSQUITTO, "-c", config])
    wait_until(lambda: listens(port), what="mosquitto listens")
    yield OpenBroker(port, cuts=True)
    process.terminate()
    process.wait()


def make_fleet(broker: OpenBroker, device_id: str, fault: Fault, model: str = "neck") -> Fleet:
    """A device with two hours of sessions behind it."""
    credentials = DeviceCredentials(device_id, None, model, show_public_key(KEY))
    return Fleet(
        broker.address,
        [credentials],
        seed=4,
        speed=1e6,
        past=timedelta(hours=2),
        profile=fault.profile,
        behaviour=fault.behaviour(RIGHT),
        schedule=Rhythm(first_after_s=(0.2, 0.3), pause_s=(60, 120)),
        frame_s=fault.frame_s,
        distortion=fault.distortion,
    )


def drill(broker: OpenBroker, device_id: str, fault: Fault, model: str = "neck") -> Report:
    fleet = make_fleet(broker, device_id, fault, model)
    lesson = Drill(device_id, TIMING, Programmes(KEY, 5), cuts=broker.cuts)
    listener = Listener(Entrance(broker.address), device_id, lesson)
    fleet.start()
    try:
        listener.listen(AT_MOST_S)
    finally:
        fleet.stop(drain=False)
    return report.judge(device_id, listener.trace, TIMING)


def outcomes(made: Report) -> dict[str, tuple[str, ...]]:
    """The breaches by their rules."""
    return {one.rule: one.breaches for one in made.verdicts if one.outcome == "broken"}


@pytest.mark.slow
def test_simulated_devices_keep_every_rule(broker: OpenBroker) -> None:
    models = ("ear_clip", "ear_cymba", "neck")
    right = Fault("")
    with ThreadPoolExecutor(len(models)) as pool:
        reports = list(
            pool.map(lambda model: drill(broker, f"right-{model}", right, model), models)
        )
    expected = set() if broker.cuts else OF_A_CUT | {"R1"}
    for made in reports:
        assert outcomes(made) == {}
        unseen = {one.rule for one in made.verdicts if one.outcome == "unseen"}
        assert unseen == expected
        assert made.outcome == ("kept" if broker.cuts else "unseen")
        assert made.frames > 100


GROUPS = [list(FAULTS)[at::GROUP_COUNT] for at in range(GROUP_COUNT)]


@pytest.mark.slow
@pytest.mark.parametrize("names", GROUPS, ids=[" & ".join(names[:2]) for names in GROUPS])
def test_a_broken_device_breaks_its_own_rule_alone(
    broker: OpenBroker, names: Sequence[str]
) -> None:
    if not broker.cuts:
        names = [name for name in names if FAULTS[name].rule not in OF_A_CUT | {"R1", "R36"}]
    with ThreadPoolExecutor(len(names)) as pool:
        reports = list(
            pool.map(
                lambda name: drill(broker, f"broken-{list(FAULTS).index(name):03}", FAULTS[name]),
                names,
            )
        )
    found = {name: outcomes(made) for name, made in zip(names, reports, strict=True)}
    told = json.dumps(found, indent=2)
    assert {name: set(broken) for name, broken in found.items()} == {
        name: {FAULTS[name].rule} for name in names
    }, told
    assert {made.outcome for made in reports} == {"broken"}


@pytest.mark.slow
def test_beside_a_server_it_hears_both_and_two_servers_are_one_too_many(
    broker: OpenBroker,
) -> None:
    """The drill is the server here; a listener follows it, and a second drill gives way."""
    device_id = "overheard-01"
    fleet = make_fleet(broker, device_id, Fault(""))
    beside = Listener(Entrance(broker.address), device_id)
    serving = Listener(
        Entrance(broker.address), device_id, Drill(device_id, TIMING, cuts=broker.cuts)
    )
    second = Listener(Entrance(broker.address), device_id, Drill(device_id, TIMING))
    with ThreadPoolExecutor(2) as pool:
        over = threading.Event()
        hearing = pool.submit(beside.listen, AT_MOST_S, stopping=over.is_set)
        served = pool.submit(serving.listen, AT_MOST_S)
        fleet.start()
        try:
            wait_until(lambda: fleet.counters.acked > 0, what="a server answers")
            with pytest.raises(AnotherServer, match="somebody else answers"):
                second.listen(AT_MOST_S)
            served.result()
            over.set()
            hearing.result()
        finally:
            over.set()
            fleet.stop(drain=False)
    made = report.judge(device_id, beside.trace, TIMING)
    assert outcomes(made) == {}
    unseen = {one.rule for one in made.verdicts if one.outcome == "unseen"}
    # A listener cuts nothing and gives no programme. The rest it sees as well as the server.
    assert {"R5", "R40"} <= unseen <= {"R1", "R5", "R37", "R40"}


def test_an_absent_broker_is_told_from_a_broken_device(cymba: Run) -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=f"no broker at 127.0.0.1:{port}"):
        Listener(Entrance(BrokerAddress("127.0.0.1", port)), "device-0001").listen(1)
    done = cymba(
        "conformance", "--device", "device-0001", "--broker", f"mqtt://127.0.0.1:{port}",
        settings={},
    )  # fmt: skip
    assert done.returncode == Exit.UNREACHABLE
    assert "no broker at" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--broker", "http://localhost"), "is not mqtt"),
        (("--broker", "mqtt://bridge:x@127.0.0.1:1"), "put out"),
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
