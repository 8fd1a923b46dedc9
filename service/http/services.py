"""What the views of one application share: settings, engine, keys and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask, current_app
from joserfc.jwk import OctKey
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from cymba.accounts.app_grants import AppSigner
from cymba.accounts.kept_answers import KEPT_ANSWERS
from cymba.accounts.keys import derive, load_secret, throttle_key
from cymba.accounts.providers import Provider
from cymba.accounts.sign_up import SIGN_UP_CODES
from cymba.accounts.tokens import Signer
from cymba.accounts.verified_tokens import VerifiedTokens
from cymba.database import UnitOfWork, units_of_work, utc_now
from cymba.devices.denied_topics import DeniedTopics
from cymba.devices.quotas import Quota
from cymba.devices.rate_limits import RateLimits
from cymba.devices.signing import load_key
from cymba.heartbeat import Heartbeat
from cymba.large_reads import LargeReads
from cymba.rights.erasure import ErasureKeys
from cymba.rights.receipts import RECEIPT_TOKENS
from cymba.settings import Settings
from service.http.asking import Asking
from service.http.latest import Latest
from service.http.metrics import ApiMetrics
from service.http.places import Places
from service.http.watching import Watching

_KEY = "cymba"
# For one account, share or device, or for one network where nobody is signed in. A browser sends
# six requests at once.
REQUESTS_OF_ONE, CHANGES_OF_ONE = 8, 4
STREAMS_OF_ONE = 4
SYNC_STREAMS_OF_ONE = 6  # a few phones, and tabs
HASHES_OF_ONE = 2  # of one network, of the `passwords.AT_ONCE` that there are
READINGS, READINGS_OF_ONE = 4, 2
REPORTS = 4  # each may take a second of a processor
# Anybody may ask /readyz, and each time takes two connections to the database.
READY_FOR_S = 1.0


@dataclass(frozen=True)
class Services:
    settings: Settings
    engine: Engine
    sessions: sessionmaker[UnitOfWork]
    large_reads: LargeReads
    signer: Signer
    app_signer: AppSigner
    tokens: VerifiedTokens
    cursor_key: bytes
    throttle_key: bytes
    sign_up_key: bytes
    kept_answers_key: bytes
    programme_key: Ed25519PrivateKey
    oidc: Mapping[str, Provider]
    rate_limits: RateLimits  # of frames that come over HTTP
    quota: Quota  # of what they store
    metrics: ApiMetrics
    denied_topics: DeniedTopics
    erasure_keys: ErasureKeys
    receipt_key: bytes
    requests: Places  # under way, of one account, share or device
    changes: Places  # those requests that are not reads
    sign_ins: Places  # under way, by the e-mail address that they name
    hashes: Places  # of passwords, by the network of those who are not signed in
    readings: Places  # of whole sessions, which take much memory until they are sent
    streams: Places
    sync_streams: Places
    watching: Watching
    exports: Places
    reports: Places
    readiness: Latest[dict[str, Any]]  # what /readyz found
    asking: Asking  # its checks
    heartbeat: Heartbeat
    closing: Event  # set when the server stops, so that live views end at once

    @classmethod
    def make(cls, settings: Settings, engine: Engine, replica: Engine | None = None) -> "Services":
        secret = load_secret(settings)
        metrics = ApiMetrics()
        most = settings.live_streams
        streams = Places(
            STREAMS_OF_ONE, most=most, for_newcomers=most // 4, show=metrics.live_streams.set
        )
        most = settings.sync_streams
        sync_streams = Places(
            SYNC_STREAMS_OF_ONE, most=most, for_newcomers=most // 4, show=metrics.sync_streams.set
        )
        sessions = units_of_work(engine, expire_on_commit=False)
        signer = Signer.make(
            derive(secret, "access tokens"),
            access_seconds=settings.access_token_seconds,
            refresh_days=settings.refresh_token_days,
            sign_in_days=settings.sign_in_days,
            retry_seconds=settings.refresh_retry_seconds,
        )
        return cls(
            settings=settings,
            engine=engine,
            sessions=sessions,
            large_reads=LargeReads(engine, replica, metrics.registry),
            signer=signer,
            app_signer=AppSigner(
                OctKey.import_key(derive(secret, "tokens of apps")), signer.retry_lifetime
            ),
            tokens=VerifiedTokens(signer),
            cursor_key=derive(secret, "cursors"),
            throttle_key=throttle_key(secret),
            sign_up_key=derive(secret, SIGN_UP_CODES),
            kept_answers_key=derive(secret, KEPT_ANSWERS),
            programme_key=load_key(settings),
            oidc={name: Provider(name, one) for name, one in settings.oidc_providers.items()},
            rate_limits=RateLimits(),
            quota=Quota(),
            metrics=metrics,
            denied_topics=DeniedTopics(),
            erasure_keys=ErasureKeys.of(secret),
            receipt_key=derive(secret, RECEIPT_TOKENS),
            requests=Places(REQUESTS_OF_ONE),
            changes=Places(CHANGES_OF_ONE),
            sign_ins=Places(1),
            hashes=Places(HASHES_OF_ONE),
            readings=Places(READINGS_OF_ONE, most=READINGS, for_newcomers=READINGS // 4),
            streams=streams,
            sync_streams=sync_streams,
            watching=Watching(sessions),
            # Each holds a thread and a connection for as long as the archive takes to leave.
            exports=Places(1, most=settings.export_streams),
            reports=Places(1, most=REPORTS),
            readiness=Latest(READY_FOR_S),
            asking=Asking(),
            heartbeat=Heartbeat(),
            closing=Event(),
        )

    def attach(self) -> dict[str, "Services"]:
        return {_KEY: self}

    @staticmethod
    def of(app: Flask) -> "Services":
        return cast(Services, app.extensions[_KEY])

    @staticmethod
    def now() -> datetime:
        return utc_now()


def services() -> Services:
    """Those of the application that serves the current request."""
    return Services.of(current_app)
