"""Models that an operator adds: checked, noted, and never at the cost of what was."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jsonschema
import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.audit import Actor
from cymba.accounts.tables import AuditEntry
from cymba.devices.catalogue import add_model, all_models, find_model, read_document, schema
from cymba.devices.models import MODELS, Model
from cymba.devices.tables import DeviceTenure
from cymba.errors import DomainError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BY = Actor("operator", "op")
BAND = MODELS["neck_band"]
OURS = msgspec.structs.replace(BAND, name="our_band", prefix="OB")


def document(**changed: Any) -> bytes:
    return json.dumps(msgspec.to_builtins(OURS) | changed).encode()


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_shipped_models_are_such_documents_as_an_operator_adds(model: Model) -> None:
    told = msgspec.json.encode(model)
    assert read_document(told, is_toml=False) == model
    jsonschema.Draft202012Validator(schema()).validate(json.loads(told))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"charm": 1}, "charm"),
        ({"sites": ["wrist"]}, "sites"),
        ({"titles": {"de": "Halsband"}}, "titles"),
        ({"native_levels": None}, "native_levels"),
        ({"hard": {"native_level": 9}}, "daily_sessions"),
        ({"hard": {"native_level": 9, "daily_sessions": 9, "amplitude_ua": 9}}, "amplitude_ua"),
        ({"settable": ["amplitude_ua"]}, "settable/amplitude_ua"),
        ({"settable": ["native_level", "frequency_hz"]}, "does not know it"),
        ({"usual": {"duration_s": {"low": 9, "high": 1, "default": 5}}}, "low ≤ default"),
        ({"usual": {"duration_s": {"low": 9, "high": 9999, "default": 9}}}, "hard limit"),
        ({"sources": {}}, "has none"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused_with_its_place(
    changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(DomainError, match=named):
        read_document(document(**changed), is_toml=False)


@pytest.mark.parametrize("broken", [b"", b"\xff", b"{", b"name =", b"[]", b'{"name":NaN}'])
@pytest.mark.parametrize("is_toml", [True, False])
def test_what_is_no_document_is_refused_and_ends_nothing(broken: bytes, is_toml: bool) -> None:
    with pytest.raises(DomainError):
        read_document(broken, is_toml=is_toml)


def add(session: Session, *, widens: bool = False, **changed: Any) -> Any:
    model = msgspec.structs.replace(OURS, **changed)
    return add_model(session, model, BY, widens=widens, now=NOW)


def hard(**changed: Any) -> Any:
    return msgspec.structs.replace(OURS.hard, **changed)


def test_a_model_is_there_for_everybody_once_it_is_added(session: Session) -> None:
    assert find_model(session, OURS.name) is None
    assert add(session).wider == []
    assert find_model(session, OURS.name) == OURS
    assert [one.name for one in all_models(session)] == sorted([*MODELS, OURS.name])
    assert add(session).before == OURS  # again: nothing happens


def test_a_version_may_narrow_at_once_and_widen_only_if_it_is_said(session: Session) -> None:
    add(session)
    narrow = hard(duration_s=600)
    usual = msgspec.structs.replace(
        OURS.usual,
        duration_s=msgspec.structs.replace(OURS.usual.duration_s, high=600),  # type: ignore[type-var]
    )
    assert add(session, version=2, hard=narrow, usual=usual).wider == []
    for wider in (hard(), hard(duration_s=None)):
        with pytest.raises(DomainError, match=r"hard\.duration_s"):
            add(session, version=3, hard=wider)
    assert find_model(session, OURS.name).hard == narrow
    assert add(session, version=3, hard=hard(), widens=True).wider == [
        "hard.duration_s from 600 to 900"
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"reports": msgspec.structs.replace(OURS.reports, current="unknown")},
        {"native_levels": 5},
        {"recorder": "device"},
        {"waveform": MODELS["neck"].waveform},
    ],
    ids=str,
)
def test_what_past_sessions_rest_on_never_changes(
    session: Session, changed: dict[str, Any]
) -> None:
    add(session)
    with pytest.raises(DomainError, match="past sessions"):
        add(session, version=2, **changed)


@pytest.mark.parametrize("version", [1, 3])
def test_versions_follow_one_another(session: Session, version: int) -> None:
    add(session)
    with pytest.raises(DomainError, match="next one is 2"):
        add(session, version=version, titles={"en": "Another"})


def test_a_shipped_model_is_not_replaced(session: Session) -> None:
    with pytest.raises(DomainError, match="another name"):
        add_model(session, BAND, BY, widens=True, now=NOW)


def test_who_holds_such_a_device_reads_of_it(
    session: Session, account: Callable[[str], UUID], device: Callable[..., Any]
) -> None:
    add(session)
    account_id, made = account("ana"), device(OURS.name)
    session.add(DeviceTenure(device_id=made.device_id, account_id=account_id, claimed_at=NOW))
    session.flush()
    add(session, version=2, hard=hard(daily_s=9_999), widens=True)
    entries = session.scalars(select(AuditEntry).where(AuditEntry.account_id == account_id))
    told = [one.detail for one in entries if one.action == "model.changed"]
    assert told == [
        {"model": "our_band", "version": 2, "wider": ["hard.daily_s from 3600 to 9999"]}
    ]
