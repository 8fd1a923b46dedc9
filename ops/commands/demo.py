"""`cymba demo`: everything on this machine, with a simulated person and their devices."""

import json
import os
import signal
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import Engine, func, select

from cymba.database import UnitOfWork, make_engine
from cymba.settings import Settings
from cymba.stimulation.tables import SessionExtent
from cymba.stop_signals import STOP_SIGNALS
from ops import ports, postgres, schema
from ops.demo import household as people
from ops.demo import verdict
from ops.demo.household import Household
from ops.demo.stage import HOST, Stage, StageError, only_one
from ops.demo.supervisor import PartFailed, Supervisor
from ops.exits import Exit

LIVE_S = 90.0


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after so long.")
@click.option(
    "--http-port", default=8000, show_default=True, type=click.IntRange(1, 65535),
    help="Of the API.",
)  # fmt: skip
@click.option(
    "--mqtt-port", default=1883, show_default=True, type=click.IntRange(1, 65535),
    help="Of the embedded broker.",
)  # fmt: skip
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where it keeps its data and logs  [default: CYMBA_DATA_DIR/demo]",
)
@click.option(
    "--speed",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Two of the devices live so many times as fast; one lives now.",
)
@click.pass_obj
def demo(
    settings: Settings,
    *,
    seconds: float | None,
    http_port: int,
    mqtt_port: int,
    folder: Path | None,
    speed: float,
) -> None:
    """Run everything on this machine: database, broker, bridge, workers, API and three devices.

    A simulated person has 120 days of sessions and diary entries, and new ones arrive while you
    watch.
    Nothing is installed and nothing listens beyond this machine. Ctrl-C ends it; the data stays,
    so the next start is quick.

    \b
    cymba demo --seconds 30 --http-port 8001 --mqtt-port 1884 --data /tmp/demo

    Exit status 0 only if every frame that the devices made is stored exactly once.
    """
    folder = (folder or settings.data_dir / "demo").resolve()
    for option, port in (("--http-port", http_port), ("--mqtt-port", mqtt_port)):
        if ports.is_taken(HOST, port):
            raise click.ClickException(f"port {port} is in use; choose another with {option}")
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with only_one(folder), _on_stage(folder, http_port, mqtt_port) as (stage, engine):
            home = _set_up(stage, engine)
            outcome = _run(stage, engine, home, seconds=seconds, speed=speed)
    except (StageError, PartFailed) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Stopped; {outcome}.")
    if not outcome.is_good:
        sys.exit(Exit.FAILED)


@contextmanager
def _on_stage(folder: Path, http_port: int, mqtt_port: int) -> Iterator[tuple[Stage, Engine]]:
    """The database and a supervisor. Both are stopped at the end, the database last."""
    with _step("Starting PostgreSQL"):
        database = postgres.start(folder / "postgres")
    engine = make_engine(database.url, application_name="cymba demo")
    try:
        with Supervisor(folder / "logs") as supervisor:
            # Stops the database if this process is killed.
            held = [postgres.__name__, str(folder / "postgres")]
            supervisor.start("postgres", held, os.environ)
            yield Stage(folder, database.url, http_port, mqtt_port, supervisor), engine
    finally:
        engine.dispose()
        database.stop()


def _set_up(stage: Stage, engine: Engine) -> Household:
    with _step("Migrating"):
        outcome = schema.upgrade(engine)
        if not isinstance(outcome, schema.Upgraded):
            raise StageError(f"the database in {stage.folder} cannot be migrated: {outcome}")
    stage.start_keeper()
    home = people.load(stage.folder, engine)
    if home is None:
        home = people.move_in(engine, stage.settings)
        with _bar(f"Writing {people.PAST_DAYS} days of sessions and diary") as progress:
            people.live_past(home, engine, stage.settings, progress)
        with _bar("Summing them up and compacting them") as progress:
            _wait_for_keeper(stage, engine, progress)
        people.begin_trial(engine, home)
        people.keep(home, stage.folder)
    with _step("Starting broker, bridge and API"):
        stage.start_servers()
        stage.start_insights()
        stage.start_imports()
        stage.start_mail()
    return home


