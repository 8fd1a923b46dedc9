"""`cymba status`: what runs, what waits and how the devices are."""

from collections.abc import Iterable, Mapping

import click

from cymba.database import UnitOfWork, utc_now
from cymba.operations import fleet
from cymba.operations.status import Status, read_status
from cymba.settings import Settings
from ops.database import open_engine

MOST_FIRMWARES = 10
MOST_SUSPENDED = 20


@click.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show what runs, what waits, and how the devices are, as the operator's view does.

    Processes are shown as the database sees them, by their connections; all work as one user of it.
    Nothing of it is about a person.

    \b
    cymba status
    """
    with (
        open_engine(settings, application_name="cymba-status") as engine,
        UnitOfWork(engine) as session,
    ):
        shown = read_status(session, utc_now())
        kept_out = fleet.suspended(session, limit=MOST_SUSPENDED)
    for line in lines(shown, kept_out):
        click.echo(line)


def lines(shown: Status, kept_out: Iterable[fleet.SuspendedDevice]) -> Iterable[str]:
    yield "Processes                connections   quiet for"
    for one in shown.processes:
        yield f"  {plain(one.name):<22} {one.connections:>11}   {_spell(one.quiet_s)}"
    for part in shown.missing:
        yield f"  {part:<22} not connected"
    yield "\nWhat waits                   number   since"
    for name, queue in shown.queues.items():
        since = _spell(queue.oldest_s(shown.at)) if queue.waiting else "-"
        yield f"  {name:<22} {queue.waiting:>11,}   {since}"
    yield from _counts("Quarantine", shown.quarantine)
    yield from _counts("Devices", shown.states)
    if len(shown.cells) > 1:
        yield from _counts("Cells", {one.name: one.devices for one in shown.cells})
        coming = sum(one.coming for one in shown.cells)
        yield f"  {'on their way':<22} {coming:>11,}"
    told = {one.name or "(not told)": one.devices for one in shown.firmwares}
    yield from _counts("Firmware", dict(list(told.items())[:MOST_FIRMWARES]))
    if len(told) > MOST_FIRMWARES:
        rest = sum(list(told.values())[MOST_FIRMWARES:])
        yield f"  {'others':<22} {rest:>11,}"
    held = shown.backlog
    yield f"\nNot here yet: {held.frames:,} frames on {held.devices:,} devices, by their own word"
    recent = shown.sessions
    share = "not known" if recent.share is None else f"{recent.share:.1%}"
    yield (
        f"Sessions of the last day: {recent.complete:,} complete, {recent.incomplete:,} incomplete,"
        f" {recent.open:,} open; {share} of what was recorded is here"
    )
    for device in kept_out:
        yield f"Suspended until {device.until:%Y-%m-%d %H:%M:%S} UTC: {device.device_id}"


def plain(name: str) -> str:
    """What devices say of themselves, without what would move a terminal's cursor."""
    return name if name.isprintable() else ascii(name)


def _counts(title: str, counts: Mapping[str, int]) -> Iterable[str]:
    yield f"\n{title}"
    for name, count in counts.items():
        yield f"  {plain(name)[:60]:<22} {count:>11,}"
    if not counts:
        yield "  none"


def _spell(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
