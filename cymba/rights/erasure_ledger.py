"""The ledger of erasures: kept apart from backups, and replayed after a restore.

A backup still holds the people who were erased after it was made. The ledger is a file of JSON
lines with pseudonyms only. A replay erases everybody in it again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account, ErasureLedger
from cymba.errors import Rejected
from cymba.rights.pseudonym import PSEUDONYM_BYTES, key_check, pseudonym

FORMAT = "cymba-erasure-ledger"


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    key_check: str


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pseudonym: str
    erased_at: datetime
    rows_erased: dict[str, int]


@dataclass(slots=True)
class ErasureRecords:
    """A ledger, read from a file."""

    rows: list[dict[str, Any]] = field(default_factory=list)


def write_ledger(session: Session, key: bytes) -> Iterator[bytes]:
    """The ledger's lines, the oldest erasure first."""
    yield msgspec.json.encode(_Head(FORMAT, key_check(key))) + b"\n"
    rows = select(ErasureLedger).order_by(ErasureLedger.erased_at, ErasureLedger.pseudonym)
    for row in session.scalars(rows.execution_options(yield_per=500)):
        line = _Line(row.pseudonym.hex(), row.erased_at, row.rows_erased)
        yield msgspec.json.encode(line) + b"\n"


def read_ledger(lines: Iterable[bytes], key: bytes) -> ErasureRecords:
    """
    Raises:
        Rejected: `bad-ledger`: it is no ledger, or was written under another secret key and would
        match nobody.
    """
    given = iter(lines)
    head = _decode(next(given, b""), _Head, 1)
    if head.format != FORMAT:
        raise _bad("it is not a ledger of erasures")
    if head.key_check != key_check(key):
        raise _bad("it was written under another CYMBA_SECRET_KEY, so it would match nobody here")
    ledger = ErasureRecords()
    for number, raw in enumerate(given, 2):
        line = _decode(raw, _Line, number)
        try:
            name = bytes.fromhex(line.pseudonym)
        except ValueError:
            name = b""
        if len(name) != PSEUDONYM_BYTES or line.erased_at.tzinfo is None:
            raise _bad(f"line {number} is not one of a ledger")
        ledger.rows.append(
            {"pseudonym": name, "erased_at": line.erased_at, "rows_erased": line.rows_erased}
        )
    return ledger


def take_ledger(session: Session, ledger: ErasureRecords) -> None:
    """Add the entries that the restored database does not have."""
    for at in range(0, len(ledger.rows), 1_000):
        statement = insert(ErasureLedger).values(ledger.rows[at : at + 1_000])
        session.execute(statement.on_conflict_do_nothing())


def returned_accounts(session: Session, key: bytes) -> list[UUID]:
    """Accounts that exist although the ledger says that they were erased."""
    erased = set(session.scalars(select(ErasureLedger.pseudonym)))
    ids = session.scalars(select(Account.id).execution_options(yield_per=1_000))
    return [account_id for account_id in ids if pseudonym(key, account_id) in erased]


def _decode(raw: bytes, type_: type[Any], number: int) -> Any:
    try:
        return msgspec.json.decode(raw, type=type_)
    except msgspec.MsgspecError as error:
        raise _bad(f"line {number}: {error}") from None


def _bad(why: str) -> Rejected:
    return Rejected(f"The ledger cannot be replayed: {why}.", code="bad-ledger")
