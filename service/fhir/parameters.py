"""What a search asks for, from its URL.

A parameter that is not known here is refused, whatever `Prefer: handling` says: to pass over one
that narrows a search would answer with more of the record than was asked for.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from uuid import UUID

from werkzeug.datastructures import MultiDict

from cymba.fhir.dates import DateTest
from cymba.fhir.record import RowsWanted
from cymba.fhir.registry import RESOURCE_TYPES
from cymba.fhir.resource_type import ResourceType
from cymba.fhir.search import Search, by_ids
from cymba.voice import said
from service.fhir.outcomes import NotSearchable

COUNT: Final = 50
MOST: Final = 200
MOST_IDS: Final = 200
NO_DATE: Final = said("Must be a date, such as ge2026-03-01 or lt2026-03-01T18:00:00Z.")
CURSOR: Final = "_cursor"
OF_FORM: Final = frozenset({"_format", "_pretty"})
OF_PAGES: Final = frozenset({"_count", CURSOR})

Given = MultiDict[str, str]


class Parameter(NamedTuple):
    """As the CapabilityStatement names it."""

    name: str
    kind: str
    about: str


def of_type(one: ResourceType) -> list[Parameter]:
    """The search parameters of a resource type."""
    found = [Parameter("_id", "token", "Ids, separated by commas.")]
    found += [
        Parameter(name, "reference", "The person. Of anybody else nothing is found.")
        for name in one.person
    ]
    if one.date is not None:
        found.append(Parameter(one.date, "date", "With eq, ge, gt, le, lt, sa or eb before it."))
    if one.is_dated:
        found.append(Parameter("_lastUpdated", "date", "When it last changed here."))
    if one.has_codes:
        found.append(Parameter("code", "token", "Codes, separated by commas: system|code or code."))
    return found


class AskedSearch(NamedTuple):
    search: Search
    at_most: int


def read_search(given: Given, one: ResourceType, account_id: UUID) -> AskedSearch:
    """
    Raises:
        NotSearchable: a parameter is not known, or what it says is not.
    """
    names = {parameter.name for parameter in of_type(one)}
    refuse_others(given, names | OF_FORM | OF_PAGES)
    search = Search()
    if "_id" in given:
        search = by_ids(_all_of(_ids(value) for value in given.getlist("_id")))
    people = [value for name in one.person for value in given.getlist(name)]
    if not all(is_person(value, account_id) for value in people):
        search = by_ids(frozenset())
    at = _dates(given, one.date) if one.date is not None else ()
    updated = _dates(given, "_lastUpdated")
    if one.date_is == "updated":
        at, updated = (), at + updated
    wanted = RowsWanted(search.wanted.ids, at, updated)
    codes = _codes(only(given, "code"))
    return AskedSearch(Search(wanted, search.ids, codes), read_count(given))


class AskedRecord(NamedTuple):
    search: Search
    types: frozenset[str] | None  # None: all
    at_most: int

    def is_wanted(self, one: ResourceType) -> bool:
        return self.types is None or one.name in self.types


def read_everything(given: Given) -> AskedRecord:
    """What `$everything` asks for.

    Raises:
        NotSearchable: a parameter is not known, or what it says is not.
    """
    refuse_others(given, {"_type", "_since"} | OF_FORM | OF_PAGES)
    named = only(given, "_type")
    types = None if named is None else frozenset(named.split(","))
    if types is not None and not types <= RESOURCE_TYPES.keys():
        raise NotSearchable("Must be resource types that are here.", parameter="_type")
    since = only(given, "_since")
    test = None if since is None else DateTest.parse(f"ge{since}")
    if since is not None and test is None:
        raise NotSearchable(NO_DATE, parameter="_since")
    return AskedRecord(
        Search(RowsWanted(updated=() if test is None else (test,))), types, read_count(given)
    )


def read_count(given: Given) -> int:
    """How many resources a page holds at most."""
    value = only(given, "_count")
    if value is None:
        return COUNT
    if not value.isascii() or not value.isdigit() or len(value) > 9 or int(value) < 1:
        raise NotSearchable("Must be a whole number of at least 1.", parameter="_count")
    return min(int(value), MOST)


def refuse_others(given: Given, names: Iterable[str]) -> None:
    known = frozenset(names)
    for name in given:
        if name not in known:
            raise NotSearchable(
                said(
                    "This parameter is not known here, and passing over it could give more than "
                    "was asked for. Known are: {names}.",
                    names=", ".join(sorted(known)),
                ),
                parameter=name[:64],
            )


def only(given: Given, name: str) -> str | None:
    values = given.getlist(name)
    if len(values) > 1:
        raise NotSearchable("Must be there once.", parameter=name)
    return values[0] if values else None


def is_person(value: str, account_id: UUID) -> bool:
    """Whether a reference names the person: `id`, `Patient/id`, or a URL that ends so."""
    names = [one.rpartition("Patient/")[2] for one in value.split(",")]
    return str(account_id) in names


def _dates(given: Given, name: str) -> tuple[DateTest, ...]:
    tests = []
    for value in given.getlist(name):
        test = DateTest.parse(value)
        if test is None:
            raise NotSearchable(NO_DATE, parameter=name)
        tests.append(test)
    return tuple(tests)


def _ids(value: str) -> frozenset[str]:
    ids = frozenset(value.split(","))
    if len(ids) > MOST_IDS:
        raise NotSearchable(said("At most {most} at once.", most=MOST_IDS), parameter="_id")
    return ids


def _all_of(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    first, *others = sets
    return first.intersection(*others)


def _codes(value: str | None) -> frozenset[tuple[str | None, str]] | None:
    if value is None:
        return None
    found: set[tuple[str | None, str]] = set()
    for one in value.split(","):
        system, bar, code = one.rpartition("|")
        if not code:
            raise NotSearchable("Must be a code, or system|code.", parameter="code")
        found.add((system if bar else None, code))
    return frozenset(found)


def echoed(given: Given) -> list[tuple[str, Any]]:
    """The parameters of a search, but the place of its page."""
    return [(name, value) for name, value in given.items(multi=True) if name != CURSOR]
