"""What a person says of a device or a day, as the API takes and shows it."""

import marshmallow as ma

from cymba.stimulation.written.remarks import OF
from service.http import out
from service.http.fields import Instant, Schema, Text
from service.http.put_back import takes_what_is_shown
from service.http.writing import writer

_ABOUT = (
    "`electrode_changed`: of a device. `no_session`: there was none on that day with a "
    "stimulator that reports nothing by itself. `put_away`: a model without a device is no longer "
    "used"
)


class WantedRemarkSchema(Schema):
    """A remark as the app writes it, whole."""

    what = Text(
        required=True, validate=ma.validate.OneOf(list(OF)), about=_ABOUT, example="no_session"
    )
    said_of = Instant(
        required=True,
        about="The moment, or one of the day, it is about",
        example="2026-03-01T20:00:00.000000Z",
    )
    time_zone = Text(required=True, about="IANA, where that was", example="Europe/Berlin")
    device_id = Text(
        load_default=None, allow_none=True, about="Of `electrode_changed`", example=None
    )
    model = Text(load_default=None, allow_none=True, about="Of `put_away`", example=None)
    note = Text(load_default=None, allow_none=True, about="The person's own", example=None)


class RemarkSchema(Schema):
    id = out.uuid("7d0a4a53-0b86-4c0e-8d1c-6a5b4c3d2e1f")
    what = out.text("no_session", _ABOUT, one_of=OF)
    said_of = out.instant("2026-03-01T20:00:00.000000Z")
    time_zone = out.text("Europe/Berlin")
    device_id = out.text(None, null=True)
    model = out.text(None, null=True)
    note = out.text(None, null=True)
    version = out.whole(1)
    changed_at = out.instant("2026-03-01T20:01:12.000000Z")


remark_shown = writer(RemarkSchema)
takes_what_is_shown(WantedRemarkSchema, RemarkSchema)
