"""A band at a desk, through a lost link, a killed bridge and a killed program: exactly once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cymba.database import make_engine
from cymba.devices.models import MODELS
from cymba.stimulation.tables import QuarantinedFrame, StoredFrame
from cymba.stimulation.wire.frames import unpack
from cymba.stimulation.wire.messages import EndFrame, EventFrame, SamplesFrame, StartFrame
from gateway.config import GatewayConfig, write_config
from gateway.store import FrameStore
from tests.end_to_end.parts import (
    PATIENCE_S,
    ROOT,
    BridgeProcess,
    Broker,
    BrokerProcess,
    DatabaseServer,
    MosquittoBroker,
    wait_until,
)
from tests.programs import or_another


class DeskProcess:
    """The program, with a keyboard. Its lines are read as a person reads them."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "screen.log"
        with self._log.open("wb") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.end_to_end.gateway_at_desk", folder],
                stdin=subprocess.PIPE, stdout=screen, stderr=screen, cwd=ROOT,
            )  # fmt: skip

    def press(self, keys: str) -> None:
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()

    def until_said(self, words: str) -> None:
        wait_until(lambda: words in self.screen, what=lambda: f"{words!r} in:\n{self.screen}")

    @property
    def screen(self) -> str:
        return self._log.read_text()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[DatabaseServer, BridgeProcess, Path]]:
    database = DatabaseServer(tmp_path / "postgres")
    (one,) = database.provision(1, model="neck_band")
    broker: Broker
    if or_another("mosquitto", "embedded") == "mosquitto":
        broker = MosquittoBroker(tmp_path / "mosquitto", {one.device_id: one.secret})
    else:
        broker = BrokerProcess(database.url)
    broker.start()
    bridge = BridgeProcess(
        tmp_path / "bridge.log",
        {"CYMBA_DATABASE_URL": database.url, "CYMBA_BROKER_URL": broker.bridge_url},
    )
    bridge.start()
    folder = tmp_path / "gateway"
    config = GatewayConfig(
        device_id=one.device_id, secret=one.secret, model=MODELS[one.model], programme_key=None,
        server=f"mqtt://127.0.0.1:{broker.port}", kind="neck-band", address="pretended",
    )  # fmt: skip
    write_config(folder, config)
    yield database, bridge, folder
    bridge.stop()
    broker.stop()
    database.stop()


@pytest.mark.slow
def test_a_desks_sessions_arrive_exactly_once_through_every_loss(world) -> None:
    database, bridge, folder = world
    desk = DeskProcess(folder)
    desk.until_said("Linked")
    desk.press("s")
    desk.until_said("Started at level 1")
    # A level is raised once a second at most: what is pressed sooner is refused.
    wait_until(lambda: desk.press("+") or "Level 2." in desk.screen, what=lambda: desk.screen)
    desk.press("B")
    desk.until_said("LINK LOST. The neck band may still be stimulating at level 2")
    bridge.kill()
    desk.press("R")
    desk.until_said("The link is back")
    desk.press("g")
    desk.until_said("Gone on at level 1")
    desk.process.kill()
    desk.process.wait()
    bridge.start()

    desk = DeskProcess(folder)
    desk.until_said("The last session broke off")
    desk.until_said("may have been on; it was told to stop")
    desk.press("s")
    desk.until_said("Started at level 1")
    desk.press(" ")
    desk.until_said("Stopped.")
    kept = FrameStore(folder)
    wait_until(lambda: len(kept) == 0, what=lambda: f"all is sent\n{desk.screen}\n{bridge.log}")
    desk.press("q")
    assert desk.process.wait(PATIENCE_S) == 0

    made = [line.split() for line in (folder / "made.log").read_text().splitlines()]
    engine = make_engine(database.url)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(QuarantinedFrame)) == 0
        rows = connection.execute(select(StoredFrame.__table__).order_by(StoredFrame.seq)).all()
    engine.dispose()
    # The last frame before the kill may be on the disk and not in the log.
    stored = {(str(row.store), str(row.seq)): row.digest.hex() for row in rows}
    assert all(stored[store, seq] == digest for store, seq, digest in made)
    assert len(made) <= len(stored) <= len(made) + 1
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    frames = [unpack(row) for row in rows]
    sessions = [frame.sid for frame in frames if isinstance(frame, StartFrame)]
    ends = {frame.sid: frame for frame in frames if isinstance(frame, EndFrame)}
    assert [ends[sid].reason for sid in sessions] == ["firmware_fault", "user_stop"]
    events = [frame.event.name for frame in frames if isinstance(frame, EventFrame)]
    assert events == ["link_lost", "link_back", "pause", "resume", "record_broken_off"]
    levels = [
        level
        for frame in frames
        if isinstance(frame, SamplesFrame)
        for level in frame.c["native_level"]
    ]
    assert set(levels) <= {None, 0, 1, 2}