def _wait_for_keeper(stage: Stage, engine: Engine, progress: Callable[[float], None]) -> None:
    most = 1
    while True:
        with UnitOfWork(engine) as session:
            waiting = session.scalar(
                select(func.count()).select_from(SessionExtent).where(SessionExtent.dirty)
            )
        if not waiting:
            return
        most = max(most, waiting)
        progress(1 - waiting / most)
        stage.supervisor.check()
        time.sleep(0.2)


def _run(
    stage: Stage, engine: Engine, home: Household, *, seconds: float | None, speed: float
) -> verdict.DemoVerdict:
    before = verdict.count(engine)
    token = stage.sign_in(home)
    earlier = set(stage.open_sessions(token))  # interrupted with an earlier run
    began_s = time.monotonic()
    ids = [device.device_id for device in home.devices]
    for number, device in enumerate(home.devices):
        stage.start_device(device, speed=1 if number == 0 else speed, seed=number)
    try:
        with _step("Waiting for the first live session"):
            live = _wait_for_session(stage, token, earlier)
        click.echo(_welcome(stage, home, live))
        while seconds is None or time.monotonic() - began_s < seconds:
            stage.supervisor.check()
            _show(stage, engine, before, verdict.devices_now(engine, ids, earlier))
            time.sleep(1)
    except KeyboardInterrupt:
        pass
    _end_undisturbed()
    click.echo()
    with _step("Stopping: the devices hand over what they still hold"):
        made_files = stage.stop_devices()
    _show(stage, engine, before, "stopped")
    click.echo()
    return verdict.judge(engine, verdict.read_made(made_files))


def _wait_for_session(stage: Stage, token: str, earlier: set[str]) -> str:
    give_up_at = time.monotonic() + LIVE_S
    while time.monotonic() < give_up_at:
        for session_id in stage.open_sessions(token):
            if session_id not in earlier:
                return session_id
        stage.supervisor.check()
        time.sleep(0.5)
    raise StageError(f"no live session after {LIVE_S:.0f} s; see {stage.folder}/logs")


def _welcome(stage: Stage, home: Household, live: str) -> str:
    url = stage.api_url
    entrance = {"email": home.email, "password": home.password}
    login, filled = json.dumps(entrance), urllib.parse.urlencode(entrance)
    as_json = "-H 'Content-Type: application/json'"
    as_ana = '-H "Authorization: Bearer $TOKEN"'
    pick = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
    telemetry = f"{url}/v1/sessions/{live}/telemetry?channels=amplitude_ua&points=10"
    return f"""
  App       {url}/app/sign-in#{filled}   with the sign-in filled in
  Login     {home.email}   password {home.password}
  API       {url}   with its documentation at {url}/docs
  Mail      {stage.folder}/outbox   codes for new accounts come there
  Broker    mqtt://{HOST}:{stage.mqtt_port}
  Data      {stage.folder}   and what the parts say in logs/ there

Try, in another terminal:

TOKEN=$(curl -s {url}/v1/auth/token {as_json} -d '{login}' | {pick})
curl -s {as_ana} '{url}/v1/history?period=week'
curl -s {as_ana} '{url}/v1/insights/correlations'
curl -s {as_ana} '{telemetry}'

Ctrl-C ends it.
"""


def _show(stage: Stage, engine: Engine, before: verdict.Counts, devices: str) -> None:
    now = verdict.count(engine)
    line = (
        f"  frames stored {now.stored - before.stored:>6}   duplicates {stage.duplicates():>4}   "
        f"quarantined {now.quarantined - before.quarantined:>4}   devices: {devices}"
    )
    # Clear the rest of the line, in case the one before was longer.
    click.echo(f"\r\033[K{line}" if sys.stdout.isatty() else line, nl=not sys.stdout.isatty())


@contextmanager
def _step(what: str) -> Iterator[None]:
    click.echo(f"{what} … ", nl=False)
    began_s = time.monotonic()
    yield
    click.echo(f"{time.monotonic() - began_s:.1f} s")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[float], None]]:
    """A progress bar. Call it with the share that is done."""
    with click.progressbar(length=1000, label=what) as bar:
        yield lambda share: bar.update(round(share * 1000) - bar.pos)
        bar.update(1000 - bar.pos)


def _interrupt(_signal: int, _frame: object) -> None:
    _end_undisturbed()
    raise KeyboardInterrupt


def _end_undisturbed() -> None:
    """Ignore a second Ctrl-C, so that it does not interrupt the shutdown."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
