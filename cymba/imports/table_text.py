"""A table as text (CSV): its encoding, its lines and its rows, in bounded memory.

Nothing in such a file says how it is written. UTF-8 is taken where the whole file is UTF-8, else
what old spreadsheets of Western Europe write (cp1252); which one is shown with the preview.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple

from cymba.imports.found import NotTaken

MAX_LINE: Final = 64 * 1024  # characters
MAX_COLUMNS: Final = 200
MAX_NAME: Final = 100  # characters of a column's name
DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE_ROWS: Final = 50
_BYTES: Final = 64 * 1024
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What stands for a line that is too long: no text holds it, as one that does is refused too.
_TOO_LONG: Final = "\0too long\n"


class TableRow(NamedTuple):
    line: int  # of the file, on which it begins
    cells: list[str]
    wrong: str | None = None  # why it cannot be read


def encoding_of(file: BinaryIO) -> str:
    """
    Raises:
        NotTaken: it is no text.
    """
    file.seek(0)
    head = file.read(4096)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if head.count(0) * 16 > len(head):
        return _wide(head)  # fewer are slips in a text, which spoil their rows alone
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while chunk := file.read(_BYTES):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: every second byte of plain letters is 0."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < len(head) // 4 or min(even, odd) > len(head) // 16:
        raise NotTaken("unknown-format")
    return "utf-16-le" if odd > even else "utf-16-be"


@contextmanager
def rows(file: BinaryIO, encoding: str, delimiter: str) -> Iterator[Iterator[TableRow]]:
    """All rows that are not empty. The file stays open."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding, newline="")
    try:
        yield _rows(text, delimiter)
    except UnicodeError as error:
        raise NotTaken("broken-text") from error
    finally:
        text.detach()


def _rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[TableRow]:
    reader = csv.reader(_lines(text), delimiter=delimiter)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # A field may have 131,072 characters: it began with a quotation mark that has no end.
            yield TableRow(line, [], "quote-not-closed")
            continue
        cells = [cell.strip() for cell in cells]
        if any("\0" in cell for cell in cells):
            long = any(_TOO_LONG.strip() in cell for cell in cells)
            yield TableRow(line, [], "line-too-long" if long else "not-text")
        elif any(cells):
            yield TableRow(line, cells)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) < MAX_LINE or line.endswith(("\n", "\r")):
            yield line
            continue
        while line and not line.endswith(("\n", "\r")):
            line = text.readline(MAX_LINE)
        yield _TOO_LONG


def sample(file: BinaryIO, encoding: str, delimiter: str) -> list[TableRow]:
    """The first rows."""
    found: list[TableRow] = []
    with rows(file, encoding, delimiter) as all_of_them:
        for row in all_of_them:
            found.append(row)
            if len(found) == _SAMPLE_ROWS:
                break
    return found


def delimiter_of(file: BinaryIO, encoding: str) -> str:
    """The one that gives the most rows of one and the same width."""
    best, most = ",", 0
    for one in DELIMITERS:
        widths = [len(row.cells) for row in sample(file, encoding, one) if len(row.cells) > 1]
        alike = max((widths.count(width) * min(width, 20) for width in set(widths)), default=0)
        if alike > most:
            best, most = one, alike
    return best


def names_of(header: Sequence[str]) -> list[str]:
    """The columns' names: each once, and none empty."""
    names: list[str] = []
    for number, given in enumerate(header[:MAX_COLUMNS], 1):
        name = given[:MAX_NAME] or f"column {number}"
        while name in names:
            name = f"{name[: MAX_NAME - 8]} ({number})"
        names.append(name)
    return names
