"""`cymba quarantine`: frames that were rejected for good, stored whole with the reason."""

import getpass
import sys
from collections.abc import Iterator

import click
from sqlalchemy import Engine

from cymba.accounts.audit import Actor
from cymba.database import UnitOfWork
from cymba.errors import Conflict
from cymba.operations.fleet import replay as replay_frame
from cymba.settings import Settings
from cymba.stimulation.ingest import quarantine as core
from ops.database import open_engine
from ops.exits import Exit

PAGE = 200


@click.group()
def quarantine() -> None:
    """Look at frames that were rejected for good (dead letters), and replay them.

    Their device has freed them, so these are the only copies. They hold people's readings: treat
    the output accordingly.
    """


_device = click.option("--device", "device_id", help="Only those of this device.")
_code = click.option("--code", help="Only those rejected with this code: schema, key-reuse …")


@quarantine.command("list")
@_device
@_code
@click.option("--all", "also_replayed", is_flag=True, help="Also those that were replayed.")
@click.pass_obj
def list_(
    settings: Settings, *, device_id: str | None, code: str | None, also_replayed: bool
) -> None:
    """List the frames in quarantine, oldest first (status 3 if there are none).

    \b
    cymba quarantine list --code schema
    """
    found = 0
    with open_engine(settings) as engine:
        for row in _rows(engine, device_id, code, only_waiting=not also_replayed):
            found += 1
            key = "-" if row.seq is None else f"{row.store}/{row.seq}"
            outcome = f"  → {row.replay_outcome}" if row.replay_outcome else ""
            click.echo(
                f"{row.id:>8}  {row.received_at:%Y-%m-%d %H:%M:%S}  {row.device_id:<20} {key:<22}"
                f" {row.code:<20} ×{row.times_seen}  {row.detail}{outcome}"
            )
    if not found:
        click.echo("nothing is waiting", err=True)
        sys.exit(Exit.UNMET)


@quarantine.command()
@click.argument("quarantine_id", type=int)
@click.option("--raw", is_flag=True, help="Write the payload's bytes and nothing else.")
@click.pass_obj
def show(settings: Settings, quarantine_id: int, raw: bool) -> None:
    """Show one frame, the reason, and the payload as the device sent it.

    \b
    cymba quarantine show 17
    cymba quarantine show 17 --raw > frame.cbor
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        row = core.get(session, quarantine_id)
        if raw:
            sys.stdout.buffer.write(row.payload)
            return
        for name in ("device_id", "store", "seq", "code", "detail", "times_seen", "received_at",
                     "replayed_at", "replay_outcome"):  # fmt: skip
            click.echo(f"{name:<15}{getattr(row, name)}")
        click.echo(f"{'payload':<15}{len(row.payload)} bytes")
        click.echo(_readable(row.payload))


@quarantine.command()
@click.argument("quarantine_ids", type=int, nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="All frames in quarantine, filtered by the options."
)
@_device
@_code
@click.pass_obj
def replay(
    settings: Settings,
    *,
    quarantine_ids: tuple[int, ...],
    everything: bool,
    device_id: str | None,
    code: str | None,
) -> None:
    """Ingest frames again, as if they arrived now: after an upgrade that can read them.

    Each is a transaction of its own. Replaying is idempotent. Status 3 if one of them is rejected
    again.

    \b
    cymba quarantine replay 17 18
    cymba quarantine replay --all --code unsupported-version
    """
    if bool(quarantine_ids) == everything:
        raise click.UsageError("name the frames to replay, or say --all")
    if quarantine_ids and (device_id or code):
        raise click.UsageError("--device and --code need --all")
    refused, by = 0, Actor("operator", getpass.getuser()[:64])
    with open_engine(settings) as engine:
        waiting = list(quarantine_ids) or [
            row.id for row in _rows(engine, device_id, code, only_waiting=True)
        ]
        with click.progressbar(waiting, label="Replaying", file=sys.stderr) as ids:
            for quarantine_id in ids:
                outcome, is_settled = _replay(engine, quarantine_id, by)
                refused += not is_settled
                click.echo(f"{quarantine_id}: {outcome}")
    if refused:
        click.echo(f"{refused} of {len(waiting)} still wait", err=True)
        sys.exit(Exit.UNMET)


def _replay(engine: Engine, quarantine_id: int, by: Actor) -> tuple[str, bool]:
    with UnitOfWork(engine) as session:
        try:
            replayed = replay_frame(session, quarantine_id, by)
        except Conflict as settled:
            return str(settled), True
        session.commit()
        row = core.get(session, quarantine_id)
        return row.replay_outcome or "", replayed.is_settled


def _rows(
    engine: Engine, device_id: str | None, code: str | None, *, only_waiting: bool
) -> Iterator[core.QuarantineListing]:
    """Read page by page, so that neither memory nor a transaction grows with the quarantine."""
    after = 0
    while True:
        with UnitOfWork(engine) as session:
            page = core.page(
                session,
                device_id=device_id,
                code=code,
                only_waiting=only_waiting,
                after=after,
                limit=PAGE,
            )
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id


def _readable(payload: bytes) -> str:
    """As text if a terminal can show it, else in hexadecimal."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload.hex(" ", 2)
    return text if text.isprintable() else payload.hex(" ", 2)
