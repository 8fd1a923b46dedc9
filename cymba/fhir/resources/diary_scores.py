"""Observations of a diary entry: each number that the person gave, and the sums of PHQ-4.

An entry can be edited for ever, so none is `final`. What was chosen or written in words is in the
QuestionnaireResponse alone.
"""

from collections.abc import Iterator
from typing import Any, Final

from cymba.diary.items import ITEMS, Item
from cymba.diary.tables import ReadEntry
from cymba.diary.values import LABS, Answers, IntegerRange, Labs, NumberRange
from cymba.fhir.parts import (
    LOINC,
    Resource,
    absent,
    coding,
    concept,
    date_time,
    fhir_name,
    known,
    observation_category,
    own,
    quantity,
    reference,
    resource,
)
from cymba.fhir.record import RecordOwner

SCORE: Final = "{score}"
# By questionnaire, the LOINC codes of its answers in their order.
ANSWERS: Final = {"phq4": ("69725-0", "68509-9", "44255-8", "44250-9")}
# The sums of parts of it: title and LOINC. No code is known to us for the sum of GAD-2.
PARTS: Final = {
    "phq4": {
        "gad2": ("GAD-2: answers 1 and 2 of PHQ-4", None),
        "phq2": ("PHQ-2: answers 3 and 4 of PHQ-4", "55758-7"),
    }
}


def of_entry(entry: ReadEntry, owner: RecordOwner) -> Iterator[Resource]:
    for name, value in entry.items.items():
        item = ITEMS.get(name)
        match item and item.value:
            case IntegerRange() | NumberRange():
                yield _score(entry, owner, item, value)
            case Answers():
                yield from _questionnaire(entry, owner, item, value)
            case Labs():
                yield from _labs(entry, owner, value)


def _score(entry: ReadEntry, owner: RecordOwner, item: Any, value: float) -> Resource:
    fields = {"code": code_of(item), "valueQuantity": quantity(value, item.unit or SCORE)}
    return _observation(entry, owner, item.name, fields)


def _questionnaire(
    entry: ReadEntry, owner: RecordOwner, item: Any, answers: list[int | None]
) -> Iterator[Resource]:
    """Without an answer there is no sum over it."""
    sums = item.value.scores(answers)
    codes = ANSWERS.get(item.name, ())
    components = []
    for at, answer in enumerate(answers):
        standard = [coding(LOINC, codes[at])] if at < len(codes) else []
        title = item.value.questions[at]
        made = {"code": concept(title, *standard, own("answer", f"{item.name}-{at + 1}", title))}
        components.append(made | _sum(answer))
    whole = {"code": code_of(item), **_sum(sums["total"]), "component": components}
    yield _observation(entry, owner, item.name, whole)
    for name, (title, loinc) in PARTS.get(item.name, {}).items():
        standard = [coding(LOINC, loinc)] if loinc else []
        code = concept(title, *standard, own("diary", f"{item.name}-{name}", title))
        fields = {"code": code, **_sum(sums[name])}
        yield _observation(entry, owner, f"{item.name}-{name}", fields)


def _labs(entry: ReadEntry, owner: RecordOwner, labs: list[dict[str, Any]]) -> Iterator[Resource]:
    for at, lab in enumerate(labs):
        if lab["name"] not in LABS:
            continue
        title, loinc, unit, _, _ = LABS[lab["name"]]
        fields = {
            "code": concept(title, coding(LOINC, loinc), own("lab", lab["name"], title)),
            "valueQuantity": quantity(lab["value"], unit),
        }
        yield _observation(entry, owner, f"lab-{at}", fields)


def code_of(item: Item) -> Resource:
    """The standard's code, where one fits, and our own, which tells apart what shares it."""
    return concept(item.title, *known(item.code), own("diary", item.name, item.title))


def _sum(value: int | None) -> Resource:
    return (
        {"dataAbsentReason": absent()}
        if value is None
        else {"valueQuantity": quantity(value, SCORE)}
    )


def _observation(entry: ReadEntry, owner: RecordOwner, name: str, fields: Resource) -> Resource:
    person = reference("Patient", owner.account_id)
    common: Resource = {
        "status": "amended" if entry.version > 1 else "preliminary",
        "category": observation_category("survey"),
        "subject": person,
        "effectiveDateTime": date_time(entry.felt_at, entry.time_zone),
        "performer": [person],
        "derivedFrom": [reference("QuestionnaireResponse", entry.id)],
    }
    id_ = f"{entry.id}.{fhir_name(name)}"
    return resource("Observation", id_, common | fields, updated_at=entry.changed_at)
