"""Fair turns: every party's first item, then every party's second, each party up to a share.

One party may have thousands of items, or the same ones due again and again. An item of another
party waits for at most one item of each, and if it is cheap, for no costly one.
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
    """At most `most` of `items`, which are given in the order of their waiting.

    A party always gets its first item, whatever it costs, and further ones up to its `share`.
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
        # Those that waited longest are taken; among them the cheap ones go first.
        taken += sorted(turns[number][: most - len(taken)], key=cost)
    return taken
