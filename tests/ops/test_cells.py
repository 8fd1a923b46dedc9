"""What an operator does about cells, and what they are told where that is not possible."""

import csv
import io
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from cymba.database import make_engine, utc_now
from cymba.devices import cells
from cymba.devices.provisioning import provision
from cymba.devices.tables import CellMove, Device
from cymba.errors import DomainError
from cymba.settings import Settings
from ops.cells import require_cell
from ops.commands.cell import cell
from ops.commands.device import device
from ops.exits import Exit
from tests.free_ports import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]
ADDRESS = "mqtts://north.example.org:8883"
BROKER = "mqtt://bridge:secret@127.0.0.1:1883"


@pytest.fixture
def settings(settings: dict[str, str], tmp_path: object) -> dict[str, str]:
    return settings | {"DATA_DIR": f"{tmp_path}/data"}


def run(settings: Mapping[str, str], command: str, *arguments: str) -> str:
    """What `cymba …` prints, without a process of its own."""
    given = Settings(database_url=settings["DATABASE_URL"], data_dir=Path(settings["DATA_DIR"]))
    commands = {"cell": cell, "device": device}[command]
    return CliRunner().invoke(commands, arguments, obj=given, catch_exceptions=False).stdout


def test_an_operator_adds_a_cell_fills_it_and_moves_devices(
    settings: dict[str, str], session: Session
) -> None:
    run(settings, "cell", "add", "north", ADDRESS)
    made = run(settings, "device", "provision", "--model", "neck", "--cell", "north", "--csv", "-")
    (there,) = csv.DictReader(io.StringIO(made))
    assert there["broker"] == ADDRESS
    made = run(settings, "device", "provision", "--model", "neck", "--csv", "-")
    (here,) = csv.DictReader(io.StringIO(made))
    assert here["broker"] == ""  # the first cell's address is not known until it is told
    run(settings, "device", "move", here["serial"].lower(), "north")
    assert [line.split() for line in run(settings, "cell", "list").splitlines()] == [
        ["first", "1", "devices", "0", "to", "come", "no", "address", "told"],
        ["north", "1", "devices", "1", "to", "come", ADDRESS],
    ]
    assert session.scalars(select(Device.id).where(Device.cell == "north")).all() == [
        there["device_id"]
    ]
    assert session.scalars(select(CellMove.device_id)).all() == [here["device_id"]]


def test_devices_before_one_that_cannot_be_moved_are_on_their_way(
    settings: dict[str, str], session: Session
) -> None:
    cells.add(session, "north", ADDRESS, utc_now())
    first, second, third = (one.device_id for one in provision(session, "neck", 3))
    session.commit()
    with pytest.raises(DomainError, match="there is no device ey0000"):
        run(settings, "device", "move", first, second, "ey00000000000000", third, "north")
    moving = session.scalars(select(CellMove.device_id)).all()
    assert set(moving) == {first, second}


def test_a_list_of_devices_can_be_moved_again_though_some_are_there(
    settings: dict[str, str], session: Session
) -> None:
    cells.add(session, "north", ADDRESS, utc_now())
    (there,) = provision(session, "neck", cell="north")
    (here,) = provision(session, "neck")
    session.commit()
    said = run(settings, "device", "move", there.device_id, here.device_id, "north")
    assert said == f"device {there.device_id} is in cell 'north' already\n"
    assert session.scalars(select(CellMove.device_id)).all() == [here.device_id]
    session.rollback()
    run(settings, "device", "move", here.device_id, "first")  # whose address nobody has told
    assert session.scalars(select(CellMove.device_id)).all() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cell", "add", "North", ADDRESS), "'North' is no name of a cell"),
        (("cell", "add", "south", "south.example.org"), "is not mqtt[s]://"),
        (("cell", "add", "south", "mqtts://bridge:secret@host"), "no user in it"),
        (("device", "provision", "--model", "neck", "--cell", "nroth", "--csv", "-"),
         "there is no cell 'nroth'; there are first, north"),
        (("device", "move", "{device}", "nroth"), "there is no cell 'nroth'"),
        (("device", "move", "{device}", "first"), "no address of cell 'first' is known"),
        (("device", "move", "ey00000000000000", "north"), "there is no device ey00000000000000"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_and_changes_nothing(
    settings: dict[str, str], session: Session, arguments: Sequence[str], said: str
) -> None:
    cells.add(session, "north", ADDRESS, utc_now())
    (one,) = provision(session, "neck", cell="north")
    session.commit()
    with pytest.raises(DomainError) as refused:
        run(settings, *(each.format(device=one.device_id) for each in arguments))
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
    assert [one.name for one in cells.cells(session)] == ["first", "north"]
    assert session.scalars(select(CellMove.device_id)).all() == []
    assert session.scalars(select(Device.id)).all() == [one.device_id]


@pytest.mark.parametrize(
    ("command", "named", "said"),
    [
        (("bridge",), "nroth", "CYMBA_CELL: there is no cell 'nroth'; there are first, north"),
        (("device", "passwords", "--out", "{folder}/passwords"), "nroth", "there is no cell"),
        (("broker", "--port", "0"), "nroth", "there is no cell"),
        (("bridge",), "North Sea", "CYMBA_CELL"),
    ],
)
def test_no_process_starts_for_a_cell_that_there_is_not(
    cymba: Run,
    settings: dict[str, str],
    session: Session,
    command: Sequence[str],
    named: str,
    said: str,
    tmp_path: object,
) -> None:
    """A bridge of it would turn every device away, and the file of its broker would be empty."""
    cells.add(session, "north", ADDRESS, utc_now())
    session.commit()
    arguments = (one.format(folder=tmp_path) for one in command)
    done = cymba(*arguments, settings=settings | {"CELL": named, "BROKER_URL": BROKER})
    assert done.returncode == Exit.USAGE, done.stderr
    assert said in " ".join(done.stderr.split())


def test_a_database_that_is_away_stops_no_bridge_of_a_further_cell() -> None:
    settings = Settings(cell="north")
    away = make_engine(f"postgresql://nobody@127.0.0.1:{free_port()}/cymba")
    with capture_logs() as logs:
        require_cell(away, settings)
    assert [one["cell"] for one in logs] == ["north"]
    away.dispose()
