"""The AsyncAPI document of the device protocol: `python -m ops.asyncapi > docs/asyncapi.json`.

The schemas come from the structs that the server decodes with, so the two always agree.
"""

import inspect
import json
import sys
from typing import Any, NamedTuple

import msgspec

from cymba.stimulation.wire.channels import CHANNELS, Channel
from cymba.stimulation.wire.messages import (
    DEVICE_ID_PATTERN,
    MAX_BEATS_PER_SAMPLE,
    MAX_PAYLOAD_BYTES,
    MAX_SAMPLES,
    Ack,
    Desired,
    EndFrame,
    EventFrame,
    Presence,
    Relocation,
    ReportedState,
    SamplesFrame,
    StartFrame,
    TimeReply,
    TimeRequest,
)

SCHEMAS = "#/components/schemas/{name}"


class DocumentedTopic(NamedTuple):
    address: str  # after the device's own topic
    action: str  # of the server
    qos: int
    retained: bool
    about: str
    messages: tuple[type[msgspec.Struct], ...]


TOPICS = {
    "frame": DocumentedTopic(
        "up/frame",
        "receive",
        1,
        False,
        "The device's log, frame by frame. The device keeps each frame until `ack` covers it.",
        (StartFrame, SamplesFrame, EventFrame, EndFrame),
    ),
    "presence": DocumentedTopic(
        "up/presence",
        "receive",
        1,
        True,
        "Online after connecting; offline as the connection's last will.",
        (Presence,),
    ),
    "time": DocumentedTopic(
        "up/time",
        "receive",
        0,
        False,
        "The clock exchange's first and last message.",
        (TimeRequest,),
    ),
    "state": DocumentedTopic(
        "up/state", "receive", 1, False, "What became of a desired programme.", (ReportedState,)
    ),
    "ack": DocumentedTopic(
        "down/ack",
        "send",
        0,
        False,
        "Sent after the commit: the frames resolved, and those rejected with the reason.",
        (Ack,),
    ),
    "timeReply": DocumentedTopic(
        "down/time", "send", 0, False, "The server's clock, for `time`.", (TimeReply,)
    ),
    "desired": DocumentedTopic(
        "down/desired", "send", 1, True, "The programme and limits to hold.", (Desired,)
    ),
    "broker": DocumentedTopic(
        "down/broker", "send", 1, True, "The broker to connect to from now on.", (Relocation,)
    ),
}


def document() -> dict[str, Any]:
    """AsyncAPI 3.0.0 with JSON Schemas of draft 2020-12."""
    types = [message for topic in TOPICS.values() for message in topic.messages]
    _, schemas = msgspec.json.schema_components(types, ref_template=SCHEMAS)
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    schemas["SamplesFrame"]["properties"]["c"]["properties"] = {
        channel.name: _column(channel) for channel in CHANNELS.values()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Cymba device protocol",
            "version": "1.0.0",
            "description": (
                "The messages between stimulators and the server over MQTT, as JSON or as CBOR "
                "of the same structure; the first byte shows which. The rules are in "
                f"device-protocol.md. A payload has at most {MAX_PAYLOAD_BYTES} bytes."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {name: _topic(topic) for name, topic in TOPICS.items()},
        "operations": {name: _operation(name, topic) for name, topic in TOPICS.items()},
        "components": {
            "messages": {message.__name__: _message(message) for message in types},
            "schemas": schemas,
        },
    }


def _column(channel: Channel) -> dict[str, Any]:
    """A column of a channel that the server knows, as `frames.decode` checks it."""
    is_per_beat = channel.layout == "per_beat"
    return {
        "title": channel.title,
        "description": f"{channel.unit}, one for each {'beat' if is_per_beat else 'sample'}"
        + (", never falling" if channel.cumulative else ""),
        "type": "array",
        "maxItems": MAX_SAMPLES * (MAX_BEATS_PER_SAMPLE if is_per_beat else 1),
        "items": {
            "anyOf": [
                {"type": "integer", "minimum": channel.low, "maximum": channel.high},
                {"type": "null"},
            ]
        },
    }


def _topic(topic: DocumentedTopic) -> dict[str, Any]:
    return {
        "address": f"cymba/v1/{{device}}/{topic.address}",
        "description": topic.about,
        "parameters": {
            "device": {
                "description": f"The device's id, also its user name and client id: "
                f"`{DEVICE_ID_PATTERN}`."
            }
        },
        "messages": {
            message.__name__: {"$ref": f"#/components/messages/{message.__name__}"}
            for message in topic.messages
        },
    }


def _operation(name: str, topic: DocumentedTopic) -> dict[str, Any]:
    return {
        "action": topic.action,
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": topic.about,
        "messages": [
            {"$ref": f"#/channels/{name}/messages/{message.__name__}"} for message in topic.messages
        ],
        "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retained}},
    }


def _message(message: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": message.__name__,
        "contentType": "application/json",
        "payload": {"$ref": SCHEMAS.format(name=message.__name__)},
    }


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
