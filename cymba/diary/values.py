"""The shapes a diary value can have: each checks a value, describes itself, and scores it.

`problems(value)` gives `(pointer, detail)` pairs relative to the value, empty where it fits, so
that the app can mark the very field. It is asked of a `plain` value, which is stored as it is.

`options` are the titles of what can be chosen, in English: by name, or of a number by its digits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cymba.voice import said

Problem = tuple[str, str]
Score = float | int | None

MAX_TEXT = 200
MAX_LIST = 50
SEVERITIES = {"none": "None", "mild": "Mild", "moderate": "Moderate", "severe": "Severe"}


class ValueType(Protocol):
    @property
    def options(self) -> Mapping[str, str]: ...
    def problems(self, value: Any) -> Iterator[Problem]: ...
    def json_schema(self) -> dict[str, Any]: ...
    def scores(self, value: Any) -> dict[str, Score]:
        """What insights and histories read: a number for each named score, None where unknown."""
        ...


class _WithoutOptions:
    __slots__ = ()

    @property
    def options(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class IntegerRange:
    low: int
    high: int
    titles: tuple[str, ...] = ()  # of each number, from the lowest

    @property
    def options(self) -> Mapping[str, str]:
        return _numbered(self.low, self.titles)

    def problems(self, value: Any) -> Iterator[Problem]:
        if type(value) is not int or not self.low <= value <= self.high:
            yield (
                "",
                said("must be a whole number from {low} to {high}", low=self.low, high=self.high),
            )

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def scores(self, value: Any) -> dict[str, Score]:
        return {"": value}


@dataclass(frozen=True, slots=True)
class NumberRange(_WithoutOptions):
    low: float
    high: float

    def problems(self, value: Any) -> Iterator[Problem]:
        # `not low <= value <= high` also refuses NaN.
        if type(value) not in (int, float) or not self.low <= value <= self.high:
            yield "", said("must be a number from {low} to {high}", low=self.low, high=self.high)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def scores(self, value: Any) -> dict[str, Score]:
        return {"": value}


@dataclass(frozen=True, slots=True)
class Yes(_WithoutOptions):
    """True where it is so. There is no false: what is not so is not written."""

    def problems(self, value: Any) -> Iterator[Problem]:
        if value is not True:
            yield "", "must be true; leave it out where it is not so"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "boolean", "const": True}

    def scores(self, value: Any) -> dict[str, Score]:
        return {"": int(value)}


class Choices:
    """Any number of the named options, each at most once."""

    __slots__ = ("options",)

    def __init__(self, **options: str) -> None:
        self.options: Mapping[str, str] = options

    def problems(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield "", "must be a list"
            return
        seen: set[str] = set()
        for i, option in enumerate(value[: MAX_LIST + 1]):
            if not isinstance(option, str) or option not in self.options:
                yield f"/{i}", said("must be one of {names}", names=", ".join(self.options))
            elif option in seen:
                yield f"/{i}", said("{option} is there twice", option=option)
            else:
                seen.add(option)

    def json_schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "items": {"type": "string", "enum": list(self.options)},
            "uniqueItems": True,
        }

    def scores(self, value: Any) -> dict[str, Score]:
        return {option: int(option in value) for option in self.options}


@dataclass(frozen=True, slots=True)
class Answers:
    """A questionnaire's answers in order; one may be missing, and then so is every sum over it."""

    low: int
    high: int
    questions: tuple[str, ...]
    titles: tuple[str, ...]  # of each answer, from the lowest

    @property
    def count(self) -> int:
        return len(self.questions)

    @property
    def options(self) -> Mapping[str, str]:
        return _numbered(self.low, self.titles)

    def problems(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, list) or len(value) != self.count:
            yield "", said("must be a list of {count} answers", count=self.count)
            return
        for i, answer in enumerate(value):
            if answer is not None and (
                type(answer) is not int or not self.low <= answer <= self.high
            ):
                yield (
                    f"/{i}",
                    said(
                        "must be null or a whole number from {low} to {high}",
                        low=self.low,
                        high=self.high,
                    ),
                )

    def json_schema(self) -> dict[str, Any]:
        answer = {"type": ["integer", "null"], "minimum": self.low, "maximum": self.high}
        return {
            "type": "array",
            "items": answer,
            "minItems": self.count,
            "maxItems": self.count,
        }

    def scores(self, value: Any) -> dict[str, Score]:
        """PHQ-4 as published (Kroenke 2009): anxiety is asked first, depression second."""
        return {
            "total": _sum(value),
            "gad2": _sum(value[:2]),
            "phq2": _sum(value[2:]),
        }


def _numbered(low: int, titles: tuple[str, ...]) -> dict[str, str]:
    return {str(low + i): title for i, title in enumerate(titles)}


