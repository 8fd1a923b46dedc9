"""`cymba status` shows in a terminal what the operator's view shows, and nothing that moves it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from cymba.database import utc_now
from cymba.devices.cells import CellShown
from cymba.devices.provisioning import provision
from cymba.devices.suspension import suspend
from cymba.operations.devices import STATES, Backlog, RecentSessions, ReportedFirmware
from cymba.operations.fleet import SuspendedDevice
from cymba.operations.queues import Queue
from cymba.operations.status import ConnectedProcess, Status
from ops.commands.status import lines
from ops.exits import Exit
from tests.ops.conftest import Run

NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)


def test_the_status_of_an_installation_where_nothing_runs(
    cymba: Run, settings: dict[str, str], session: Session
) -> None:
    (made,) = provision(session, "ear_cymba", 1)
    suspend(session, made.device_id, utc_now())
    session.commit()
    run = cymba("status", settings=settings)
    assert run.returncode == Exit.DONE, run.stderr
    for part in ("bridge", "seal", "passwords"):
        assert f"  {part:<22} not connected" in run.stdout
    for state in STATES:
        assert f"  {state:<22} {int(state == 'suspended'):>11}" in run.stdout
    assert "Quarantine\n  none" in run.stdout
    assert f"UTC: {made.device_id}" in run.stdout


def test_no_name_moves_the_cursor_or_fills_the_screen() -> None:
    hostile = [f"\x1b[2J\r\u202efirmware {n} " + "x" * 200 for n in range(100)]
    shown = "\n".join(
        lines(
            Status(
                at=NOW,
                processes=[ConnectedProcess("seal", 2, NOW, 0.2)],
                missing=["mail"],
                queues={"mails": Queue(1_234, NOW - timedelta(hours=5))},
                quarantine={"schema": 3},
                states={"online": 9},
                firmwares=[ReportedFirmware(name, 1) for name in hostile],
                backlog=Backlog(2, 81_000),
                sessions=RecentSessions(8, 2, 1, 0.955),
                cells=[CellShown("first", None, 1_000, 0), CellShown("north", "mqtts://n", 20, 3)],
            ),
            [SuspendedDevice("ey1", NOW, NOW + timedelta(minutes=10))],
        )
    )
    assert shown.replace("\n", "").isprintable()
    assert max(map(len, shown.splitlines())) <= 120
    assert len(shown.splitlines()) < 60
    assert "  north                           20\n  on their way                     3" in shown
    assert "mails                        1,234   5 h" in shown
    assert "8 complete, 2 incomplete, 1 open; 95.5% of what was recorded is here" in shown
