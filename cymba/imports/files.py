"""Which kind of file it is, and everything that it holds."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final
from zipfile import ZipFile, ZipInfo

from cymba.imports import apple_health, diary_table, health_connect, packed
from cymba.imports.diary_table import Survey
from cymba.imports.found import Found, NotTaken
from cymba.imports.mapping import Mapping

_HEAD_BYTES: Final = 64 * 1024
_ZIP: Final = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose format is known. `survey`: of a table alone."""

    format: str
    file: BinaryIO
    survey: Survey | None = None

    def found(self, mapping: Mapping | None, *, now: datetime) -> Iterator[Found]:
        """
        Raises:
            NotTaken: nothing of it can be taken. What was given before is not to be kept.
        """
        if self.survey is not None:
            assert mapping is not None  # noqa: S101 - for mypy
            return diary_table.drafts(self.file, self.survey, mapping, now=now)
        if self.format == "apple_health":
            return apple_health.readings(self.file, now=now)
        return health_connect.readings(self.file, now=now)


@contextmanager
def opened(file: BinaryIO, *, max_unpacked_bytes: int) -> Iterator[Opened]:
    """
    Raises:
        NotTaken: it is none that Cymba can read.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    with ExitStack() as stack:
        if head.startswith(_ZIP):
            archive = stack.enter_context(packed.opened(file))
            yield _in_archive(archive, stack, max_unpacked_bytes)
        elif health_connect.is_database(head):
            yield Opened("health_connect", file)
        elif apple_health.is_health_data(head):
            yield Opened("apple_health", file)
        elif head.strip():
            seen = diary_table.survey(file)
            yield Opened(seen.format, file, seen)
        else:
            raise NotTaken("unknown-format")


def _in_archive(archive: ZipFile, stack: ExitStack, most: int) -> Opened:
    """Apple's file has another name in each language, so it is known by how it begins."""
    for about in sorted(archive.infolist(), key=lambda one: -one.file_size):
        if about.is_dir() or about.filename.count("/") > 1:
            continue
        wanted = about.filename.lower().endswith((".xml", ".db"))
        if wanted and (format_ := _format_of(archive, about)):
            return Opened(format_, stack.enter_context(packed.member(archive, about, most=most)))
    raise NotTaken("unknown-format")


def _format_of(archive: ZipFile, about: ZipInfo) -> str | None:
    with packed.member(archive, about, most=2 * _HEAD_BYTES) as file:
        head = file.read(_HEAD_BYTES)
    if health_connect.is_database(head):
        return "health_connect"
    return "apple_health" if apple_health.is_health_data(head) else None
