"""Which server this is, what it speaks, and which app it still serves."""

from importlib.metadata import version

from flask import Response, current_app

from service.http import out
from service.http.answers import tagged
from service.http.document import document_of
from service.http.fields import Schema
from service.http.openapi import Resource
from service.http.services import services
from service.http.writing import writer

blp = Resource("version", "Which server this is")

SERVER = version("cymba")
# What docs/device-protocol.md and docs/mobile-sync.md describe.
DEVICE_PROTOCOL = 1
SYNC_PROTOCOL = 1


class VersionSchema(Schema):
    server = out.text("0.1.0", "Of the server's software")
    build = out.text("3f2a9c1", "As its operator names it", null=True)
    document = out.text(
        "5f0c4e0b7c1d2a3948576a1b", "Digest of `/v1/openapi.json`: another one, another document"
    )
    device_protocol = out.whole(DEVICE_PROTOCOL, "The newest that devices may speak")
    sync_protocol = out.whole(SYNC_PROTOCOL, "What `/v1/sync` speaks")
    least_app_version = out.text(
        "2.3.0",
        "Of the app that this server is for: an older one asks its person to update. null: any",
        null=True,
    )


_shown = writer(VersionSchema)


@blp.get("/v1/version")
@blp.public
@blp.answers(200, VersionSchema)
@blp.etag
def get_version() -> Response:
    """Which server this is, and which version of the app it needs at least

    Ask it at the start of the app, and when an answer cannot be read.
    """
    settings = services().settings
    shown = _shown(
        {
            "server": SERVER,
            "build": settings.build,
            "document": document_of(current_app).digest,
            "device_protocol": DEVICE_PROTOCOL,
            "sync_protocol": SYNC_PROTOCOL,
            "least_app_version": settings.least_app_version,
        }
    )
    return tagged(shown)
