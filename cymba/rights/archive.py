"""A ZIP archive as a stream: made member by member, and taken away in pieces as it grows.

It is written to a sink that cannot be sought in (ZIP's data descriptors make that possible), so
its size is bounded by nothing and the memory it takes by what is drained at once.
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

    def told(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "bytes": self.size,
            "sha256": self.digest.hexdigest(),
        }


class _Sink:
    """What `ZipFile` writes to: it has no `tell` and no `seek`, as a socket has none."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """There is nothing between this and who drains it."""

    def close(self) -> None:
        """It is not a file."""


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
        # Nobody knows its size yet, so it is written as one that may be over 4 GiB.
        with self._zip.open(about, "w", force_zip64=True) as file:
            member = Member(name, file)
            yield member
        self.members.append(member)

    @property
    def has_piece(self) -> bool:
        """Whether there is enough to be worth taking away."""
        return self._sink.size >= PIECE_BYTES

    def drain(self) -> bytes:
        """All that was written since the last time."""
        pieces, self._sink.pieces, self._sink.size = self._sink.pieces, [], 0
        return b"".join(pieces)

    def close(self) -> bytes:
        """Write the directory; the last of the archive."""
        self._zip.close()
        return self.drain()
