"""Which witnesses are records of one session: a pure function of the set of them.

So neither the order in which they arrive nor how often they are edited changes the result.
Witnesses of one unit (a device, or a model where no device was named) are grouped by their times;
those of different units only where the person says so (`same_as`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

Recorder = Literal["device", "phone", "person"]
BEST_FIRST: tuple[Recorder, ...] = ("device", "phone", "person")

# How far off a written time may be (our own choice): a phone's clock, and a person who says "at
# eight, for twenty minutes".
WRITTEN_WITHIN: Mapping[str, timedelta] = {
    "phone": timedelta(minutes=1),
    "person": timedelta(minutes=5),
}
SURE_SHARE = 0.5  # of the shorter of two: if they overlap by this much, they surely are one


@dataclass(frozen=True, slots=True)
class SessionWitness:
    """One record of a session."""

    id: UUID
    recorder: Recorder
    unit: str
    begin: datetime
    end: datetime
    error: timedelta
    same_as: UUID | None = None  # the person's word; its own id: it is no other


@dataclass(slots=True)
class _Group:
    """Witnesses that are one, by their times."""

    members: list[SessionWitness]

    @property
    def lead(self) -> SessionWitness:
        return min(self.members, key=_rank)


@dataclass(frozen=True, slots=True, order=True)
class _Fit:
    """How well two witnesses go together: the least is the best."""

    is_unsure: bool
    gap: timedelta
    overlap: timedelta  # negative, so that the longest comes first
    apart: timedelta  # their starts


def leads(witnesses: Iterable[SessionWitness]) -> dict[UUID, UUID]:
    """For each witness, the one that it is shown and counted as; its own id: as itself."""
    by_id = {one.id: one for one in witnesses}
    same_as_of = {
        one.id: one.same_as for one in by_id.values() if one.same_as in by_id and one.same_as
    }
    _break_circles(same_as_of)
    by_unit: dict[str, list[SessionWitness]] = {}
    for one in sorted(by_id.values(), key=_rank):
        if one.id not in same_as_of:
            by_unit.setdefault(one.unit, []).append(one)
    group_of: dict[UUID, _Group] = {}
    for alike in by_unit.values():
        for group in _by_time(alike):
            group_of |= {one.id: group for one in group.members}
    group_of |= {id_: _Group([by_id[id_]]) for id_, target in same_as_of.items() if target == id_}
    for id_ in same_as_of:
        _follow(id_, same_as_of, by_id, group_of)
    return {id_: group.lead.id for id_, group in group_of.items()}


def _rank(one: SessionWitness) -> tuple[int, datetime, UUID]:
    return BEST_FIRST.index(one.recorder), one.begin, one.id


def _break_circles(same_as_of: dict[UUID, UUID]) -> None:
    """Ignore `same_as` where witnesses only refer to each other: they go by their times."""
    circular = set()
    for start, target in same_as_of.items():
        seen, at = [start], target
        while at in same_as_of and at not in seen:
            seen.append(at)
            at = same_as_of[at]
        if at == start and len(seen) > 1:
            circular.add(start)
    for one in circular:
        del same_as_of[one]


def _follow(
    id_: UUID,
    same_as_of: Mapping[UUID, UUID],
    by_id: Mapping[UUID, SessionWitness],
    group_of: dict[UUID, _Group],
) -> None:
    path = []
    while id_ not in group_of:
        path.append(id_)
        id_ = same_as_of[id_]
    for one in path:
        group_of[id_].members.append(by_id[one])
        group_of[one] = group_of[id_]


def _by_time(alike: Sequence[SessionWitness]) -> list[_Group]:
    """The groups of one unit's witnesses, which come in the order of their ranks. Each session of a
    device is a group of its own; a written one joins the group that it fits best."""
    groups = [_Group([one]) for one in alike if one.recorder == "device"]
    for recorder in BEST_FIRST[1:]:
        written = [one for one in alike if one.recorder == recorder]
        waiting = {one.id: one for one in written}
        for fit, one, group in sorted(_fits(written, groups), key=_order):
            if one.id in waiting and not (fit.is_unsure and _has_other(group, one)):
                group.members.append(one)
                del waiting[one.id]
        for one in waiting.values():
            fits = [found for found in _fits([one], groups) if not found[0].is_unsure]
            if fits:
                min(fits, key=_order)[2].members.append(one)
            else:
                groups.append(_Group([one]))
    return groups


def _order(found: tuple[_Fit, SessionWitness, _Group]) -> tuple[_Fit, UUID, UUID]:
    fit, one, group = found
    return fit, one.id, group.lead.id


def _fits(
    written: Iterable[SessionWitness], groups: Sequence[_Group]
) -> Iterator[tuple[_Fit, SessionWitness, _Group]]:
    for one in written:
        for group in groups:
            fits = [fit for member in group.members if (fit := _fit(one, member)) is not None]
            if fits:
                yield min(fits), one, group


def _fit(one: SessionWitness, other: SessionWitness) -> _Fit | None:
    """None: they cannot be the same, whatever their errors."""
    latest_begin, first_end = max(one.begin, other.begin), min(one.end, other.end)
    overlap = max(first_end - latest_begin, timedelta())
    gap = max(latest_begin - first_end, timedelta())
    if gap > one.error + other.error:
        return None
    shorter = min(one.end - one.begin, other.end - other.begin)
    is_sure = gap == timedelta() and overlap >= SURE_SHARE * shorter
    return _Fit(not is_sure, gap, -overlap, abs(one.begin - other.begin))


def _has_other(group: _Group, one: SessionWitness) -> bool:
    """Whether the group has a witness of the same recorder at another time."""
    return any(
        member.recorder == one.recorder and ((fit := _fit(one, member)) is None or fit.is_unsure)
        for member in group.members
    )
