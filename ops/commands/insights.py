"""`cymba insights`: keeps findings current, and shows a cohort."""

import getpass
import math
import sys

import click
import structlog

from cymba.accounts.audit import Actor
from cymba.accounts.keys import derive, load_secret
from cymba.database import UnitOfWork
from cymba.insights.cohort import MIN_COHORT, Cohort, TooFew, load_cohort
from cymba.insights.exposures import EXPOSURES
from cymba.insights.outcomes import OUTCOMES
from cymba.large_reads import LargeReads
from cymba.settings import Settings
from ops.database import open_engine, replica_of
from ops.exits import Exit
from ops.worker_process import WorkerOptions, work_on, worker_options
from workers.insights import InsightsWorker
from workers.progress import Progress

log = structlog.get_logger(__name__)


@click.group(invoke_without_command=True)
@worker_options(every_s=5.0)
@click.pass_context
def insights(context: click.Context, *, options: WorkerOptions) -> None:
    """Keep findings current for everybody who agreed to insights.

    An account is computed when its sessions or its diary have changed. Several of these share the
    work; each may be killed at any moment.

    \b
    cymba insights --once
    """
    if context.invoked_subcommand is not None:
        return
    settings: Settings = context.obj
    progress = Progress()
    with open_engine(settings, application_name="cymba insights") as engine:
        replica = replica_of(settings, application_name="cymba insights")
        reads = LargeReads(engine, replica, progress.registry)
        worker = InsightsWorker(engine, progress, reads=reads)

        def work() -> tuple[bool, int]:
            done = worker.run_once()
            if done.refreshed:
                log.info("findings computed", accounts=done.refreshed, announced=done.announced)
            return done.more, len(done.failed)

        work_on(settings, options, progress, engine, work)


@insights.command()
@click.option(
    "--exposure", default="charge", show_default=True,
    type=click.Choice([one.name for one in EXPOSURES]), help="What was done on a day.",
)  # fmt: skip
@click.option(
    "--outcome", default="pain_now", show_default=True, type=click.Choice(list(OUTCOMES)),
    metavar="ITEM", help="What was felt: an item of the diary.",
)  # fmt: skip
@click.option(
    "--lag", default=1, show_default=True, type=click.IntRange(0, 3),
    help="Days from the session to the rating; 0 is later the same day.",
)  # fmt: skip
@click.option("--people", is_flag=True, help="List each person's own fit, under a pseudonym.")
@click.pass_obj
def cohort(settings: Settings, *, exposure: str, outcome: str, lag: int, people: bool) -> None:
    """The mean over everybody who agreed to research, for one exposure and one outcome.

    Each person is fitted by themselves; the mean is that of a random-effects model. It is refused
    below ten people. Everybody in it finds a note in their audit log.

    \b
    cymba insights cohort --exposure charge --outcome pain_now

    Exit status 3 if there are too few people.
    """
    key = derive(load_secret(settings), "cohort pseudonyms")
    by = Actor("operator", getpass.getuser())
    with (
        open_engine(settings, application_name="cymba insights cohort") as engine,
        UnitOfWork(engine) as session,
        session.begin(),
    ):
        found = load_cohort(session, exposure, outcome, lag=lag, key=key, by=by)
    if isinstance(found, TooFew):
        click.echo(f"cymba: fewer than {MIN_COHORT} people, so there is nothing to see", err=True)
        sys.exit(Exit.UNMET)
    _show(found, exposure, outcome, lag, people=people)


def _show(found: Cohort, exposure: str, outcome: str, lag: int, *, people: bool) -> None:
    mean, within = found.mean, found.within
    click.echo(f"{exposure} and {outcome}, {lag} days later, over {mean.people} people")
    click.echo("points between each person's days with more and with less; 95 % intervals")
    click.echo(f"  mean             {_span(mean.mean, mean.low, mean.high)}   p {mean.p:.3g}")
    click.echo(f"  next person      {_span(math.nan, mean.next_low, mean.next_high)}")
    click.echo(f"  between people   standard deviation {mean.between_sd:.2f}")
    click.echo(
        f"  as a description only, over all days: r {_span(within.r, within.low, within.high)}"
    )
    click.echo("This does not show that stimulation caused it.")
    if people:
        click.echo("\n  person         days  effect    se")
        for fit in found.people:
            click.echo(f"  {fit.pseudonym}  {fit.felt.size:>5}  {fit.effect:>6.2f}  {fit.se:>4.2f}")


def _span(middle: float, low: float, high: float) -> str:
    begin = "" if math.isnan(middle) else f"{middle:.2f} "
    return f"{begin}({low:.2f} to {high:.2f})"
