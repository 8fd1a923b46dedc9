"""What the views of one application share: settings, engine, keys and metrics."""

from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import cast

from flask import Flask, current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from cymba.accounts.keys import derive, load_secret
from cymba.accounts.tokens import Signer
from cymba.database import utc_now
from cymba.settings import Settings
from service.metrics import Metrics
from service.streams import StreamPlaces

_KEY = "cymba"


@dataclass(frozen=True)
class Edge:
    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    signer: Signer
    cursor_key: bytes
    throttle_key: bytes
    metrics: Metrics
    streams: StreamPlaces
    closing: Event  # set by who stops the server, so that live views end at once

    @classmethod
    def make(cls, settings: Settings, engine: Engine) -> "Edge":
        secret = load_secret(settings)
        metrics, streams = Metrics(), StreamPlaces(settings.live_streams)
        metrics.live_streams.set_function(streams.count)
        return cls(
            settings=settings,
            engine=engine,
            sessions=sessionmaker(engine, expire_on_commit=False),
            signer=Signer.make(
                derive(secret, "access tokens"),
                access_seconds=settings.access_token_seconds,
                refresh_days=settings.refresh_token_days,
            ),
            cursor_key=derive(secret, "cursors"),
            throttle_key=derive(secret, "sign-in throttle"),
            metrics=metrics,
            streams=streams,
            closing=Event(),
        )

    def attach(self) -> dict[str, "Edge"]:
        return {_KEY: self}

    @staticmethod
    def of(app: Flask) -> "Edge":
        return cast(Edge, app.extensions[_KEY])

    @staticmethod
    def now() -> datetime:
        return utc_now()


def edge() -> Edge:
    """Those of the application that serves the current request."""
    return Edge.of(current_app)
