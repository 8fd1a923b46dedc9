"""The models that there are: those that come with Cymba, and those that an operator has added.

A version replaces the one before for every device of the model. So it must not change what the
model's sessions are derived from: that is another model, with another name. And it widens no limit
unless the operator says so; the holders of such devices read of it in their audit log.
"""

import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
from sqlalchemy import ScalarSelect, SQLColumnExpression, String, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased

from cymba.accounts import audit
from cymba.database import Prepared
from cymba.devices.models import LIMIT_NAMES, MODELS, OUTPUT_LIMIT, Model, named, programme_members
from cymba.devices.tables import Device, DeviceModel, DeviceTenure
from cymba.errors import Conflict, Rejected

MAX_DOCUMENT_BYTES = 64 * 1024
# What a session's figures rest on, and what its device was provisioned by.
SETTLED = (
    "prefix",
    "recorder",
    "reports",
    "waveform",
    "electrode_cm2",
    "native_levels",
    "amplitude_step_ua",
)


class Added(NamedTuple):
    model: Model
    before: Model | None  # the version that it replaces
    wider: Sequence[str]  # limits that it widens, in words


def find_model(session: Session, name: str) -> Model | None:
    """The newest version of the model."""
    return find_models(session, [name]).get(name)


def find_models(session: Session, names: Iterable[str]) -> dict[str, Model]:
    wanted = set(names)
    found = {name: MODELS[name] for name in wanted if name in MODELS}
    missing = wanted - found.keys()
    return found | _stored(session, missing) if missing else found


def model_of(session: Session, device: Device) -> Model:
    model = find_model(session, device.model)
    if model is None:
        raise LookupError(f"device {device.id} is of model {device.model}, which there is not")
    return model


def model_by_device(line: psycopg.Connection[Any], device_id: str) -> Model | None:
    """None where the device or its model is not known here."""
    return models_by_device(line, [device_id]).get(device_id)


def models_by_device(
    line: psycopg.Connection[Any], device_ids: Collection[str]
) -> dict[str, Model]:
    """Without devices that are not known here, or whose model is not."""
    rows = _BY_DEVICE.rows(line, device_ids=list(device_ids))
    documents = {name: document for _, name, document in rows}
    models = {name: known_model(name, document) for name, document in documents.items()}
    return {device_id: model for device_id, name, _ in rows if (model := models[name]) is not None}


def known_model(name: str, document: Any) -> Model | None:
    """The model of this name; `document` is its `newest_document`."""
    if name in MODELS:
        return MODELS[name]
    return None if document is None else msgspec.convert(document, Model)


def all_models(session: Session) -> list[Model]:
    """By name."""
    every = _stored(session, None) | MODELS
    return [every[name] for name in sorted(every)]


def read_file(path: Path) -> Model:
    """
    Raises:
        Rejected: as `read_document`.
    """
    return read_document(path.read_bytes(), is_toml=path.suffix.lower() == ".toml")


