"""`cymba account export|import|erase`: requests that a person may make to an operator."""

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import click
from sqlalchemy import Engine

import migrations
from cymba.accounts import audit
from cymba.accounts.keys import load_secret
from cymba.accounts.profile import find_by_email
from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.errors import NotFound
from cymba.large_reads import LargeReads
from cymba.rights.erasure import ErasureKeys, erase
from cymba.rights.export import ExportProgress, export
from cymba.rights.restore import restore
from cymba.settings import Settings
from cymba.whole_file import replaced
from ops.database import open_engine, replica_of


@click.command("export")
@click.argument("who")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def export_account(settings: Settings, *, who: str, file: Path) -> None:
    """Write everything that is held about WHO (an e-mail address or an id) to FILE, a ZIP archive.

    It is entered in the person's audit log. The archive holds health data: FILE is made readable
    for its owner alone, and appears under its name only when it is whole.

    \b
    cymba account export ana@example.org ana.zip
    """
    with open_engine(settings, application_name="cymba export") as engine:
        account_id = _find(engine, who)
        with UnitOfWork(engine) as session, session.begin():
            audit.note(session, account_id, _operator(), "account.exported")
        replica = replica_of(settings, application_name="cymba export")
        with replaced(file) as out:
            _write(LargeReads(engine, replica), account_id, out)
    click.echo(f"{file}: {file.stat().st_size} bytes")


def _write(reads: LargeReads, account_id: UUID, out: IO[bytes]) -> None:
    with _bar("Exporting") as progress:
        for piece in reads.stream(
            lambda session: export(
                session,
                account_id,
                schema_version=migrations.head(),
                now=utc_now(),
                progress=progress,
            )
        ):
            out.write(piece)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def import_account(settings: Settings, *, file: IO[bytes]) -> None:
    """Import the account of an exported archive FILE.

    The database must be at the schema that the archive was made with, and hold neither the account
    nor its address. It is one transaction: all of it is imported, or nothing. Secrets are not in an
    archive: the person sets a new password, devices get new secrets (`cymba device reissue`), and
    links of shares no longer work. Import only archives that you trust.

    \b
    cymba account import ana.zip
    """
    keys = ErasureKeys.of(load_secret(settings))
    with (
        open_engine(settings, application_name="cymba import") as engine,
        _bar("Importing") as progress,
        UnitOfWork(engine) as session,
        session.begin(),
    ):
        restored = restore(
            session,
            file,
            ledger_key=keys.ledger,
            schema_version=migrations.head(),
            progress=progress,
        )
        audit.note(session, restored.account_id, _operator(), "account.imported")
    click.echo(f"account   {restored.account_id}\nrows      {sum(restored.rows.values())}")


@click.command("erase")
@click.argument("who")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase_account(settings: Settings, *, who: str, yes: bool) -> None:
    """Erase WHO (an e-mail address or an id) and everything that is held about them, for good.

    A pseudonym stays in the ledger, so that they can be erased from a restored backup too (`cymba
    restore finish`). A running bridge removes their programmes from the broker.

    \b
    cymba account erase ana@example.org
    """
    keys = ErasureKeys.of(load_secret(settings))
    with open_engine(settings, application_name="cymba erase") as engine:
        account_id = _find(engine, who)
        if not yes:
            click.confirm(f"Erase {who} ({account_id})? Nobody can undo this.", abort=True)
        with UnitOfWork(engine) as session, session.begin():
            erased = erase(session, keys, account_id, now=utc_now())
    click.echo(f"erased    {sum(erased.rows.values())} rows\nledger    {erased.pseudonym.hex()}")


def _find(engine: Engine, who: str) -> UUID:
    with UnitOfWork(engine) as session:
        try:
            account = session.get(Account, UUID(who))
        except ValueError:
            account = find_by_email(session, who)
        if account is None:
            raise NotFound(f"there is no account {who}")
        return account.id


def _operator() -> audit.Actor:
    return audit.Actor("operator", getpass.getuser()[:64])


@contextmanager
def _bar(label: str) -> Iterator[Callable[[ExportProgress], None]]:
    """A progress bar on standard error. The first step gives its length."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:
        shown: Any = bar

        def progress(now: ExportProgress) -> None:
            shown.length = max(now.total, 1)
            shown.update(now.done - shown.pos)

        yield progress
        shown.update(shown.length - shown.pos)
