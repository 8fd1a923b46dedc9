"""The device models: what each knows, what can be set, and where its limits lie."""

from typing import Any

from flask import Response

from cymba.devices.catalogue import all_models
from cymba.devices.charge import SineBurst
from cymba.devices.models import Model, named, programme_members, start_members
from service.http import out
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.fields import Schema
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.programmes import ProgrammeLimitsSchema

blp = Resource("models", "The models of device that there are")

KNOWN = ("known", "unknown")


class ReportsSchema(Schema):
    current = out.text(
        "known",
        "`by_level`: only a level is reported, and there is no current, charge or density",
        one_of=["known", "by_level", "unknown"],
    )
    frequency = out.text("known", one_of=KNOWN)
    pulse_width = out.text("known", one_of=KNOWN)
    waveform = out.text("known", one_of=KNOWN, source=out.GIVEN)


class WaveformSchema(Schema):
    shape = out.text("pulse", one_of=["pulse", "sine_burst"], source=out.GIVEN)
    phases = out.whole(2, "Of a pulse", null=True, source=out.GIVEN)
    carrier_hz = out.number(None, "Of a burst of a sine", null=True, source=out.GIVEN)


class UsualRangeSchema(Schema):
    low = out.number(1.0)
    high = out.number(30.0)
    default = out.number(25.0)


class ModelSchema(Schema):
    """A model's document, as far as an app needs it. null: not known, or the model has none."""

    name = out.text("ear_cymba")
    version = out.whole(1)
    title = out.text("Ear, cymba conchae", source=out.GIVEN)
    titles = out.table({"en": "Ear, cymba conchae"}, "By language", values=out.text("Ear"))
    sites = out.many(out.text("cymba_conchae"))
    recorder = out.text(
        "device",
        "Who writes its sessions down: the device, a phone beside it, or the person",
        one_of=["device", "phone", "person"],
    )
    reports = out.nested(ReportsSchema, source=out.GIVEN)
    takes_programmes = out.flag(True, source=out.GIVEN)
    programme_members = out.many(
        out.text("amplitude_ua"), "What a programme for it must name", source=out.GIVEN
    )
    start_members = out.many(
        out.text("amplitude_ua"), "What the start of its sessions holds", source=out.GIVEN
    )
    waveform = out.nested(WaveformSchema, null=True, source=out.GIVEN)
    electrode_cm2 = out.number(0.5, null=True)
    compliance_v = out.number(60.0, null=True)
    native_levels = out.whole(None, "Steps of its own scale", null=True)
    amplitude_step_ua = out.whole(100, null=True)
    usual = out.table(
        {"frequency_hz": {"low": 1.0, "high": 30.0, "default": 25.0}},
        "The ranges to offer, by member of a programme",
        values=UsualRangeSchema,
        source=out.GIVEN,
    )
    limits = out.nested(
        ProgrammeLimitsSchema,
        "The hard ones; those that are left out the model does not have",
        source=out.GIVEN,
        example={"amplitude_ua": 8000},
    )
    sources = out.table(
        {"hard": "Published descriptions"},
        "Where each figure comes from, by its name or its group's",
        values=out.text("Published descriptions"),
    )


class ModelsSchema(Schema):
    items = out.many(ModelSchema)


_reports_shown, _waveform_shown = writer(ReportsSchema), writer(WaveformSchema)
_range_shown, _model_shown = writer(UsualRangeSchema), writer(ModelSchema)


@blp.get("/v1/models")
@blp.answers(200, ModelsSchema)
@blp.etag
def list_models() -> Response:
    """Read the models of device: what they know of a session, what can be set, and their limits"""
    with transaction() as session:
        current_account(session)
        items = [model_shown(model) for model in all_models(session)]
    return tagged({"items": items})


def model_shown(model: Model) -> dict[str, Any]:
    waveform = model.waveform
    return _model_shown(
        model,
        title=spoken().title(model.titles),
        reports=_reports_shown(model.reports, waveform="unknown" if waveform is None else "known"),
        takes_programmes=bool(model.settable),
        programme_members=sorted(programme_members(model)) if model.settable else [],
        start_members=sorted(start_members(model)),
        waveform=waveform
        and _waveform_shown(
            waveform,
            shape="sine_burst" if isinstance(waveform, SineBurst) else "pulse",
            phases=getattr(waveform, "phases", None),
            carrier_hz=getattr(waveform, "carrier_hz", None),
        ),
        usual={name: _range_shown(offered) for name, offered in named(model.usual).items()},
        limits=named(model.hard),
    )
