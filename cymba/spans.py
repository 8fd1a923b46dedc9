"""What a process does, as spans of a trace, where somebody wants to see them (`ops.traces`).

A span holds names out of the code, numbers of things, and the class of an error. Nothing else can
be put into one: no parameter, path, address or text, so nothing that a person or a device has said.
Where nobody wants spans, nothing is kept and nothing is imported for them.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class RequestSpan(Protocol):
    """It is the current span from when it was made until `end`."""

    trace_id: str

    def end(self, status: int | None = None) -> None:
        """`status` is that of the answer; None: there was none. Called again it does nothing."""


class SpanRecorder(Protocol):
    def span(
        self, name: str, under: object | None, counts: Mapping[str, int]
    ) -> AbstractContextManager[object]: ...

    def statement(self, sql: str) -> AbstractContextManager[object]: ...

    def request(self, method: str, route: str, traceparent: str | None) -> RequestSpan: ...

    def here(self) -> object: ...


_NOTHING: AbstractContextManager[None] = nullcontext()
_recorder: SpanRecorder | None = None


def record_to(recorder: SpanRecorder | None) -> None:
    """From now on. The engines that are made after it tell of their statements."""
    global _recorder  # noqa: PLW0603 - one for the process, whoever's thread works
    _recorder = recorder


def are_recorded() -> bool:
    return _recorder is not None


def span(
    name: str, *, under: object | None = None, **counts: int
) -> AbstractContextManager[object]:
    """Around a piece of work; what the same thread does meanwhile is below it. `name` is the
    code's own. `under`: the place that another thread took by `here`."""
    return _NOTHING if _recorder is None else _recorder.span(name, under, counts)


def statement(sql: str) -> AbstractContextManager[object]:
    """Around a statement to the database, which is named by what it does with which table. One that
    is below no span is not recorded."""
    return _NOTHING if _recorder is None else _recorder.statement(sql)


def request(method: str, route: str, traceparent: str | None) -> RequestSpan | None:
    """`route` is the template, and `traceparent` what the client sent (W3C Trace Context)."""
    return None if _recorder is None else _recorder.request(method, route, traceparent)


def here() -> object | None:
    """The place under which another thread goes on."""
    return None if _recorder is None else _recorder.here()
