"""Whose turn it is: everybody's first item, then everybody's second, each up to a share.

One party may have thousands of items, or have the same ones due again and again: another's item
waits for one of each party at most, and for no party's costly one if its own is cheap.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def take_turns(
    items: Iterable[Item],
    party: Callable[[Item], Hashable],
    *,
    most: int,
    cost: Callable[[Item], float] = lambda _: 0.0,
    share: float = 0.0,
) -> list[Item]:
    """At most `most` of `items`, which come in the order in which they have waited.

    A party that has spent its `share` of cost has no further turn: its first item it gets
    whatever that costs.
    """
    turns: dict[int, list[Item]] = {}
    had: dict[Hashable, int] = {}
    spent: dict[Hashable, float] = {}
    for item in items:
        whose = party(item)
        if had.setdefault(whose, 0) and spent[whose] + cost(item) > share:
            continue
        spent[whose] = spent.get(whose, 0.0) + cost(item)
        turns.setdefault(had[whose], []).append(item)
        had[whose] += 1
    taken: list[Item] = []
    for number in sorted(turns):
        # Who waited longest is taken in; among those taken, the cheap go first.
        taken += sorted(turns[number][: most - len(taken)], key=cost)
    return taken
