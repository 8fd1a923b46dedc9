"""What every worker's command has in common: options, rounds, health and metrics."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import Engine

from cymba.settings import Settings
from ops import traces
from ops.exits import Exit
from ops.metrics_server import serving
from ops.process_metrics import show_process
from workers import rounds
from workers.progress import Progress


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    once: bool
    every_s: float
    metrics_port: int | None


def worker_options(*, every_s: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options, which the command receives as its argument `options`, and its traces."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def called(
            *arguments: Any,
            once: bool,
            every_s: float,
            metrics_port: int | None,
            **others: Any,
        ) -> None:
            options = WorkerOptions(once, every_s, metrics_port)
            with traces.sent(f"cymba {command.__name__}"):
                command(*arguments, options=options, **others)

        called.__doc__ = command.__doc__
        called.__name__ = command.__name__
        for option in (
            click.option(
                "--metrics-port",
                type=click.IntRange(0, 65535),
                help="Serve /metrics and /healthz here, on CYMBA_HTTP_HOST.",
            ),
            click.option(
                "--every",
                "every_s",
                default=every_s,
                show_default=True,
                type=click.FloatRange(min=0.05),
                help="Seconds between two rounds.",
            ),
            click.option("--once", is_flag=True, help="Do what is due now, then end."),
        ):
            called = option(called)
        return called

    return decorate


def work_on(
    settings: Settings,
    options: WorkerOptions,
    progress: Progress,
    engine: Engine,
    work: Callable[[], tuple[bool, int]],
) -> None:
    """Repeat `work`, which returns whether there is more to do, and how many items failed.

    With `--once`, a failed item means exit status 1.
    """
    failed = 0

    def round_() -> bool:
        nonlocal failed
        more, some = work()
        failed += some
        return more

    show_process(progress.registry, settings, engine)
    problem = progress.heartbeat.problem
    with serving(settings.http_host, options.metrics_port, progress.registry, problem):
        rounds.repeat(round_, every_s=options.every_s, once=options.once, progress=progress)
    if options.once and failed:
        click.echo(f"cymba: {failed} items could not be dealt with; see the log", err=True)
        sys.exit(Exit.FAILED)