def _sum(answers: list[int | None]) -> int | None:
    known = [answer for answer in answers if answer is not None]
    return sum(known) if len(known) == len(answers) else None


@dataclass(frozen=True, slots=True)
class SideEffectAnswer:
    """`{"severity": …, "bothersome": …}`; severity is the person's own word, no clinical grade."""

    @property
    def options(self) -> Mapping[str, str]:
        return SEVERITIES

    def problems(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield "", "must be an object"
            return
        if value.get("severity") not in tuple(SEVERITIES):
            yield "/severity", said("must be one of {names}", names=", ".join(SEVERITIES))
        if type(value.get("bothersome", False)) is not bool:
            yield "/bothersome", "must be true or false"
        yield from _unknown(value, {"severity", "bothersome"})

    def json_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["severity"],
            "additionalProperties": False,
            "properties": {
                "severity": {"type": "string", "enum": list(SEVERITIES)},
                "bothersome": {"type": "boolean"},
            },
        }

    def scores(self, value: Any) -> dict[str, Score]:
        return {"": int(value["severity"] != "none")}


@dataclass(frozen=True, slots=True)
class Takings(_WithoutOptions):
    """A list of what was taken or done: `{"name": …, "dose": …}`; an empty list says: nothing."""

    def problems(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, list) or len(value) > MAX_LIST:
            yield "", said("must be a list of at most {most}", most=MAX_LIST)
            return
        for i, taking in enumerate(value):
            if not isinstance(taking, dict):
                yield f"/{i}", "must be an object"
                continue
            if not _is_text(taking.get("name")):
                yield f"/{i}/name", said("must be a text of 1 to {most} characters", most=MAX_TEXT)
            if "dose" in taking and not _is_text(taking["dose"]):
                yield f"/{i}/dose", said("must be a text of 1 to {most} characters", most=MAX_TEXT)
            for pointer, detail in _unknown(taking, {"name", "dose"}):
                yield f"/{i}{pointer}", detail

    def json_schema(self) -> dict[str, Any]:
        text = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
        return {
            "type": "array",
            "maxItems": MAX_LIST,
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": text, "dose": text},
            },
        }

    def scores(self, value: Any) -> dict[str, Score]:
        return {"": int(bool(value))}


# Codes are LOINC, units UCUM; bounds refuse slips of the decimal point, not illness.
LABS: dict[str, tuple[str, str, str, float, float]] = {
    "crp": ("C-reactive protein", "1988-5", "mg/L", 0, 1000),
    "hs_crp": ("C-reactive protein, high sensitivity", "30522-7", "mg/L", 0, 1000),
    "esr": ("Erythrocyte sedimentation rate", "4537-7", "mm/h", 0, 200),
    "hba1c": ("Haemoglobin A1c", "4548-4", "%", 2, 25),
    "vitamin_b12": ("Vitamin B12", "2132-9", "pg/mL", 0, 20_000),
}


@dataclass(frozen=True, slots=True)
class Labs:
    """`[{"name": "crp", "value": 3.1}]`, each laboratory value in its registered unit."""

    @property
    def options(self) -> Mapping[str, str]:
        return {name: title for name, (title, *_) in LABS.items()}

    def problems(self, value: Any) -> Iterator[Problem]:
        if not isinstance(value, list) or len(value) > MAX_LIST:
            yield "", said("must be a list of at most {most}", most=MAX_LIST)
            return
        for i, lab in enumerate(value):
            name = lab.get("name") if isinstance(lab, dict) else None
            if not isinstance(name, str) or name not in LABS:
                yield f"/{i}/name", said("must be one of {names}", names=", ".join(LABS))
                continue
            _, _, unit, low, high = LABS[name]
            for _, detail in NumberRange(low, high).problems(lab.get("value")):
                yield f"/{i}/value", said("{detail}, in {unit}", detail=detail, unit=unit)
            for pointer, detail in _unknown(lab, {"name", "value"}):
                yield f"/{i}{pointer}", detail

    def json_schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "maxItems": MAX_LIST,
            "items": {
                "type": "object",
                "required": ["name", "value"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "enum": list(LABS)},
                    "value": {"type": "number"},
                },
            },
        }

    def scores(self, value: Any) -> dict[str, Score]:
        return {lab["name"]: lab["value"] for lab in value}


def _is_text(value: Any) -> bool:
    # PostgreSQL holds every character but NUL.
    return isinstance(value, str) and 1 <= len(value) <= MAX_TEXT and "\0" not in value


def _unknown(value: dict[str, Any], known: set[str]) -> Iterator[Problem]:
    for name in value.keys() - known:
        yield f"/{name}", "unknown field"
