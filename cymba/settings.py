"""Settings from the environment, typed; a wrong one stops the start with a clear message."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "CYMBA_"

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(gt=0)]
Days = Annotated[int, Meta(ge=0, le=36_500)]

# As a browser sends it: small letters, no path. Apps in a web view have schemes of their own.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")

CellName = Annotated[str, Meta(pattern="^[a-z][a-z0-9]{0,30}$")]
FIRST_CELL = "first"  # of every device and broker of an installation that has no other

SESSION_SILENT_HOURS = 24
AUDIT_KEPT_DAYS = 30  # no entry of the audit log goes before: cymba/accounts/audit_guard.py


class SettingsError(Exception):
    """The environment asks for something that cannot be; the message names the variable."""


ProviderName = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,31}$")]
# ID tokens and keys come over it: by TLS, or from this machine.
Issuer = Annotated[
    str, Meta(pattern=r"^(https://[^/?#]+|http://(127\.0\.0\.1|localhost)(:[0-9]+)?)(/[^?#]*)?$")
]


class OidcProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenID Connect provider, and Cymba as its client."""

    issuer: Issuer
    client_id: str
    client_secret: str | None = None
    # The app's own, registered with the provider. Without it nobody signs in there in a browser.
    redirect_uri: str | None = None
    # The apps whose ID tokens are taken besides the client's own: bundles, Android clients.
    native_client_ids: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field for each `CYMBA_*` variable (its name in capitals after the prefix)."""

    # The database. Without a URL an embedded PostgreSQL starts and keeps its data in `data_dir`.
    database_url: str | None = None
    database_replica_url: str | None = None  # a streaming replica, for large reads
    database_pool_size: Positive = 10
    database_through_pgbouncer: bool = False  # in transaction mode
    data_dir: Path = Path(".cymba")

    # The broker as the bridge, the API and the simulator see it: mqtt[s]://[user:password@]host[:port]
    broker_url: str = "mqtt://127.0.0.1:1883"
    broker_ca_file: Path | None = None
    broker_client_cert_file: Path | None = None
    broker_client_key_file: Path | None = None
    broker_http_secret: str | None = None  # of the calls a broker makes to /v1/broker/*
    cell: CellName = FIRST_CELL  # that the broker, its bridges and its credentials' follower are of

    # The REST edge.
    http_host: str = "127.0.0.1"
    http_port: Port = 8000
    live_streams: Positive = 16  # live views at once; each holds a thread as long as it is open
    sync_streams: Positive = 64  # streams that tell of changes; ditto
    export_streams: Positive = 4  # archives that leave at once; ditto
    trusted_proxies: Annotated[int, Meta(ge=0)] = 0  # whose X-Forwarded-For is believed
    public_url: str | None = None
    cors_origins: str = ""  # of pages that may ask the API from elsewhere, with spaces between
    least_app_version: Annotated[str, Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")] | None = None
    build: str | None = None  # what `/v1/version` calls this build, such as its commit
    secret_key: str | None = None  # signs tokens and cursors; made and kept in `data_dir` if absent
    access_token_seconds: Positive = 15 * 60
    refresh_token_days: Positive = 60
    sign_in_days: Positive = 365  # then a person signs in again, however often they refreshed
    # How long a refresh whose answer was lost may be tried again. Phones wait a minute for an
    # answer before they give up; 0 allows no second try.
    refresh_retry_seconds: Annotated[int, Meta(ge=0, le=600)] = 120

    # The MQTT edge.
    bridge_slots: Positive = 1
    bridge_batch: Annotated[int, Meta(ge=1, le=10_000)] = 4_000
    metrics_port: Port | None = None

    # The session worker.
    session_silent_hours: Positive = (
        SESSION_SILENT_HOURS  # then an open session is closed as unknown_inferred
    )

    # How many days things are kept that nobody needs for ever; 0 keeps them.
    retention_audit_days: Days = 3 * 365  # at least 30, by the database's own guard
    retention_quarantine_days: Days = 90  # after a replay has settled a frame
    # While one waits it may be the only copy of a reading.
    retention_waiting_quarantine_days: Days = 0
    retention_tombstone_days: Days = 180  # an app that was away for longer reads all again
    retention_token_days: Days = 30  # after they expired or were used
    retention_mail_days: Days = 30  # after they were sent

    retention_import_days: Days = 7  # a file that nobody confirmed, what was undone or not taken

    # What a person may bring from other apps.
    import_bytes: Positive = 256 * 2**20  # of a file
    import_unpacked_bytes: Positive = 4 * 2**30  # of what it unpacks to
    import_readings: Positive = 2_000_000  # that an account keeps

    # The signing key of programmes (Ed25519, PEM); made and kept in `data_dir` if absent.
    programme_key_file: Path | None = None

    # Sign-in with OpenID Connect providers, by the names that routes call them. In JSON:
    # {"google": {"issuer": "https://accounts.google.com", "client_id": "…", "client_secret": "…"}}
    oidc_providers: dict[ProviderName, OidcProvider] = {}

    # Mail leaves through SMTP where a URL is set, else into files under `data_dir`/outbox.
    smtp_url: str | None = None
    mail_from: str = "Cymba <no-reply@localhost>"

    log_format: Annotated[str, Meta(pattern="^(json|console)$")] = "json"
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"

    def __post_init__(self) -> None:
        if 0 < self.retention_audit_days < AUDIT_KEPT_DAYS:
            raise ValueError(f"expected 0, or at least {AUDIT_KEPT_DAYS}")
        for origin in self.cors_origins.split():
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin} is no origin: expected https://app.example[:port]")


def load(environ: Mapping[str, str]) -> Settings:
    """Read every `CYMBA_*` variable of `environ`; an empty one counts as unset.

    Raises:
        SettingsError: a variable is unknown or its value does not fit; the message names it.
    """
    given: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value != ""
    }
    unknown = sorted(given.keys() - set(Settings.__struct_fields__))
    if unknown:
        raise SettingsError(f"{PREFIX}{unknown[0].upper()} is not a setting of Cymba")
    for name, value in list(given.items()):
        # One at a time, so that the message can name the variable in the operator's spelling.
        try:
            if name == "oidc_providers":
                given[name] = msgspec.json.decode(value)
            msgspec.convert({name: given[name]}, Settings, strict=False, dec_hook=_decode)
        except (msgspec.MsgspecError, ValueError) as error:
            reason = str(error).split(" - at ")[0]
            raise SettingsError(f"{PREFIX}{name.upper()}: {reason}") from None
    settings = msgspec.convert(given, Settings, strict=False, dec_hook=_decode)
    for name in ("database_url", "database_replica_url"):
        url: str | None = getattr(settings, name)
        if url is not None and not _names_a_postgresql(url):
            # Without the URL, which holds a password.
            raise SettingsError(
                f"{PREFIX}{name.upper()}: expected postgresql://user:password@host:port/database"
            )
    return settings


def _names_a_postgresql(url: str) -> bool:
    try:
        return make_url(url).drivername in {"postgres", "postgresql", "postgresql+psycopg"}
    except (ArgumentError, ValueError):  # no URL at all; a port that is no number
        return False


def _decode(type_: type, value: object) -> object:
    if type_ is Path:
        return Path(str(value)).expanduser()
    raise TypeError(f"no way to read a {type_.__name__}")
