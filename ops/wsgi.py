"""The application as the HTTP server's worker loads it: settings from the environment, a pool of
its own."""

import os

from flask import Flask

from cymba.database import make_engine
from cymba.settings import load
from ops import logs
from service import create_app


def create() -> Flask:
    """`cymba api` has put the database's URL in the environment, also the embedded one's."""
    settings = load(os.environ)
    logs.configure(settings)
    if settings.database_url is None:
        raise RuntimeError("CYMBA_DATABASE_URL is set by `cymba api`, which starts the database")
    engine = make_engine(
        settings.database_url, pool_size=settings.database_pool_size, application_name="cymba api"
    )
    return create_app(settings, engine)
