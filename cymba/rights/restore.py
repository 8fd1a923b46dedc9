"""Importing an exported archive into a database without its person.

An archive is checked against its manifest, and each row against its person. An inconsistent archive
is refused as a whole. But archives are not signed: import only those that you trust.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any
from uuid import UUID
from zipfile import BadZipFile, ZipFile

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cymba.accounts import address_directory
from cymba.accounts.tables import Account, Change, ErasureLedger
from cymba.devices.tables import Device
from cymba.errors import Conflict, Rejected
from cymba.failures import is_refused
from cymba.insights.experiments import plans
from cymba.parts import one_after_the_other
from cymba.rights.export import FORMAT, FORMAT_VERSION, MANIFEST, TABLES, ExportProgress
from cymba.rights.personal_data import PERSONAL_TABLES, PersonalTable
from cymba.rights.pseudonym import pseudonym
from cymba.stimulation.archive.reading import SessionKey

MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
BATCH_BYTES = 4 * 1024 * 1024


class ArchivedTable(msgspec.Struct, frozen=True):
    """A member of the archive, according to its manifest."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The part of `manifest.json` that an import reads; the rest is for people."""

    format: str
    format_version: int
    schema_version: str
    account_id: UUID
    members: list[ArchivedTable]


@dataclass(slots=True)
class Restored:
    """What was imported, valid once the caller commits. The person must set a new password."""

    account_id: UUID
    rows: dict[str, int] = field(default_factory=dict)


def restore(
    session: Session,
    archive: IO[bytes],
    *,
    ledger_key: bytes,
    schema_version: str,
    progress: Callable[[ExportProgress], None] = lambda _: None,
) -> Restored:
    """Write the account of an archive (a seekable file) into the database.

    Raises:
        Rejected: it is not a complete archive (`bad-archive`), or of another schema
            (`schema-mismatch`).
        Conflict: the database already has the account, its address or a device of it, or the
            account was erased here.
    """
    try:
        with ZipFile(archive) as opened:
            return _Restoring(session, opened, schema_version, progress).run(ledger_key)
    # Raised by the standard library for damaged, encrypted or unknown members.
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise _bad("it is not a complete ZIP archive") from None
    except DBAPIError as error:
        if not is_refused(error):
            raise
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        raise Conflict(
            "The archive contradicts what the database holds"
            + (f" ({constraint})." if constraint else "."),
            code="archive-conflict",
        ) from None


