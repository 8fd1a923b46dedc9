"""The REST edge: a Flask application over the core."""

from flask import Flask
from sqlalchemy import Engine
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from cymba.settings import Settings
from service.fhir import views as fhir
from service.http import (
    compression,
    cors,
    deprecations,
    language,
    problems,
    rate_headers,
    request_logging,
)
from service.http.document import finish_document, keep, make_document
from service.http.services import Services
from service.resources import (
    accounts,
    apps,
    auth,
    broker,
    companion,
    consents,
    courses,
    desired,
    device_health,
    devices,
    diary,
    docs,
    erasure,
    experiments,
    frames,
    health,
    history,
    imports,
    insights,
    live,
    models,
    oauth,
    oidc,
    operator,
    programme,
    recovery,
    remarks,
    reminders,
    report,
    rights,
    screening,
    sessions,
    shares,
    symptom_pictures,
    sync,
    sync_live,
    telemetry,
    version,
)

API_VERSION = "1.0.0"
MAX_BODY_BYTES = 64 * 1024

RESOURCES = (
    auth,
    oidc,
    recovery,
    accounts,
    erasure,
    consents,
    shares,
    apps,
    rights,
    devices,
    models,
    programme,
    screening,
    device_health,
    desired,
    frames,
    sessions,
    telemetry,
    live,
    history,
    diary,
    reminders,
    remarks,
    imports,
    experiments,
    insights,
    courses,
    symptom_pictures,
    report,
    sync,
    sync_live,
    broker,
    operator,
    health,
    version,
    docs,
)


class DeviceIdConverter(BaseConverter):
    regex = "[A-Za-z0-9_-]{8,32}"
    part_isolating = True


def create_app(settings: Settings, engine: Engine, replica: Engine | None = None) -> Flask:
    """The WSGI application. It is safe for threads; the engines stay the caller's to dispose of."""
    app = Flask("service", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False  # a redirect would be an answer outside of the document
    app.url_map.converters["device_id"] = DeviceIdConverter
    app.extensions |= Services.make(settings, engine, replica).attach()
    request_logging.register(app)
    for part in (problems, language, cors, compression, deprecations, rate_headers):
        part.register(app)
    document = make_document(app, version=API_VERSION, public_url=settings.public_url)
    document.register_converter(
        DeviceIdConverter, lambda _: {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,32}$"}
    )
    for resource in RESOURCES:
        document.register_blueprint(resource.blp)
    for pages in (companion.pages, fhir.pages, oauth.pages):
        app.register_blueprint(pages)
    app.extensions |= keep(finish_document(document, app))
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    return app
