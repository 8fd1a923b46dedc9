"""QuestionnaireResponse: a diary entry as the person wrote it, with their note.

Questions are in English, whatever language they were read in; `linkId` is the item's name in the
API. `authored` is when it last changed; the moment that it is about is the extension `felt-at`.
"""

from collections.abc import Iterator
from typing import Any

from cymba.diary.items import ITEMS, Item
from cymba.diary.tables import ReadEntry
from cymba.diary.values import (
    LABS,
    Answers,
    Choices,
    IntegerRange,
    Labs,
    SideEffectAnswer,
    Takings,
    Yes,
)
from cymba.fhir.parts import (
    Resource,
    date_time,
    extension,
    own,
    quantity,
    reference,
    resource,
    text,
)
from cymba.fhir.record import ENTRIES, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType


def _response(entry: ReadEntry, owner: RecordOwner) -> Iterator[Resource]:
    person, note = reference("Patient", owner.account_id), text(entry.note)
    felt_at = date_time(entry.felt_at, entry.time_zone)
    extensions = [extension("felt-at", valueDateTime=felt_at)]
    if entry.session_id is not None:
        about = reference("Procedure", entry.session_id)
        extensions.append(extension("about-session", valueReference=about))
    items = [_item(ITEMS[name], value) for name, value in entry.items.items() if name in ITEMS]
    if note:
        items.append({"linkId": "note", "text": "Note", "answer": [{"valueString": note}]})
    yield resource(
        "QuestionnaireResponse",
        entry.id,
        {
            "extension": extensions,
            "status": "amended" if entry.version > 1 else "completed",
            "subject": person,
            "authored": date_time(entry.changed_at, entry.time_zone),
            "author": person,
            "source": person,
            "item": items,
        },
        updated_at=entry.changed_at,
    )


def _item(item: Item, value: Any) -> Resource:
    return {"linkId": item.name, "text": item.title, **_said(item, value)}


def _said(item: Item, value: Any) -> Resource:
    said: Resource
    match item.value:
        case IntegerRange():
            said = _answered({"valueInteger": value})
        case Yes():
            said = _answered({"valueBoolean": value})
        case Choices():
            options = item.value.options
            chosen = [own(f"diary-{item.name}", one, options.get(one)) for one in value]
            said = _answered(*({"valueCoding": one} for one in chosen))
        case Answers():
            said = {"item": _questions(item.name, item.value, value)}
        case SideEffectAnswer():
            said = {"item": _side_effect(item.name, value)}
        case Takings():
            said = _answered(*(_taking(item.name, one) for one in value))
        case Labs():
            said = {"item": [_lab(one) for one in value]} if value else _answered()
        case _:
            said = _answered({"valueDecimal": value})
    return said


def _answered(*answers: Resource) -> Resource:
    """That nothing was taken, or nothing hurts, is an answer too."""
    return {"answer": list(answers) or [{"valueCoding": own("answer", "none", "None")}]}


def _questions(name: str, asked: Answers, answers: list[int | None]) -> list[Resource]:
    return [
        {"linkId": f"{name}.{at}", "text": question}
        | ({} if answer is None else {"answer": [{"valueInteger": answer}]})
        for at, (question, answer) in enumerate(zip(asked.questions, answers, strict=True), 1)
    ]


def _side_effect(name: str, value: dict[str, Any]) -> list[Resource]:
    severity = own("severity", value["severity"], value["severity"])
    made: list[Resource] = [
        {"linkId": f"{name}.severity", "text": "Severity", "answer": [{"valueCoding": severity}]}
    ]
    if "bothersome" in value:
        answer = {"valueBoolean": value["bothersome"]}
        made.append({"linkId": f"{name}.bothersome", "text": "Bothersome", "answer": [answer]})
    return made


def _taking(name: str, taking: dict[str, str]) -> Resource:
    answer: Resource = {"valueString": text(taking["name"]) or "?"}
    dose = text(taking.get("dose"))
    if dose:
        given = {"linkId": f"{name}.dose", "text": "Dose", "answer": [{"valueString": dose}]}
        answer["item"] = [given]
    return answer


def _lab(lab: dict[str, Any]) -> Resource:
    title, _, unit, _, _ = LABS[lab["name"]]
    answer = {"valueQuantity": quantity(lab["value"], unit)}
    return {"linkId": f"lab.{lab['name']}", "text": title, "answer": [answer]}


QUESTIONNAIRE_RESPONSE = ResourceType(
    "QuestionnaireResponse",
    "The diary's entries as the person wrote them. `authored` is when an entry last changed.",
    (Maker(ENTRIES, _response),),
    person=("patient", "subject"),
    date="authored",
    date_is="updated",
    is_dated=True,
)