def read_document(document: bytes, *, is_toml: bool) -> Model:
    """A model's document, checked by itself.

    Raises:
        Rejected: it is no such document, or contradicts itself.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise Rejected(f"the document has more than {MAX_DOCUMENT_BYTES:,} bytes")
    try:
        if is_toml:
            model = msgspec.convert(tomllib.loads(document.decode()), Model)
        else:
            model = msgspec.json.decode(document, type=Model)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"the document is no model: {error}", code="model-document") from None
    errors = [{"pointer": f"/{where}", "detail": detail} for where, detail in _flaws(model)]
    if errors:
        listed = "; ".join(f"{one['pointer']}: {one['detail']}" for one in errors)
        raise Rejected(f"the model contradicts itself: {listed}", code="model-document")
    return model


def add_model(
    session: Session, model: Model, by: audit.Actor, *, widens: bool, now: datetime
) -> Added:
    """Add a model, or its next version, and note it with the holders of its devices.

    Raises:
        Rejected: it is one that comes with Cymba, it would change what its sessions mean, or it
            widens limits and `widens` does not say so.
        Conflict: its version is not the next one.
    """
    if model.name in MODELS:
        detail = f"{model.name} comes with Cymba: give the model another name"
        raise Rejected(detail, code="model-shipped")
    before = find_model(session, model.name)
    if before == model:
        return Added(model, before, [])
    number = 1 if before is None else before.version + 1
    if model.version != number:
        raise Conflict(f"the document's version is {model.version}; the next one is {number}")
    wider = [] if before is None else list(_wider(before, model))
    if before is not None:
        moved = [name for name in SETTLED if getattr(before, name) != getattr(model, name)]
        if moved:
            detail = f"{', '.join(moved)} cannot change: past sessions rest on it. Another name?"
            raise Rejected(detail, code="model-settled")
    if wider and not widens:
        detail = f"it widens limits: {'; '.join(wider)}. Say --widens-limits if that is meant"
        raise Rejected(detail, code="limits-widened")
    session.add(
        DeviceModel(
            name=model.name,
            version=model.version,
            document=msgspec.to_builtins(model),
            added_at=now,
            added_by=by.id,
        )
    )
    holders = select(DeviceTenure.account_id).join(Device, Device.id == DeviceTenure.device_id)
    held = holders.where(Device.model == model.name, DeviceTenure.released_at.is_(None))
    for account_id in {one for one in session.scalars(held) if one is not None}:
        audit.note(
            session, account_id, by, "model.changed",
            model=model.name, version=model.version, wider=wider,
        )  # fmt: skip
    session.flush()
    return Added(model, before, wider)


def newest_document(name: SQLColumnExpression[str]) -> ScalarSelect[Any]:
    """Of the added model of that name; null if there is none."""
    added = aliased(DeviceModel)
    newest = select(added.document).where(added.name == name).order_by(added.version.desc())
    return newest.limit(1).scalar_subquery()


def _stored(session: Session, names: Iterable[str] | None) -> dict[str, Model]:
    query = select(DeviceModel.name).distinct()
    if names is not None:
        query = query.where(DeviceModel.name.in_(list(names)))
    wanted = query.subquery()
    newest = select(newest_document(wanted.c.name)).select_from(wanted)
    models = [msgspec.convert(document, Model) for document in session.scalars(newest)]
    return {model.name: model for model in models}


_BY_DEVICE = Prepared(
    select(Device.id, Device.model, newest_document(Device.model)).where(
        Device.id == any_(bindparam("device_ids", type_=ARRAY(String())))
    )
)


def _wider(before: Model, after: Model) -> Iterator[str]:
    """Limits that `after` raises, or no longer has."""
    for name in LIMIT_NAMES:
        was, is_now = getattr(before.hard, name), getattr(after.hard, name)
        if was is not None and (is_now is None or is_now > was):
            yield f"hard.{name} from {was:g} to {'none' if is_now is None else f'{is_now:g}'}"


def _flaws(model: Model) -> Iterator[tuple[str, str]]:
    """Where the parts of a document contradict each other, each with its place."""
    if "en" not in model.titles:
        yield "titles", "the English one is missing"
    hard, usual = named(model.hard), named(model.usual)
    for name, offered in usual.items():
        if not offered.low <= offered.default <= offered.high <= hard.get(name, offered.high):
            yield f"usual/{name}", "not low ≤ default ≤ high ≤ the hard limit"
        if name not in model.settable:
            yield f"usual/{name}", "is not settable"
    needs = programme_members(model) - {"site", "side", "amplitude_ua", "native_level"}
    for name in sorted(needs - usual.keys()):
        yield f"usual/{name}", "is settable, and has no usual range"
    yield from _unknown_flaws(model)
    yield from _limit_flaws(model)
    yield from _without_source(model, [f"hard.{name}" for name in hard])


def _unknown_flaws(model: Model) -> Iterator[tuple[str, str]]:
    """What is set or limited, and not known."""
    knows = {
        "amplitude_ua": model.knows_current,
        "ramp_ua_per_s": model.knows_current,
        "phase_charge_uc": model.knows_current,
        "frequency_hz": model.reports.frequency == "known",
        "pulse_width_us": model.reports.pulse_width == "known",
        "native_level": model.native_levels is not None,
    }
    for name in sorted(name for name, is_known in knows.items() if not is_known):
        for where, members in (("hard", named(model.hard)), ("settable", model.settable)):
            if name in members:
                yield f"{where}/{name}", "the model does not know it"


def _limit_flaws(model: Model) -> Iterator[tuple[str, str]]:
    """What a model that takes programmes must limit."""
    hard = named(model.hard)
    if model.reports.current == "by_level" and model.native_levels is None:
        yield "native_levels", "a model by level says how many there are"
    if not model.settable:
        return
    for name in dict.fromkeys((OUTPUT_LIMIT[model.reports.current], "daily_sessions")):
        if name not in hard:
            yield f"hard/{name}", "a model that takes programmes has such a limit"


def _without_source(model: Model, limits: Iterable[str]) -> Iterator[tuple[str, str]]:
    figures: list[str] = list(limits)
    figures += [
        name
        for name in ("waveform", "electrode_cm2", "compliance_v", "native_levels")
        if getattr(model, name) is not None
    ]
    for figure in figures:
        if figure not in model.sources and figure.partition(".")[0] not in model.sources:
            yield "sources", f"{figure} has none"


def schema() -> dict[str, Any]:
    """The JSON Schema of a model's document."""
    built = msgspec.json.schema(Model)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **built}
