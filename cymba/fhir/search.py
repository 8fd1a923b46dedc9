"""Pages of resources.

A page goes on after the last resource of the one before: by its row's place in time, and by its id
among those of the row. So rows that come or go meanwhile shift nothing. One row may give many
resources or none. A page reads a bounded number of rows, so it may hold less than was asked for
although more follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy.orm import Session

from cymba.fhir.dates import FOREVER
from cymba.fhir.parts import Resource
from cymba.fhir.record import Part, RecordOwner, RecordRow, RowKey, RowsAsked, RowsWanted
from cymba.fhir.resource_type import Maker, ResourceType

MOST_ROWS: Final = 500
ROWS_AT_ONCE: Final = 100


class ReadUpTo(NamedTuple):
    """What was read last: the maker by its number, the row, and the resource in it. Without `id`
    all of the row was read."""

    leg: int
    at: datetime
    row_id: str
    id: str | None


@dataclass(frozen=True, slots=True)
class Search:
    """`ids`: of resources; `codes`: systems and codes of which a resource has one. None: any."""

    wanted: RowsWanted = field(default_factory=RowsWanted)
    ids: frozenset[str] | None = None
    codes: frozenset[tuple[str | None, str]] | None = None

    def finds(self, made: Resource) -> bool:
        if self.ids is not None and made["id"] not in self.ids:
            return False
        return self.codes is None or any(_has(made, *code) for code in self.codes)


class ResourcePage(NamedTuple):
    resources: list[Resource]
    next_place: ReadUpTo | None  # None: it is the last


def legs(types: Sequence[ResourceType], opened: frozenset[Part]) -> list[Maker]:
    """What may be read of these types."""
    return [maker for one in types for maker in one.makers if maker.source.part in opened]


def by_ids(ids: frozenset[str]) -> Search:
    """For resources with these ids. What a row's id has added to it begins with a point."""
    heads = {id_[:at] for id_ in ids for at, sign in enumerate(id_) if sign == "."}
    return Search(RowsWanted(ids=ids | heads), ids)


@dataclass(frozen=True, slots=True)
class ResourceReader:
    """Reads what `makers` make of an owner's rows."""

    session: Session
    owner: RecordOwner
    makers: Sequence[Maker]

    def page(self, search: Search, *, after: ReadUpTo | None = None, count: int) -> ResourcePage:
        found: list[Resource] = []
        place = last = after
        for place, made in self._walk(search, after, min(count + 1, ROWS_AT_ONCE)):
            if made is None:
                last = place
            elif len(found) == count:
                return ResourcePage(found, last)
            else:
                found.append(made)
                last = place
        is_cut_off = place is not None and place.leg < len(self.makers)
        return ResourcePage(found, last if is_cut_off else None)

    def everything(self) -> Iterator[Resource]:
        """All that there is, one page in memory at a time."""
        place: ReadUpTo | None = None
        while True:
            page = self.page(Search(), after=place, count=ROWS_AT_ONCE)
            yield from page.resources
            place = page.next_place
            if place is None:
                return

    def _walk(
        self, search: Search, after: ReadUpTo | None, at_once: int
    ) -> Iterator[tuple[ReadUpTo, Resource | None]]:
        """What is found, each with its place; None where a row is done. The last place is beyond
        all makers, unless the page has read its fill of rows."""
        left = MOST_ROWS
        for leg in range(after.leg if after else 0, len(self.makers)):
            begins = after if after is not None and after.leg == leg else None
            for row, begun in self._rows(leg, search.wanted, begins, at_once):
                resources = self.makers[leg].make(row.value, self.owner)
                for made in sorted(resources, key=lambda one: str(one["id"])):
                    if (begun is None or made["id"] > begun) and search.finds(made):
                        yield ReadUpTo(leg, row.at, row.id, made["id"]), made
                left -= 1
                yield ReadUpTo(leg, row.at, row.id, None), None
                if not left:
                    return
        yield ReadUpTo(len(self.makers), FOREVER, "", None), None

    def _rows(
        self, leg: int, wanted: RowsWanted, after: ReadUpTo | None, at_once: int
    ) -> Iterator[tuple[RecordRow, str | None]]:
        """The rows that follow. The one in which the page before ended comes first, with the id of
        its last resource there."""
        read, key = self.makers[leg].source.read, None
        if after is not None:
            key = RowKey(after.at, after.row_id)
            if after.id is not None:
                same = RowsAsked(self.owner, wanted.only(after.row_id), None, 1)
                for row in read(self.session, same).rows:
                    if row.at == after.at:  # else it has moved: it is further on, or was passed
                        yield row, after.id
        while True:
            batch = read(self.session, RowsAsked(self.owner, wanted, key, at_once))
            for row in batch.rows:
                yield row, None
            if batch.next_key is None:
                return
            key, at_once = batch.next_key, ROWS_AT_ONCE


def _has(made: Resource, system: str | None, code: str) -> bool:
    return any(
        one["code"] == code and system in (None, one["system"])
        for one in made.get("code", {}).get("coding", ())
    )
