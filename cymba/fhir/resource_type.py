"""What a module of `resources` says of its type."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from cymba.fhir.parts import Resource
from cymba.fhir.record import RecordOwner, Source

Make = Callable[[Any, RecordOwner], Iterable[Resource]]
"""The resources of one row, in the order of what their ids add to the row's."""


@dataclass(frozen=True, slots=True)
class Maker:
    """`in_archive`: not of what the archive has in another form, and by the hundred thousand."""

    source: Source
    make: Make
    in_archive: bool = True


@dataclass(frozen=True, slots=True)
class ResourceType:
    """`person`: the search parameters that name the person. `date`: the one that searches by time,
    which is a row's own or when it was last `updated`; None: there is none. `is_dated`: it knows
    when it last changed, so `_lastUpdated` finds it. `has_codes`: it is found by `code`."""

    name: str
    about: str
    makers: tuple[Maker, ...]
    person: tuple[str, ...] = ("patient",)
    date: str | None = None
    date_is: Literal["at", "updated"] = "at"
    is_dated: bool = False
    has_codes: bool = False
