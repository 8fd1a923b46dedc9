"""How the columns of a table become diary entries. It is shown before anything is stored.

A scale that the file does not state is asked for: a mood of 4 is good of 5, and middling of 10.
"""

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Mapping as Table
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from cymba.accounts.written_fields import one_of_problem, zone_problem
from cymba.diary.items import ITEMS
from cymba.diary.values import IntegerRange, NumberRange
from cymba.imports.table_times import DayOrder, read_clock
from cymba.voice import said

Format = Literal["daylio", "bearable", "migraine_buddy", "csv"]

MAX_NAME: Final = 120  # characters of a column, a word or a zone
MAX_ITEMS: Final = 50
MAX_WORDS: Final = 50

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]

TARGETS: Final = {
    item.name: item
    for item in ITEMS.values()
    if item.group == "symptom" and isinstance(item.value, IntegerRange | NumberRange)
}
"""What a column can become. Side effects are none: one that is a red flag locks a device, and is
only ever told by the person, in the diary."""
SCALED: Final = {name for name, item in TARGETS.items() if isinstance(item.value, IntegerRange)}


class Scale(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file's numbers run from and to: they become 0 and 10. `low` may be the greater."""

    low: float
    high: float


class RowCondition(Struct, frozen=True, forbid_unknown_fields=True):
    """The rows in which a column has a value. `Headache` is also `Headache (Mild)`."""

    column: Name
    value: Name

    def holds(self, cells: Table[str, str]) -> bool:
        given, wanted = cells.get(self.column, "").casefold(), self.value.casefold()
        return given == wanted or given.startswith(f"{wanted} (")


class ItemColumn(Struct, frozen=True, forbid_unknown_fields=True):
    column: Name
    item: Name
    scale: Scale | None = None
    words: dict[str, float] = {}
    where: tuple[RowCondition, ...] = ()

    @property
    def lacks_scale(self) -> bool:
        return self.item in SCALED and self.scale is None and not self.words


class Mapping(Struct, frozen=True, forbid_unknown_fields=True):
    time_zone: str
    date: Name | None
    time: Name | None = None
    utc_offset_min: Name | None = None  # a column, in minutes
    day_order: DayOrder | None = None  # of days such as 3/4/2026
    default_time: str = "12:00"  # of rows without a time of day
    items: tuple[ItemColumn, ...] = ()
    notes: tuple[Name, ...] = ()

    def columns(self) -> set[str]:
        named = {self.date, self.time, self.utc_offset_min, *self.notes} - {None}
        of_items = {one.column for one in self.items}
        of_conditions = {each.column for one in self.items for each in one.where}
        return {str(one) for one in named} | of_items | of_conditions


def problems(mapping: Mapping, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """`(pointer, detail)` of what does not fit by itself, or a table with these columns."""
    if problem := zone_problem(mapping.time_zone):
        yield "/time_zone", problem
    if read_clock(mapping.default_time) is None:
        yield "/default_time", "must be a time of day, such as 12:00"
    if len(mapping.items) > MAX_ITEMS:
        yield "/items", said("must be a list of at most {most}", most=MAX_ITEMS)
    for name in sorted(mapping.columns() - set(names)):
        yield "", said("the table has no column {name}", name=name)
    for number, one in enumerate(mapping.items[:MAX_ITEMS]):
        at = f"/items/{number}"
        if problem := one_of_problem(one.item, TARGETS):
            yield f"{at}/item", problem
        if one.scale is not None and one.scale.low == one.scale.high:
            yield f"{at}/scale", "must have two different ends"
        if len(one.words) > MAX_WORDS:
            yield f"{at}/words", said("must be a list of at most {most}", most=MAX_WORDS)


_MOODS: Final = {
    "rad": 10, "good": 8, "meh": 5, "bad": 3, "awful": 0,
    "super": 10, "gut": 8, "so lala": 5, "schlecht": 3, "lausig": 0,
}  # fmt: skip
"""Daylio's five words, evenly over 0 to 10, whole numbers. A person may have others."""

_BY_TITLE: Final = {
    "pain_now": ("pain", "pain now", "pain level", "schmerz", "schmerzen", "schmerzstärke"),
    "pain_average": ("average pain", "durchschnittlicher schmerz"),
    "pain_worst": ("worst pain", "stärkster schmerz"),
    "mood": ("mood", "stimmung", "laune"),
    "anxiety": ("anxiety", "angst"),
    "sleep_quality": ("sleep quality", "schlafqualität"),
    "sleep_hours": ("sleep hours", "hours slept", "sleep duration", "schlafdauer", "schlafstunden"),
    "fatigue": ("fatigue", "tiredness", "müdigkeit", "erschöpfung"),
    "energy": ("energy", "energie"),
    "digestion": ("digestion", "verdauung"),
    "stress": ("stress",),
}
_DATES: Final = (
    "full_date", "date", "datum", "day", "tag", "timestamp", "zeitpunkt", "datetime", "date/time",
    "started", "start", "start time", "beginn",
)  # fmt: skip
_TIMES: Final = ("time", "uhrzeit", "zeit", "time of day", "tageszeit")
_NOTES: Final = (
    "note", "notes", "note_title", "notiz", "notizen", "comment", "comments", "kommentar",
    "bemerkung", "bemerkungen",
)  # fmt: skip
_OF_MIGRAINES: Final = (
    "Lasted", "Potential Triggers", "Symptoms", "Pain Positions", "Helpful Medication",
    "Somewhat Helpful Medication", "Unhelpful Medication", "Unsure Medication", "Notes",
)  # fmt: skip


def format_of(header: Sequence[str]) -> Format | None:
    """The app that wrote a row of names; None: none that is known."""
    small = [name.lower() for name in header]
    if small[:3] == ["#", "started", "lasted"]:
        return "migraine_buddy"
    if {"full_date", "mood", "time"} <= set(small):
        return "daylio"
    if {"date", "category", "rating/amount", "detail"} <= set(small):
        return "bearable"
    return None


def propose(format_: Format, names: Sequence[str], time_zone: str) -> Mapping:
    """What the columns most likely are; `names` are all of them."""
    by_small = {name.lower(): name for name in reversed(names)}

    def first(*wanted: str) -> str | None:
        return next((by_small[one] for one in wanted if one in by_small), None)

    match format_:
        case "daylio":
            mood = ItemColumn(by_small["mood"], "mood", words={**_MOODS})
            notes = [first(one) for one in ("note_title", "note", "activities", "scales")]
            return Mapping(
                time_zone,
                first("full_date"),
                first("time"),
                items=(mood,),
                notes=tuple(one for one in notes if one),
            )
        case "bearable":
            rating, category = by_small["rating/amount"], by_small["category"]
            items = {"Mood": "mood", "Energy": "energy", "Sleep quality": "sleep_quality"}
            items["Sleep"] = "sleep_hours"
            return Mapping(
                time_zone,
                first("date formatted", "date"),
                first("time of day"),
                items=tuple(
                    ItemColumn(rating, item, where=(RowCondition(category, value),))
                    for value, item in items.items()
                ),
                notes=tuple(one for one in [first("notes")] if one),
            )
        case "migraine_buddy":
            level = first("pain level")
            pain = [ItemColumn(level, "pain_worst", Scale(0, 10))] if level else []
            return Mapping(
                time_zone,
                first("started"),
                utc_offset_min=first("start utc offset (min)"),
                day_order="mdy",
                items=tuple(pain),
                notes=tuple(one for name in _OF_MIGRAINES if (one := first(name.lower()))),
            )
        case _:
            taken = {item: first(*titles) for item, titles in _BY_TITLE.items()}
            return Mapping(
                time_zone,
                first(*_DATES),
                first(*_TIMES),
                items=tuple(ItemColumn(one, item) for item, one in taken.items() if one),
                notes=tuple(one for name in _NOTES if (one := by_small.get(name))),
            )
