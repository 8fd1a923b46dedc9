"""Questions that may hang, such as whether the database answers."""

from collections.abc import Callable
from threading import Thread
from typing import Any


class UnderWay:
    """A question under way."""

    def __init__(self, name: str, ask: Callable[[], Any]) -> None:
        self._answers: list[Any] = []
        self._thread = Thread(
            target=lambda: self._answers.append(ask()), name=f"asks: {name}", daemon=True
        )
        self._thread.start()

    @property
    def is_under_way(self) -> bool:
        return self._thread.is_alive()

    def answer(self, within_s: float) -> Any | None:
        """None: there is none yet."""
        self._thread.join(max(0.0, within_s))
        return self._answers[0] if self._answers else None


class Asking:
    """Each question by its name. It is not asked again while the last time hangs."""

    def __init__(self) -> None:
        self._asked: dict[str, UnderWay] = {}

    def begin(self, name: str, ask: Callable[[], Any]) -> UnderWay:
        last = self._asked.get(name)
        if last is None or not last.is_under_way:
            last = self._asked[name] = UnderWay(name, ask)
        return last
