"""Condition: what the person says they were diagnosed with; each named condition once.

Nobody here has confirmed it, and whether it still is so is not asked: there is no clinical status.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from cymba.diary.items import CONDITIONS, Condition
from cymba.diary.tables import DiaryEntry
from cymba.fhir.parts import (
    ICD_10_CM,
    SNOMED_CT,
    TERMINOLOGY,
    Resource,
    coding,
    concept,
    date_time,
    fhir_name,
    own,
    reference,
    resource,
)
from cymba.fhir.record import RecordOwner, RecordRow, Source, listed
from cymba.fhir.resource_type import Maker, ResourceType


class _NamedCondition(NamedTuple):
    condition: Condition
    first_at: datetime
    updated_at: datetime


def _rows(session: Session, owner: RecordOwner) -> Iterator[RecordRow]:
    row = DiaryEntry
    names = func.jsonb_array_elements_text(row.items["condition"]).table_valued("name").lateral()
    query = (
        select(names.c.name, func.min(row.felt_at), func.max(row.changed_at))
        .join(names, true())
        .where(row.account_id == owner.account_id, row.deleted_at.is_(None))
        .where(row.items.has_key("condition"))
        .group_by(names.c.name)
    )
    for found, first_at, updated_at in session.execute(query):
        if found in CONDITIONS:
            named = _NamedCondition(CONDITIONS[found], first_at, updated_at)
            id_ = condition_id(owner, found)
            yield RecordRow(first_at, id_, first_at, updated_at, named)


def condition_id(owner: RecordOwner, name: str) -> str:
    """Its own in each record: FHIR's ids are read together with those of other people."""
    return f"{owner.account_id}.{fhir_name(name)}"


def _condition(named: _NamedCondition, owner: RecordOwner) -> Iterator[Resource]:
    one, person = named.condition, reference("Patient", owner.account_id)
    codes = [coding(SNOMED_CT, one.snomed_ct)] if one.snomed_ct else []
    # With several it is not known which is meant.
    codes += [coding(ICD_10_CM, code) for code in one.icd_10 if len(one.icd_10) == 1]
    yield resource(
        "Condition",
        condition_id(owner, one.name),
        {
            "verificationStatus": concept(
                "As the person says",
                coding(f"{TERMINOLOGY}condition-ver-status", "unconfirmed"),
            ),
            "code": concept(one.title, *codes, own("condition", one.name, one.title)),
            "subject": person,
            "recordedDate": date_time(named.first_at),
            "recorder": person,
            "asserter": person,
        },
        updated_at=named.updated_at,
    )


CONDITION = ResourceType(
    "Condition",
    "Conditions that the person says they were diagnosed with; unconfirmed.",
    (Maker(Source("condition", "diary", listed(_rows)), _condition),),
    person=("patient", "subject"),
    date="recorded-date",
    is_dated=True,
)
