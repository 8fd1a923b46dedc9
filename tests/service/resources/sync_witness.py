"""Watches what the server does to the diary, and holds it to what each person saw.

Each value of a field is known by the operation that wrote it. An operation may overwrite only
what its phone showed when it was made; it may be in conflict only over what its phone did not.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.service.resources.sync_phone import ANSWERED, Json, Phone, flat


@dataclass
class Screen:
    """Who wrote each field of an entry, as a screen or the server has it; None: no writer."""

    writers: dict[str, str | None] = field(default_factory=dict)
    values: Json = field(default_factory=dict)
    deleted_by: str | None = None  # the last time that it was
    is_gone: bool = False

    def copy(self) -> "Screen":
        return Screen(dict(self.writers), dict(self.values), self.deleted_by, self.is_gone)

    def put(self, writer: str, fields: Json) -> None:
        self.writers |= dict.fromkeys(fields, writer)
        self.values |= fields
        self.is_gone = False

    def delete(self, writer: str) -> None:
        self.writers = dict.fromkeys(self.writers, writer)
        self.values = {}
        self.deleted_by = writer
        self.is_gone = True

    @property
    def alive(self) -> Json:
        return {name: value for name, value in self.values.items() if value is not None}


@dataclass
class Witness:
    server: dict[str, Screen] = field(default_factory=dict)
    versions: dict[tuple[str, int], Screen] = field(default_factory=dict)
    screens: dict[str, Screen] = field(default_factory=dict)  # by operation: what it was made on
    settled: dict[str, str] = field(default_factory=dict)  # by operation: its first answer
    # An operation that was not taken, or changed nothing, stands for what lay beneath it, by field.
    stands_for: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def screen(self, phone: Phone, entity_id: str) -> Screen:
        """What the phone shows: its copy, with its queue on top."""
        copy = phone.mirror.get(entity_id)
        shown = self.versions[entity_id, copy["version"]].copy() if copy else Screen()
        for operation in phone.queued(entity_id):
            if operation["action"] == "delete":
                shown.delete(operation["id"])
            else:
                shown.put(operation["id"], fields_of(operation))
        return shown

    @staticmethod
    def alive(kind: str, entity: Json) -> Json:
        """What the server shows of an entity that can be edited."""
        shown = drop_none(flat(kind, entity))
        shown.pop("duration_s", None)  # which a device recorded
        return shown

    def recorded(self, session_id: str, version: int) -> None:
        """A session that a device recorded, as it is at this version."""
        values = {"note": None, "excluded": False}
        at = self.server.setdefault(session_id, Screen(dict.fromkeys(values), values))
        self.versions[session_id, version] = at.copy()

    def made(self, operation: Json, screen: Screen) -> None:
        self.screens[operation["id"]] = screen

    def judge(self, operations: list[Json], answers: list[Json]) -> None:
        """Hold what was committed to what the operations' phones had shown."""
        for operation, answer in zip(operations, answers, strict=True):
            assert answer["id"] == operation["id"]
            id_, status = operation["id"], answer["status"]
            if self.settled.get(id_) == "applied":
                assert status == "duplicate", (status, operation)
                continue
            assert status in {"applied", "conflict", "rejected"}, answer
            self.settled[id_] = status
            self.stands_for = {key: at for key, at in self.stands_for.items() if key[0] != id_}
            if status == "rejected":
                self._is_right_to_reject(operation)
                self._not_taken(operation)
            elif operation["action"] == "put":
                self._judge_put(operation, answer)
            else:
                self._judge_deletion(operation, answer)
        for operation, answer in zip(operations, answers, strict=True):
            if (entry := answer[ANSWERED[operation["kind"]]]) is not None:
                shown = self.server[operation["entity_id"]]
                assert self.alive(operation["kind"], entry) == shown.alive, operation
                self.versions[entry["id"], entry["version"]] = shown.copy()

    def _is_right_to_reject(self, operation: Json) -> None:
        at = self.server.get(operation["entity_id"])
        fields = fields_of(operation)
        unfit = {"items.mood": 50, "weekdays": [50], "duration_s": 50}
        is_unfit = any(fields.get(name) == value for name, value in unfit.items())
        is_incomplete = not fields.keys() & {"felt_at", "title"} and (at is None or at.is_gone)
        assert is_unfit or is_incomplete, operation

    def _judge_put(self, operation: Json, answer: Json) -> None:
        id_, fields = operation["id"], fields_of(operation)
        at, screen = self.server.get(operation["entity_id"]), self.screens[id_]
        if at is None:
            assert answer["status"] == "applied", operation
            self.server[operation["entity_id"]] = at = Screen()
            at.put(id_, fields)
            return
        unseen = at.is_gone and at.deleted_by != self._deleted_by(screen)
        if unseen:
            assert answer["status"] == "conflict", f"came back over an unseen deletion: {operation}"
            self._not_taken(operation)
            return
        changed = {name: v for name, v in fields.items() if at.values.get(name) != v}
        clashing = (
            [] if at.is_gone else [name for name in changed if not self._saw(screen, at, name)]
        )
        if answer["status"] == "conflict":
            assert answer["conflicting"] == sorted(clashing) != [], f"false conflict: {operation}"
            self._not_taken(operation)
            return
        assert clashing == [], f"silent overwrite of {clashing}: {operation}"
        for name in fields.keys() - changed.keys():
            self.stands_for[id_, name] = at.writers.get(name)
        at.put(id_, changed)

    def _judge_deletion(self, operation: Json, answer: Json) -> None:
        id_ = operation["id"]
        at, screen = self.server[operation["entity_id"]], self.screens[id_]
        if at.is_gone:
            assert answer["status"] == "applied", operation
            self.stands_for[id_, "deleted"] = at.deleted_by
            self.stands_for |= {(id_, name): writer for name, writer in at.writers.items()}
            return
        clashing = [name for name in at.writers if not self._saw(screen, at, name)]
        if answer["status"] == "conflict":
            assert answer["conflicting"] == sorted(clashing) != [], f"false conflict: {operation}"
            self._not_taken(operation)
            return
        assert clashing == [], f"silent deletion of {clashing}: {operation}"
        at.delete(id_)

    def _saw(self, screen: Screen, at: Screen, name: str) -> bool:
        """Whether the screen showed what the server has there: of this writer, or as good."""
        return self._true_writer(screen.writers.get(name), name) == at.writers.get(name)

    def _deleted_by(self, screen: Screen) -> str | None:
        return self._true_writer(screen.deleted_by, "deleted")

    def _true_writer(self, writer: str | None, name: str) -> str | None:
        while writer is not None and (writer, name) in self.stands_for:
            writer = self.stands_for[writer, name]
        return writer

    def _not_taken(self, operation: Json) -> None:
        """The operation left what lay beneath it, so it stands for that."""
        id_ = operation["id"]
        screen = self.screens[id_]
        names = fields_of(operation)
        if operation["action"] == "delete":
            at = self.server.get(operation["entity_id"], Screen())
            names = dict.fromkeys([*screen.writers, *at.writers])
            self.stands_for[id_, "deleted"] = screen.deleted_by
        self.stands_for |= {(id_, name): screen.writers.get(name) for name in names}


def fields_of(operation: Json) -> Json:
    return flat(operation["kind"], operation["fields"])


def drop_none(fields: Json) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
