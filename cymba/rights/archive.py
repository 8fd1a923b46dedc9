"""A ZIP archive as a stream: written member by member, and drained in pieces as it grows.

It is written to a sink without seek, which ZIP's data descriptors allow. So the archive may be of
any size, and memory holds only one piece.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

PIECE_BYTES = 64 * 1024


@dataclass(slots=True)
class Member:
    """A file of the archive that is being written; `rows` counts its lines."""

    name: str
    file: IO[bytes]
    rows: int = 0
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes, *, rows: int = 0) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.size += len(data)
        self.rows += rows

    def listed(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        return {
            "name": self.name,
            "rows": self.rows,
            "bytes": self.size,
            "sha256": self.digest.hexdigest(),
        }


class _Sink:
    """The sink of `ZipFile`. Like a socket it has neither `tell` nor `seek`."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """`ZipFile` asks for it; nothing is buffered."""

    def close(self) -> None:
        """`ZipFile` asks for it."""


class Archive:
    """Write members one after the other, and `drain` in between."""

    def __init__(self, written_at: datetime) -> None:
        self._sink = _Sink()
        self._zip = ZipFile(self._sink, "w")
        self._date_time = written_at.timetuple()[:6]
        self.members: list[Member] = []

    @contextmanager
    def member(self, name: str, *, compressed: bool = True) -> Iterator[Member]:
        about = ZipInfo(name, self._date_time)
        about.compress_type = ZIP_DEFLATED if compressed else ZIP_STORED
        about.external_attr = 0o600 << 16
        # Its size is unknown, so it is written as ZIP64, for more than 4 GiB.
        with self._zip.open(about, "w", force_zip64=True) as file:
            member = Member(name, file)
            yield member
        self.members.append(member)

    @property
    def has_piece(self) -> bool:
        """Whether a whole piece is ready."""
        return self._sink.size >= PIECE_BYTES

    def drain(self) -> bytes:
        """Everything written since the last call."""
        pieces, self._sink.pieces, self._sink.size = self._sink.pieces, [], 0
        return b"".join(pieces)

    def close(self) -> bytes:
        """Write the directory, which ends the archive."""
        self._zip.close()
        return self.drain()
