"""A bridge with a slow database works slowly: it cuts no connection, and loses nothing."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cymba.database import make_engine
from cymba.devices.provisioning import Credentials
from cymba.settings import Settings
from mqtt_bridge import app, loopback_probe
from mqtt_bridge.app import Bridge
from mqtt_bridge.loopback_probe import LOST_S
from tests.end_to_end.devices import ScriptedFleet
from tests.end_to_end.parts import Broker, BrokerProcess, MosquittoBroker, wait_until
from tests.held_database import held_database
from tests.mqtt_bridge.conftest import RunningBridge
from tests.programs import needs

StoredSeqs = Callable[[str], list[int]]
FRAMES = 30
WINDOW = 20
# Each commit of frames takes longer than the 5 s that the embedded broker waits for an ack.
SLOW_COMMIT = """
CREATE FUNCTION commit_slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF current_setting('test.has_waited', true) IS DISTINCT FROM 'yes' THEN
    PERFORM set_config('test.has_waited', 'yes', true), pg_sleep(5.5);
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER commit_slowly AFTER INSERT ON frame DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION commit_slowly();
"""


class SettableClock:
    """Time as the probe sees it: `per_look_s` later each time that it looks."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.per_look_s = 0.0
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        self.now_s += self.per_look_s
        return self.now_s


def make_fleet(broker: Broker, devices: list[Credentials]) -> ScriptedFleet:
    return ScriptedFleet.of(broker.port, devices, FRAMES, frames_per_s=100, resend_s=2)


def metric(bridge: RunningBridge, name: str) -> float:
    return bridge.bridge.metrics.registry.get_sample_value(f"cymba_bridge_{name}") or 0


def is_busy(bridge: RunningBridge) -> bool:
    parts = bridge.bridge
    return parts.writer.working or parts.ack_sender.working or len(parts._queue) > 0


def arrives_over_one_connection(
    bridge: RunningBridge, fleet: ScriptedFleet, stored_seqs: StoredSeqs
) -> None:
    wait_until(lambda: fleet.done, what=lambda: f"{fleet.in_flash} frames are still in flash")
    for device in fleet.devices:
        assert stored_seqs(device.device_id) == list(range(1, FRAMES + 1))
    assert metric(bridge, "connections_total") == 1
    assert metric(bridge, "echoes_lost_total") == 0


@pytest.mark.slow
@pytest.mark.drill
def test_a_slow_disk_over_the_embedded_broker(
    database_url: str, engine: Engine, devices: list[Credentials], stored_seqs: StoredSeqs
) -> None:
    with engine.begin() as connection:
        connection.execute(text(SLOW_COMMIT))
    broker = BrokerProcess(database_url)
    broker.start()
    bridge = RunningBridge(Bridge(Settings(broker_url=broker.bridge_url), engine, 0))
    fleet = make_fleet(broker, devices)
    fleet.start()
    try:
        arrives_over_one_connection(bridge, fleet, stored_seqs)
    finally:
        fleet.stop()
        bridge.stop()
        broker.stop()


@pytest.mark.slow
@pytest.mark.drill
@needs("mosquitto")
def test_a_database_that_answers_late_while_the_brokers_window_is_full(
    tmp_path: Path,
    database_url: str,
    devices: list[Credentials],
    stored_seqs: StoredSeqs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The echo is behind what waits for the commit. It is not there yet as the commit is over."""
    clock = SettableClock()
    monkeypatch.setattr(loopback_probe, "time", clock)
    monkeypatch.setattr(app, "TICK_S", 0.01)
    users = {one.device_id: one.secret for one in devices}
    broker = MosquittoBroker(tmp_path / "mosquitto", users, window=WINDOW)
    broker.start()
    with held_database(database_url) as held:
        engine = make_engine(held.url)
        bridge = RunningBridge(Bridge(Settings(broker_url=broker.bridge_url), engine, 0))
        wait_until(lambda: metric(bridge, "settled") == 1, what="settled")
        held.answers.clear()
        fleet = make_fleet(broker, devices)
        fleet.start()
        try:
            wait_until(lambda: bridge.bridge.writer.working, what="it commits")
            clock.per_look_s = 1.0
            late_s = clock.now_s + 10 * LOST_S
            wait_until(lambda: clock.now_s > late_s, what="the echo is late")
            clock.per_look_s = 0.0
            os.kill(broker.pid, signal.SIGSTOP)  # it has not seen the acks yet
            held.answers.set()
            wait_until(lambda: not is_busy(bridge), what="it has committed and acked")
            looks = clock.looks
            wait_until(lambda: clock.looks > looks + 10, what="it has looked at its connection")
            os.kill(broker.pid, signal.SIGCONT)
            arrives_over_one_connection(bridge, fleet, stored_seqs)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
            held.answers.set()
            fleet.stop()
            bridge.stop()
            broker.stop()
            engine.dispose()
