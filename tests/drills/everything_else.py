"""What works beside a bridge: API, session worker, insights, mails and the broker's files, each
with connections of its own, as processes have them."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import Engine

from cymba.database import make_engine
from cymba.settings import FIRST_CELL, Settings
from ops import mosquitto_files
from ops.mosquitto_files import Follower
from tests.service.bodies import operation
from tests.service.conftest import ApiUser, app_with
from workers import rounds
from workers.deliveries import postman
from workers.insights import InsightsWorker
from workers.progress import Progress
from workers.session_worker import SessionWorker

RATED = {
    "felt_at": "2026-03-01T20:00:00Z",
    "time_zone": "UTC",
    "items": {"pain_now": 4},
}


class WorkerThread:
    def __init__(self, url: str, make: Callable[[Engine, Progress], Callable[[], bool]]) -> None:
        self.progress = Progress()
        self._engine, self._stopping = make_engine(url), threading.Event()
        work = make(self._engine, self.progress)
        self._thread = threading.Thread(
            target=rounds.repeat_until,
            args=(self._stopping, work),
            kwargs={"every_s": 0.1, "progress": self.progress},
        )
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """What its `/healthz` says."""
        return self.progress.heartbeat.problem()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._engine.dispose()


class Diarist:
    """A phone that pushes one entry after the other, each again until it is answered."""

    def __init__(self, api: FlaskClient, person: ApiUser) -> None:
        self._api, self._person = api, person
        self.statuses: Counter[int] = Counter()
        self.pushed: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            entry = operation("diary-entry", fields=RATED)
            while not self._is_taken(entry):
                self._over.wait(0.1)
            self.pushed.add(entry["entity_id"])
            self._over.wait(0.1)

    def _is_taken(self, entry: dict[str, object]) -> bool:
        answer = self._api.post(
            "/v1/sync", json={"operations": [entry]}, headers=self._person.headers
        )
        self.statuses[answer.status_code] += 1
        return answer.status_code not in {500, 503}


class EverythingElse:
    def __init__(self, url: str, settings: Settings, person: ApiUser) -> None:
        self.outbox, self.passwords = settings.data_dir / "outbox", settings.data_dir / "passwords"
        self._engine = make_engine(url)
        self.api = app_with(settings, self._engine).test_client()
        self.workers = {
            "seal": WorkerThread(url, lambda engine, progress: _seal(engine, settings, progress)),
            "insights": WorkerThread(url, _insights),
            "mail": WorkerThread(url, lambda *given: postman(settings, *given).run_once),
            "credentials": WorkerThread(url, lambda engine, _: _follow(engine, self.passwords)),
        }
        self.diarist = Diarist(self.api, person)

    def ready(self) -> int:
        return self.api.get("/readyz").status_code

    def problems(self) -> list[str]:
        return [one.problem for one in self.workers.values() if one.problem is not None]

    def stop(self) -> None:
        self.diarist.stop()
        for one in self.workers.values():
            one.stop()
        self._engine.dispose()


def _seal(engine: Engine, settings: Settings, progress: Progress) -> Callable[[], bool]:
    worker = SessionWorker(engine, settings, progress)
    return lambda: worker.run_once().more


def _insights(engine: Engine, progress: Progress) -> Callable[[], bool]:
    worker = InsightsWorker(engine, progress)
    return lambda: worker.run_once().more


def _follow(engine: Engine, file: Path) -> Callable[[], bool]:
    follower = Follower(engine, {file: mosquitto_files.passwords}, FIRST_CELL)

    def listen() -> bool:
        follower.run_once()
        return False

    return listen
