"""Bodies that apps send."""

from typing import Any
from uuid import uuid4

FAINTED = {
    "felt_at": "2026-03-01T08:00:00Z",
    "time_zone": "UTC",
    "items": {"fainting": {"severity": "severe"}},
}


def operation(kind: str, **members: Any) -> dict[str, Any]:
    """Of a push: it writes a thing that is new, unless the members say another."""
    return {
        "id": str(uuid4()), "kind": kind, "action": "put", "entity_id": str(uuid4()),
        "base_version": 0, "builds_on": [], **members,
    }  # fmt: skip
