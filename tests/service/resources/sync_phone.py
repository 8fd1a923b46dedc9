"""The client of docs/mobile-sync.md, written from that page alone: mirror, queue and cursor."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

MOST_OPERATIONS, MOST_BYTES = 200, 2_097_152

Json = dict[str, Any]
Send = Callable[[str, str, Any], tuple[int, Json] | None]
"""Method, path, body; gives status and body, or None where no answer came."""


FIELDS = {
    "diary-entry": ("felt_at", "time_zone", "session_id", "note"),
    "reminder": ("title", "local_times", "weekdays", "items", "enabled", "at_usual_hour"),
    "session": ("note", "excluded", "duration_s"),
}
ANSWERED = {"diary-entry": "entry", "reminder": "reminder", "session": "session"}
LISTS = {"diary_entries": "diary-entry", "reminders": "reminder", "sessions": "session"}


def flat(kind: str, entry: Mapping[str, Any]) -> Json:
    """The fields of an entity, or of an operation, by one name each."""
    fields = {name: entry[name] for name in FIELDS[kind] if name in entry}
    if kind == "diary-entry":
        fields |= {f"items.{name}": value for name, value in entry.get("items", {}).items()}
    return fields


def nested(fields: Mapping[str, Any]) -> Json:
    """As an operation has them: a diary entry's items in a table of their own."""
    items = {name[6:]: value for name, value in fields.items() if name.startswith("items.")}
    others = {name: value for name, value in fields.items() if not name.startswith("items.")}
    return others | ({"items": items} if items else {})


@dataclass
class Phone:
    send: Send
    mirror: dict[str, Json] = field(default_factory=dict)  # what can be edited
    queue: list[Json] = field(default_factory=list)
    cursor: str | None = None
    conflicts: list[tuple[Json, Json]] = field(default_factory=list)  # operation, answer
    rejected: list[tuple[Json, Json]] = field(default_factory=list)  # operation, problem
    kinds: dict[str, str] = field(default_factory=dict)  # of what is in the mirror
    # What the mirror held as a backup was restored, until all is read: the server may have lost it.
    held: list[Json] = field(default_factory=list)

    def queued(self, entity_id: str) -> list[Json]:
        return [operation for operation in self.queue if operation["entity_id"] == entity_id]

    def edit(
        self, entity_id: str, changes: Json | None, *, kind: str = "diary-entry"
    ) -> Json | None:
        """Put the changes (None: the entry's deletion) into the queue; gives the operation."""
        operation = self._operation(entity_id, changes, kind)
        operation["builds_on"] = [earlier["id"] for earlier in self.queued(entity_id)]
        self.queue.append(operation)
        return operation

    def _operation(self, entity_id: str, changes: Json | None, kind: str) -> Json:
        return {
            "id": str(uuid4()),
            "kind": kind,
            "action": "delete" if changes is None else "put",
            "entity_id": entity_id,
            "base_version": self.mirror[entity_id]["version"] if entity_id in self.mirror else 0,
            "builds_on": [],
            "fields": nested(changes or {}),
        }

    def push(self, *, size: int = MOST_OPERATIONS) -> bool:
        """Send the queue in batches of at most `size`; False where an answer did not come."""
        most = size
        while self.queue:
            batch = self._batch(most)
            answered = self.send("POST", "/v1/sync", {"operations": batch})
            if answered is None or answered[0] >= 500 or answered[0] in {401, 403, 429}:
                return False
            status, body = answered
            if status == 200:
                self._settle(batch, body["answers"])
                most = size
            elif len(batch) > 1:
                most = len(batch) // 2
            else:
                self.queue.remove(batch[0])
                self.rejected.append((batch[0], body))
                most = size
        return True

    def _batch(self, most: int) -> list[Json]:
        batch: list[Json] = []
        size = len('{"operations":[]}')
        for operation in self.queue[:most]:
            size += len(json.dumps(operation, ensure_ascii=False).encode()) + 2
            if batch and size > MOST_BYTES:
                break
            batch.append(operation)
        return batch

    def _settle(self, batch: list[Json], answers: list[Json]) -> None:
        for operation, answer in zip(batch, answers, strict=True):
            self.queue.remove(operation)
            if (entity := answer[ANSWERED[operation["kind"]]]) is not None:
                self._learn(entity)
            if answer["deleted"]:
                self.mirror.pop(operation["entity_id"], None)
            match answer["status"]:
                case "conflict":
                    self.conflicts.append((operation, answer))
                case "rejected":
                    self.rejected.append((operation, answer["problem"]))

    def pull(self, *, limit: int = 200) -> bool:
        """Read the feed to its end; False where an answer did not come."""
        while True:
            query = f"?limit={limit}" + (f"&cursor={self.cursor}" if self.cursor else "")
            answered = self.send("GET", f"/v1/sync{query}", None)
            if answered is None or answered[0] >= 500 or answered[0] in {401, 403, 429}:
                return False
            status, page = answered
            if status in {410, 422} and self.cursor is not None:
                self.cursor = None
                if page["type"] == "urn:cymba:problem:restored" and not self.held:
                    self.held = list(self.mirror.values())
                continue
            if status != 200:
                raise AssertionError(page)
            if self.cursor is None:
                self.mirror.clear()
            for name, kind in LISTS.items():
                for entity in page[name]:
                    self.kinds[entity["id"]] = kind
                    self._learn(entity)
            for stone in page["tombstones"]:
                self.mirror.pop(stone["id"], None)
            self.cursor = page["next_cursor"]
            if not page["more"]:
                self._give_back()
                return True

    def _give_back(self) -> None:
        """Put what the server has lost at the head of the queue."""
        lost = []
        for held in self.held:
            kind, there = self.kinds[held["id"]], self.mirror.get(held["id"])
            if there is not None and there["version"] >= held["version"]:
                continue
            known = {} if there is None else flat(kind, there)
            ours = flat(kind, held)
            changes = {name: ours.get(name) for name in {*ours, *known}
                       if ours.get(name) != known.get(name)}  # fmt: skip
            if changes:
                lost.append(self._operation(held["id"], changes, kind))
        self.queue[:0] = lost
        self.held = []

    def _learn(self, entry: Json) -> None:
        known = self.mirror.get(entry["id"])
        if known is None or known["version"] <= entry["version"]:
            self.mirror[entry["id"]] = entry
