"""The store's promise: a number names one frame, whatever happens to the program."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from cymba.devices.models import MODELS
from cymba.stimulation.wire.messages import Event, EventFrame, Frame
from gateway.config import GatewayConfig, NotSetUp, read_config, write_config
from gateway.store import FrameStore, Numbers, StoreInUse, sole_use


def noted(numbers: Numbers) -> Frame:
    return EventFrame(
        v=1, store=numbers.store, seq=numbers.seq, boot=numbers.boot, sid=UUID(int=1), up=1,
        event=Event(name="noted"),
    )  # fmt: skip


def write(store: FrameStore, count: int) -> list[tuple[int, int]]:
    frames = [store.write(noted, boot=1) for _ in range(count)]
    return [(frame.store, frame.seq) for frame in frames]


def test_numbers_go_on_where_they_were_when_it_is_opened_again(tmp_path: Path) -> None:
    first = FrameStore(tmp_path)
    keys = write(first, 3)
    first.free(keys)  # the server has them; their numbers stay theirs
    first.close()
    keys += write(FrameStore(tmp_path), 2)
    assert [seq for _, seq in keys] == [1, 2, 3, 4, 5]
    assert len({store for store, _ in keys}) == 1


def test_a_frame_that_is_not_made_uses_no_number(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)

    def fails(_: Numbers) -> Frame:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="ours"):
        store.write(fails, boot=1)
    assert write(store, 1)[0][1] == 1


def test_each_boot_is_numbered_higher(tmp_path: Path) -> None:
    numbers = []
    for _ in range(3):
        store = FrameStore(tmp_path)
        numbers.append(store.begin_boot().number)
        assert store.boot().number == numbers[-1]
        store.close()
    assert numbers == [1, 2, 3]


def test_another_thread_sees_what_is_written_and_frees_it(tmp_path: Path) -> None:
    desk, network = FrameStore(tmp_path), FrameStore(tmp_path)
    keys = write(desk, 2)
    seen = network.frames_after(0)
    assert [(frame.store, frame.seq) for _, frame in seen] == keys
    assert network.frames_after(seen[-1][0]) == []
    network.free(keys[:1])
    assert len(desk) == 1


def test_a_counter_that_is_not_trusted_gets_a_new_store_and_keeps_what_is_kept(tmp_path) -> None:
    store = FrameStore(tmp_path)
    (old, _), _ = write(store, 2)
    store.renew_if_due()
    assert store.number == old
    store.ask_for_renewal()
    store.renew_if_due()
    ((new, seq),) = write(store, 1)
    assert new != old
    assert seq == 1
    assert len(store) == 3


def test_a_session_of_the_last_24_hours_counts_also_where_the_date_was_set_back(tmp_path) -> None:
    store = FrameStore(tmp_path)
    day_ms = 24 * 3600 * 1000
    store.note_spent(10 * day_ms, 60.0)
    assert store.spent_in_a_day(10 * day_ms + 1) == [60.0]
    assert store.spent_in_a_day(3 * day_ms) == [60.0]
    assert store.spent_in_a_day(11 * day_ms + 1) == []


def test_two_gateways_never_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from gateway.store import sole_use\n"
        "with sole_use(pathlib.Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as other:  # fmt: skip
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(StoreInUse), sole_use(tmp_path):
            pass
        other.kill()  # and a killed one leaves nothing behind
        other.wait()
    with sole_use(tmp_path):
        pass


def test_a_store_that_was_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"x" * 4096)
    with pytest.raises(sqlite3.DatabaseError):
        FrameStore(tmp_path)


CONFIG = GatewayConfig(
    device_id="band-0001", secret="a secret", model=MODELS["neck_band"], programme_key=None,
    server="mqtts://cymba.example.org", kind="neck-band", address="AA:BB", highest_level=3,
)  # fmt: skip


def test_a_set_up_is_read_as_it_was_written_by_its_owner_alone(tmp_path: Path) -> None:
    for config in (CONFIG, CONFIG):  # it is set up again
        path = write_config(tmp_path / "new", config)
        assert read_config(tmp_path / "new") == CONFIG
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [None, b"{", b'{"device_id": "x"}'])
def test_what_is_not_set_up_says_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "gateway.json").write_bytes(content)
    with pytest.raises(NotSetUp, match="set"):
        read_config(tmp_path)