class _Restoring:
    def __init__(
        self,
        session: Session,
        opened: ZipFile,
        schema_version: str,
        progress: Callable[[ExportProgress], None],
    ) -> None:
        self._session = session
        self._zip = opened
        self._progress = progress
        self._manifest = _manifest(opened, schema_version)
        self._account_id = str(self._manifest.account_id)
        self._members = {member.name: member for member in self._manifest.members}
        wanted = [f"{TABLES}{holding.name}.jsonl" for holding in PERSONAL_TABLES]
        missing = [name for name in wanted if name not in self._members]
        if missing:
            raise _bad(f"{missing[0]} is missing")
        self._total = sum(self._members[name].rows for name in wanted)
        self._done = 0
        self._devices: set[str] = set()

    def run(self, ledger_key: bytes) -> Restored:
        one_after_the_other(self._session)
        self._refuse_known(ledger_key)
        restored = Restored(self._manifest.account_id)
        # The change feed comes last, as in every transaction.
        for holding in sorted(PERSONAL_TABLES, key=lambda one: one.table is Change.__table__):
            count = 0
            for rows in self._batches(holding):
                if holding.imported:
                    self._write(holding, rows)
                    count += len(rows)
                self._done += len(rows)
                self._progress(ExportProgress(self._done, self._total, holding.about))
            if holding.imported:
                restored.rows[holding.name] = count
        return restored

    def _refuse_known(self, ledger_key: bytes) -> None:
        account_id = self._manifest.account_id
        if self._session.get(Account, account_id) is not None:
            raise Conflict("This account is in the database already.", code="account-exists")
        if self._session.get(ErasureLedger, pseudonym(ledger_key, account_id)) is not None:
            raise Conflict(
                "This account was erased here, and the next replay of the ledger would erase it "
                "again.",
                code="account-erased",
            )

    def _batches(self, holding: PersonalTable) -> Iterator[list[dict[str, Any]]]:
        """The table's rows, checked, in batches of about 4 MiB."""
        listed = self._members[f"{TABLES}{holding.name}.jsonl"]
        known = {column.name for column in holding.table.columns} - holding.left_out.keys()
        digest, count, size = hashlib.sha256(), 0, 0
        batch: list[dict[str, Any]] = []
        with _opened(self._zip, listed.name) as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                digest.update(line)
                count += 1
                size += len(line)
                batch.append(self._row(holding, line, known))
                if size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        if digest.hexdigest() != listed.sha256 or count != listed.rows:
            raise _bad(f"{listed.name} differs from its size or checksum in the manifest")
        if batch:
            yield batch

    def _row(self, holding: PersonalTable, line: bytes, known: set[str]) -> dict[str, Any]:
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            raise _bad(f"a line of {holding.name} is not a JSON object") from None
        strange = row.keys() - known
        if strange:
            raise _bad(f"{holding.name} has no column {min(strange)}")
        owner_column = "id" if holding.name == "account" else "account_id"
        owner = row.get(owner_column, self._account_id)
        if owner not in {self._account_id, None}:
            raise _bad(f"a row of {holding.name} is of another account")
        if holding.name == "device":
            self._devices.add(str(row.get("id")))
        elif row.get("device_id", None) not in {None, *self._devices}:
            raise _bad(f"a row of {holding.name} is of a device that is not in the archive")
        if holding.name == "stimulation_session":
            _check_session_id(row)
        if holding.name == "experiment":
            _check_seal(row)
        return row

    def _write(self, holding: PersonalTable, rows: list[dict[str, Any]]) -> None:
        if holding.name == "device":
            rows = [row for row in rows if not self._is_known_device(row)]
        if not rows:
            return
        for row in rows:
            holding.arrives(row)
            for column, draw in holding.drawn_anew.items():
                row[column] = draw()
            for column in _numbered(holding):
                row.pop(column, None)
        # Only the given columns; the others get their defaults.
        columns = sorted(rows[0].keys())
        if any(row.keys() != rows[0].keys() for row in rows):
            raise _bad(f"rows of {holding.name} have different columns")
        names = ", ".join(f'"{column}"' for column in columns)
        table = holding.table.name
        # Every name is one of our own tables or columns, checked by `_row`.
        statement = (
            f"INSERT INTO {table} ({names}) "  # noqa: S608
            f"SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, CAST(:rows AS jsonb))"
        )
        self._session.execute(text(statement), {"rows": msgspec.json.encode(rows).decode()})
        if holding.name == "account" and not all(self._takes_address(row) for row in rows):
            raise Conflict("The database has an account of this address.", code="archive-conflict")

    def _takes_address(self, row: dict[str, Any]) -> bool:
        return address_directory.take(self._session, UUID(row["id"]), str(row["email"]))

    def _is_known_device(self, row: dict[str, Any]) -> bool:
        """Whether the inventory has the device. A person's devices may be there before their
        archive."""
        device = self._session.get(Device, str(row.get("id")))
        if device is None:
            return False
        if (device.serial, device.model) != (row.get("serial"), row.get("model")):
            raise Conflict(
                f"The database has another device under the id {device.id}.",
                code="archive-conflict",
            )
        return True


def _numbered(holding: PersonalTable) -> list[str]:
    """Columns that the database numbers itself: an import continues the numbers, in the same
    order."""
    return [column.name for column in holding.table.columns if column.identity is not None]


def _check_session_id(row: dict[str, Any]) -> None:
    try:
        expected = SessionKey(row["device_id"], UUID(row["sid"])).id
        fits = UUID(row["id"]) == expected
    except (KeyError, ValueError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise _bad("a session's id does not follow from its device and sid")


def _check_seal(row: dict[str, Any]) -> None:
    """A trial's seed must be the one of its seal. A running trial has no seed in the archive, nor
    has one that an import stopped."""
    seed, status = row.get("seed"), row.get("status")
    if status == "running" or (status == "stopped" and seed == "\\x"):
        return
    try:
        fits = plans.seal(bytes.fromhex(str(seed).removeprefix("\\x")), row["plan"]) == row["seal"]
    except (KeyError, ValueError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise _bad("a trial's seed and plan are not those of its seal")


def _manifest(opened: ZipFile, schema_version: str) -> Manifest:
    with _opened(opened, MANIFEST) as file:
        raw = file.read(MAX_MANIFEST_BYTES)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.MsgspecError as error:
        raise _bad(f"its manifest cannot be read: {error}") from None
    if manifest.format != FORMAT or manifest.format_version != FORMAT_VERSION:
        raise _bad(f"it is not a {FORMAT} of version {FORMAT_VERSION}")
    if manifest.schema_version != schema_version:
        raise Rejected(
            f"The archive is of schema {manifest.schema_version}, and this database is at "
            f"{schema_version}: import it with the Cymba that made it, and upgrade then.",
            code="schema-mismatch",
        )
    return manifest


def _opened(opened: ZipFile, name: str) -> IO[bytes]:
    try:
        return opened.open(name)
    except KeyError:
        raise _bad(f"{name} is missing") from None


def _bad(why: str) -> Rejected:
    return Rejected(f"The archive cannot be imported: {why}.", code="bad-archive")
