"""What new summaries change for others: for apps, and for what was written of the same sessions.

`rows` are the new summaries, by column; `known` the rows that they replace, by id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.devices.holders import announce_to_holders
from cymba.stimulation.written.grouping import SessionWitness
from cymba.stimulation.written.witnesses import recorded_witness

Known = Mapping[UUID, Row[Any]]
NewRow = Mapping[str, Any]

_WITNESS = ("id", "device_id", "started_at", "ended_at", "time_error_ms")
_PLACED = ("account_id", "started_at", "ended_at", "time_error_ms")
_WORN = ("state", "account_id", "started_at", "start_impedance_ohm")


def owners(rows: Iterable[NewRow], known: Known) -> set[UUID]:
    """Whose sessions these are, or were."""
    now = {row["account_id"] for row in rows}
    before = {known[row["id"]].account_id for row in rows if row["id"] in known}
    return (now | before) - {None}


def announce_summaries(session: Session, rows: Sequence[NewRow], known: Known) -> None:
    """Have the accounts' apps read the sessions, and the devices whose electrode's wear they
    show."""
    for row in rows:
        before = known.get(row["id"])
        owner = row["account_id"]
        if owner is not None:
            announce(session, owner, "session", row["id"])
        if before is not None and before.account_id not in {owner, None}:
            announce(session, before.account_id, "session", row["id"], deleted=True)
    worn = {
        row["device_id"]
        for row in rows
        if row["start_impedance_ohm"] is not None
        and row["state"] == "ended"
        and differs(row, known.get(row["id"]), _WORN)
    }
    if worn:
        announce_to_holders(session, worn)


def moved(account_id: UUID, rows: Iterable[NewRow], known: Known) -> Iterator[SessionWitness]:
    """What those of an account's sessions are, and were, whose times or owners are others than
    before."""
    for row in rows:
        before = known.get(row["id"])
        if not differs(row, before, _PLACED):
            continue
        if row["account_id"] == account_id:
            yield recorded_witness(*(row[name] for name in _WITNESS))
        if before is not None and before.account_id == account_id:
            yield recorded_witness(*(getattr(before, name) for name in _WITNESS))


def differs(row: NewRow, before: Row[Any] | None, names: Iterable[str]) -> bool:
    """Whether a summary has other values in these columns than the one before, if there was one."""
    return before is None or any(row[name] != getattr(before, name) for name in names)
