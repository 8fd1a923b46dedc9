"""`cymba restore`: after a backup was restored."""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import IO

import click
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.accounts.keys import load_secret
from cymba.database import UnitOfWork, utc_now
from cymba.rights import after_restore
from cymba.rights.erasure import ErasureKeys, erase
from cymba.rights.erasure_ledger import (
    ErasureRecords,
    read_ledger,
    returned_accounts,
    take_ledger,
)
from cymba.settings import Settings
from ops.database import open_engine
from ops.exits import Exit


@click.group()
def restore() -> None:
    """After a backup was restored, and before anything else is started."""


@restore.command()
@click.argument("ledger", type=click.File("rb"), required=False)
@click.option("--without-ledger", is_flag=True, help="None was kept: who was erased comes back.")
@click.pass_obj
def finish(settings: Settings, ledger: IO[bytes] | None, *, without_ledger: bool) -> None:
    """Put right what a restored backup does not know.

    Whoever is in LEDGER (`cymba erasure ledger`) is erased again. Every app reads everything again,
    and sends what is lost here. Everybody has to sign in again, and shares end, since some were
    ended after the backup. Programmes are numbered above what devices may hold.

    It may be interrupted, and is then to be repeated. Do it once for each restore.

    \b
    cymba restore finish erasures.jsonl
    """
    if (ledger is None) is not without_ledger:
        raise click.UsageError("give the LEDGER of erasures, or --without-ledger")
    keys = ErasureKeys.of(load_secret(settings))
    given = ErasureRecords() if ledger is None else read_ledger(ledger, keys.ledger)
    with open_engine(settings, application_name="cymba restore") as engine:
        with UnitOfWork(engine) as session, session.begin():
            began_at = after_restore.begin(session, utc_now()).began_at
            take_ledger(session, given)
            returned = returned_accounts(session, keys.ledger)
        with click.progressbar(returned, label="Erasing", file=sys.stderr) as accounts:
            for account_id in accounts:
                # One transaction each: what was erased stays erased if this is interrupted.
                with UnitOfWork(engine) as session, session.begin():
                    erase(session, keys, account_id, now=utc_now())
        click.echo(f"{len(given.rows)} in the ledger, {len(returned)} erased again")
        click.echo(f"{_all(engine, after_restore.end_sign_ins, began_at)} sign-ins ended")
        click.echo(f"{_all(engine, after_restore.end_shares, began_at)} shares ended")
        with UnitOfWork(engine) as session, session.begin():
            sending = after_restore.were_sending(session)
            after_restore.finish(session, utc_now())
    click.echo(f"{len(sending)} devices were online or in a session when the backup was made")
    for device_id in sending:
        click.echo(f"  {device_id}")
    click.echo("Start everything, and once devices have come: cymba restore gaps")


def _all(engine: Engine, some: Callable[[Session, datetime, datetime], int], at: datetime) -> int:
    done = 0
    while True:
        with UnitOfWork(engine) as session, session.begin():
            count = some(session, at, utc_now())
        if not count:
            return done
        done += count


@restore.command()
@click.pass_obj
def gaps(settings: Settings) -> None:
    """List devices of which frames are missing (status 3 if there are any).

    A device numbers its frames and frees those that are acknowledged. Numbers that were passed over
    are lost, or on their way: ask again an hour later. Its person sees them too, in the device's
    `completeness`.
    """
    with (
        open_engine(settings, application_name="cymba restore") as engine,
        UnitOfWork(engine) as session,
    ):
        found = after_restore.gaps(session)
    for device_id, frames in found:
        click.echo(f"{device_id:<32}  {frames:>9,} frames")
    if found:
        sys.exit(Exit.UNMET)
