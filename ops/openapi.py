"""The REST API's document without a running server: `python -m ops.openapi > openapi.json`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine

from cymba.settings import Settings
from service import create_app
from service.http.document import document_of


def document() -> bytes:
    """The document in JSON. It needs no database: the engine never connects."""
    engine = create_engine("postgresql+psycopg://")
    with TemporaryDirectory() as folder:
        return document_of(create_app(Settings(data_dir=Path(folder)), engine)).body


if __name__ == "__main__":
    sys.stdout.buffer.write(document())
