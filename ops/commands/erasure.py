"""`cymba erasure`: the ledger of erasures, for when a backup is restored."""

from typing import IO

import click

from cymba.accounts.keys import load_secret
from cymba.database import UnitOfWork
from cymba.rights.erasure import ErasureKeys
from cymba.rights.erasure_ledger import write_ledger
from cymba.settings import Settings
from ops.database import open_engine


@click.group()
def erasure() -> None:
    """What `cymba restore finish` repeats after a backup was restored.

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
