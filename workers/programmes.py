"""Sends a newer programme to devices that report a version which was never set here."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from cymba.database import UnitOfWork, utc_now
from cymba.devices.unknown_versions import answer_unknown, unanswered
from workers.asides import Asides
from workers.progress import Progress

log = structlog.get_logger(__name__)


class ProgrammeAnswers:
    """One device a transaction. The key is loaded when the first answer is due, because a process
    that never signs needs none."""

    def __init__(
        self,
        engine: Engine,
        load_key: Callable[[], Ed25519PrivateKey],
        progress: Progress | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine = engine
        self._load_key = load_key
        self._clock = clock
        self._asides = Asides[str]("unknown programme", progress or Progress(), clock)

    def run_once(self) -> list[str]:
        """Answer the devices that wait. Return those that could not be answered.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        self._asides.begin_round()
        with UnitOfWork(self._engine) as session:
            due = unanswered(session, self._clock())
        self._asides.each(due, self._answer)
        return self._asides.failed

    def _answer(self, device_ids: Sequence[str]) -> int:
        key = self._load_key()
        for device_id in device_ids:
            with UnitOfWork(self._engine) as session, session.begin():
                ver = answer_unknown(session, key, device_id, self._clock()).ver
            log.warning("a newer programme answers an unknown one", device=device_id, version=ver)
        return len(device_ids)
