"""A session's channels over time: as JSON columns, as CSV, or as an Arrow stream."""

from dataclasses import replace
from io import BytesIO
from typing import Any
from uuid import UUID

import marshmallow as ma
import pyarrow as pa
import pyarrow.csv
from flask import Response, request
from werkzeug.exceptions import NotAcceptable

from cymba.stimulation.session import queries
from cymba.stimulation.session.arrow import as_small_table, as_table
from cymba.stimulation.session.telemetry import MIN_POINTS, Telemetry
from service.http import answers, out
from service.http.bearer import hold_reading
from service.http.etags import set_etag
from service.http.examples import described
from service.http.fields import Instant, Pattern, Schema, SpanInOrder, Text, Whole
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.reading import reading
from service.http.under_way import large_answer
from service.http.writing import writer

blp = Resource("telemetry", "A session's channels over time")

MAX_POINTS = 100_000
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
MEDIA_TYPES = {"json": answers.MEDIA_TYPE, "csv": CSV, "arrow": ARROW}
CHANNELS_PATTERN = r"^[a-z][a-z0-9_]{0,31}(,[a-z][a-z0-9_]{0,31}){0,31}$"


class TelemetryQuerySchema(SpanInOrder, Schema):
    channels = Text(
        validate=Pattern(CHANNELS_PATTERN),
        metadata={
            "description": "Names with commas between; all if absent. One that the session does "
            "not have is left out of the answer"
        },
    )
    points = Whole(
        in_query=True,
        validate=ma.validate.Range(min=MIN_POINTS, max=MAX_POINTS),
        metadata={
            "description": "At most so many of each channel; peaks and gaps survive. All if absent"
        },
    )
    begin = Instant(data_key="from", metadata={"description": "From then on"})
    end = Instant(data_key="to", metadata={"description": "Until before then"})
    format = Text(
        validate=ma.validate.OneOf(list(MEDIA_TYPES)),
        metadata={"description": "Instead of the header Accept"},
    )


class TelemetrySeriesSchema(Schema):
    channel = out.text("amplitude_ua")
    title = out.text("Amplitude set")
    unit = out.text("uA", "UCUM; null for a channel that is not known", null=True)
    shown_unit = out.text(
        "mA", "UCUM, that people read it in: `values` divided by `scale`", null=True
    )
    scale = ma.fields.Integer(
        required=True, validate=ma.validate.Range(min=1), metadata=described("", 1000)
    )
    offset_ms = out.many(out.whole(0), "Since `started_at`; never falling", example=[0, 1000, 2000])
    values = out.many(
        out.number(0.0, null=True),
        "In `unit`; null where readings are missing from there on",
        example=[0.0, 500.0, 1000.0],
    )


class TelemetrySchema(Schema):
    session_id = out.uuid("5b0d7c2e-8f14-5a39-9c60-1e2f3a4b5c6d", source=out.GIVEN)
    started_at = out.instant("2026-03-01T18:00:00.120000Z")
    series = out.many(TelemetrySeriesSchema)


_telemetry_shown = writer(TelemetrySchema)


@blp.get("/v1/sessions/<uuid:session_id>/telemetry")
@blp.query(TelemetryQuerySchema)
@blp.answers(200, TelemetrySchema)
@blp.answers(
    200,
    {"type": "string"},
    content_type=CSV,
    example="channel,unit,at,offset_ms,value\namplitude_ua,uA,2026-03-01T18:00:00.120Z,0,500\n",
)
@blp.answers(200, {"type": "string", "format": "binary"}, content_type=ARROW)
@blp.etag
@blp.problems("not-acceptable")
@blp.shared("sessions")
def get_telemetry(query: dict[str, Any], session_id: UUID) -> Response:
    """Read a session's channels over time

    CSV and Arrow have one row for each reading: channel, unit, offset and value; a row without a
    value says that readings are missing from there on. CSV has the time as well, Arrow has
    `started_at` in the schema's metadata. Its offsets are of 32 bits and its values of single
    precision, but for a session that those cannot hold as it is.
    """
    media_type = _wanted(query.get("format"))
    channels = query["channels"].split(",") if "channels" in query else None
    with reading() as read:
        account = read.caller()
        found = queries.find_recorded(read.line, account.id, session_id)
        hold_reading(account)
        telemetry = queries.telemetry_of(
            read.line,
            found,
            channels=channels,
            points=query.get("points"),
            begin=query.get("begin"),
            end=query.get("end"),
        )
    match media_type:
        case answers.MEDIA_TYPE:
            body = _as_json(session_id, telemetry)
        case _ if media_type == CSV:
            body = csv_of(as_table(telemetry))
        case _:
            body = _as_arrow(as_small_table(telemetry))
    response = large_answer(body, media_type)
    response.vary.add("Accept")
    return set_etag(response, body)


def _wanted(given: str | None) -> str:
    if given is not None:
        return MEDIA_TYPES[given]
    if not request.accept_mimetypes:
        return answers.MEDIA_TYPE
    best = request.accept_mimetypes.best_match(MEDIA_TYPES.values())
    if best is None:
        raise NotAcceptable
    return best


def _as_json(session_id: UUID, telemetry: Telemetry) -> bytes:
    voice = spoken()
    series = [replace(one, title=voice.translate(one.title)) for one in telemetry.series]
    spoken_of = replace(telemetry, series=tuple(series))
    shown = _telemetry_shown(spoken_of, session_id=session_id)  # orjson writes NaN as null
    return answers.dumps(shown)


def csv_of(table: pa.Table) -> bytes:
    import pyarrow.compute as pc  # noqa: PLC0415 - makes hundreds of functions

    plain = {
        "channel": table["channel"].cast(pa.string()),
        "unit": table["unit"].cast(pa.string()),
        "at": pc.strftime(table["at"], format="%Y-%m-%dT%H:%M:%SZ"),  # %S has the milliseconds
        "offset_ms": table["offset_ms"],
        "value": table["value"],
    }
    sink = BytesIO()
    pa.csv.write_csv(pa.table(plain), sink, pa.csv.WriteOptions(quoting_style="needed"))
    return sink.getvalue()


def _as_arrow(table: pa.Table) -> bytes:
    sink = BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
