"""Archives from strangers: opened with bounded memory, and read up to a bound.

What an archive says of its sizes is not believed; what comes out of it is counted.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from cymba.imports.found import NotTaken

MAX_DIRECTORY_BYTES: Final = 2 * 1024 * 1024  # some 20,000 members; `zipfile` holds them all
MAX_RATIO: Final = 200  # an export of a watch packs to a twentieth, a bomb to a thousandth
FREE_BYTES: Final = 32 * 1024 * 1024  # that much may come out of however little

_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_MAX_COMMENT: Final = 65_535
BROKEN: Final = (
    BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    ValueError,
    OverflowError,
)


class Bounded(io.RawIOBase):
    """A stream that ends in `NotTaken` where it gives more than it may."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._left = file, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except BROKEN as error:
            raise NotTaken("broken-archive") from error
        self._left -= len(data)
        if self._left < 0:
            raise NotTaken("unpacks-too-large")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(file: BinaryIO) -> Iterator[ZipFile]:
    """
    Raises:
        NotTaken: it is damaged, or its directory is so long that it was made to harm.
    """
    _check_directory(file)
    try:
        archive = ZipFile(file)
    except BROKEN as error:
        raise NotTaken("broken-archive") from error
    with archive:
        yield archive


@contextmanager
def member(archive: ZipFile, about: ZipInfo, *, most: int) -> Iterator[BinaryIO]:
    """A member's bytes, `most` and `MAX_RATIO` at the most."""
    if about.flag_bits & 0x1:
        raise NotTaken("encrypted")
    if about.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise NotTaken("broken-archive")
    most = min(most, FREE_BYTES + MAX_RATIO * about.compress_size)
    try:
        file = archive.open(about)
    except (*BROKEN, RuntimeError) as error:
        raise NotTaken("broken-archive") from error
    with file:
        yield io.BufferedReader(Bounded(file, most), buffer_size=64 * 1024)


def _check_directory(file: BinaryIO) -> None:
    """Before `zipfile` reads it whole into memory."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_BYTES - _MAX_COMMENT))
    tail = file.read(_END_BYTES + _MAX_COMMENT)
    file.seek(0)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise NotTaken("broken-archive")
    # One that does not fit here (ZIP64) has all bits set, and is too long as well.
    (directory_bytes,) = struct.unpack_from("<I", tail, at + 12)
    if directory_bytes > MAX_DIRECTORY_BYTES:
        raise NotTaken("unpacks-too-large")
