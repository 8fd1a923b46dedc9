"""`cymba erasure`: the ledger of erasures, for when a backup is restored."""

import sys
from typing import IO

import click

from cymba.accounts.keys import load_secret
from cymba.database import UnitOfWork, utc_now
from cymba.rights.erasure import ErasureKeys, erase
from cymba.rights.erasure_ledger import read_ledger, returned_accounts, take_ledger, write_ledger
from cymba.settings import Settings
from cymba.sync.feed import renew_epoch
from ops.database import open_engine


@click.group()
def erasure() -> None:
    """Repeat erasures after a backup was restored.

    A backup still holds people who were erased after it was made. Write the ledger out often, and
    keep it apart from the backups. It holds pseudonyms alone, which only the holder of
    CYMBA_SECRET_KEY can resolve.
    """


@erasure.command()
@click.argument("file", type=click.File("wb", atomic=True), default="-")
@click.pass_obj
def ledger(settings: Settings, file: IO[bytes]) -> None:
    """Write the ledger to FILE, or to standard output.

    \b
    cymba erasure ledger erasures.jsonl
    """
    keys = ErasureKeys.of(load_secret(settings))
    with (
        open_engine(settings, application_name="cymba erasure") as engine,
        UnitOfWork(engine) as session,
    ):
        for line in write_ledger(session, keys.ledger):
            file.write(line)


@erasure.command()
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def replay(settings: Settings, file: IO[bytes]) -> None:
    """Erase again everybody in the ledger FILE who is in a restored backup.

    Run it after a restore, before anything else is started. It also begins a new sync epoch, so
    that apps read everything again. Safe to repeat.

    \b
    cymba erasure replay erasures.jsonl
    """
    keys = ErasureKeys.of(load_secret(settings))
    given = read_ledger(file, keys.ledger)
    with open_engine(settings, application_name="cymba erasure") as engine:
        with UnitOfWork(engine) as session, session.begin():
            take_ledger(session, given)
            renew_epoch(session)
            returned = returned_accounts(session, keys.ledger)
        with click.progressbar(returned, label="Erasing", file=sys.stderr) as accounts:
            for account_id in accounts:
                # One transaction each: what was erased stays erased if this is interrupted.
                with UnitOfWork(engine) as session, session.begin():
                    erase(session, keys, account_id, now=utc_now())
    click.echo(f"{len(given.rows)} in the ledger, {len(returned)} erased again")
