"""What a person notes of a session that a device recorded: merged as what they write themselves.

All else of such a session is derived from its frames, and nobody edits it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.merging import Conflicting, Mergeable, Seen
from cymba.accounts.written_fields import Fields, note_problem
from cymba.errors import Rejected
from cymba.stimulation.tables import StimulationSession
from cymba.voice import said

NAMES = ("note", "excluded")


class SessionNotes(Mergeable[StimulationSession]):  # type: ignore[type-var] # it merges two columns
    kind = "session"
    noun = "session"
    required = frozenset()
    table = StimulationSession

    def is_field(self, name: str) -> bool:
        return name in NAMES

    def problems(self, name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
        del now
        if name == "note" and (problem := note_problem(value)):
            yield "", problem
        if name == "excluded" and not isinstance(value, bool):
            yield "", "must be true or false"

    def checked(self, fields: Fields, *, now: datetime) -> dict[str, Any]:
        recorded = [name for name in fields if name not in NAMES]
        if recorded:
            raise _refused(
                said("A device recorded this session: only its note can be edited."), recorded
            )
        given = super().checked(fields, now=now)
        if given.get("excluded", False) is None:
            given["excluded"] = False
        return given

    def values(self, row: StimulationSession) -> dict[str, Any]:
        return {name: getattr(row, name) for name in NAMES}

    def find(self, session: Session, account_id: UUID, id_: UUID) -> StimulationSession | None:
        row = session.get(StimulationSession, id_)
        return row if row is not None and row.account_id == account_id else None

    def merge(
        self,
        session: Session,
        account_id: UUID,
        id_: UUID,
        fields: Fields,
        *,
        seen: Seen,
        now: datetime,
    ) -> Any:
        row = self._locked(session, account_id, id_)
        if row is not None and row.deleted_at is not None:  # its recording never comes back
            return Conflicting(row, tuple(sorted(self.checked(fields, now=now))))
        return super().merge(session, account_id, id_, fields, seen=seen, now=now)

    def remove(
        self, session: Session, account_id: UUID, id_: UUID, *, seen: Seen, now: datetime
    ) -> NoReturn:
        del session, account_id, id_, seen, now
        raise _refused(
            said("A recording cannot be deleted in a push: use DELETE on `/v1/sessions`."), []
        )

    def fill(self, row: StimulationSession, fields: Fields) -> None:
        row.note, row.excluded = fields.get("note"), bool(fields.get("excluded"))

    def empty(self, row: StimulationSession) -> NoReturn:
        raise NotImplementedError  # `remove` refuses, and `delete_session` erases far more

    def _locked(self, session: Session, account_id: UUID, id_: UUID) -> StimulationSession | None:
        known = self.find(session, account_id, id_)
        if known is None:
            return None
        row = StimulationSession
        query = select(row).where(row.id == id_, row.device_id == known.device_id)
        query = query.with_for_update(key_share=True)  # its sums may be written meanwhile
        found = session.scalar(query.execution_options(populate_existing=True))
        return found if found is not None and found.account_id == account_id else None

    def _create(self, *_: Any) -> NoReturn:
        raise self._not_found()


def _refused(detail: str, names: list[str]) -> Rejected:
    errors = [{"pointer": f"/{name.replace('.', '/')}", "detail": "is recorded"} for name in names]
    return Rejected(detail, code="recorded-session", errors=errors)
