"""The offline engine of `clients/typescript` as one of the phones, in a process of its own."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.programs import NODE
from tests.service.resources.sync_phone import MOST_OPERATIONS, Json, Phone, Send

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"


class Node:
    """Runs one phone after another."""

    def __init__(self) -> None:
        self.process = self._start()

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [NODE, CLIENT / "test" / "phone.ts"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, send: Send | None, command: Json) -> Json:
        self._write(command)
        while True:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            assert line, f"the phone ended at {command}"
            said = json.loads(line)
            if "done" in said:
                done: Json = said["done"]
                return done
            assert send is not None
            try:
                answer = send(*said["send"])
            except BaseException:  # a test that fails must leave no phone that waits
                self.close()
                self.process = self._start()
                raise
            body = None if answer is None else {"status": answer[0], "body": answer[1]}
            self._write({"answer": body})

    def close(self) -> None:
        with self.process:
            self.process.terminate()

    def _write(self, value: Json) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()


class TypeScriptPhone(Phone):
    """Has the state of the engine after each command, and loses power where it is told to."""

    def __init__(self, node: Node, send: Send) -> None:
        super().__init__(send)
        self.node = node
        self._do("reset")

    def edit(
        self, entity_id: str, changes: Json | None, *, kind: str = "diary-entry"
    ) -> Json | None:
        """The operation, or None where the power went before it was kept."""
        before = {operation["id"] for operation in self.queue}
        self._do("edit", entity_id=entity_id, changes=changes, kind=kind)
        made = [operation for operation in self.queue if operation["id"] not in before]
        return made[0] if made else None

    def push(self, *, size: int = MOST_OPERATIONS) -> bool:
        return self._do("push", size=size) is True

    def pull(self, *, limit: int = 200) -> bool:
        return self._do("pull", limit=limit) is True

    def sync(self) -> bool:
        return self._do("sync") is True

    def cut(self, after: int, *, kept: bool) -> None:
        """Lose power at the n-th transaction from now, before or after it is kept."""
        self._do("cut", after=after, kept=kept)

    def shown(self, entity_id: str) -> Json | None:
        shown: Json | None = self._do("shown", entity_id=entity_id, kind="diary-entry")
        return shown

    def _do(self, command: str, **more: Any) -> Any:
        done = self.node.do(self.send, {"do": command, **more})
        self.mirror = {entry["id"]: entry for entry in done["mirror"]}
        self.queue = done["queue"]
        aside = [(one["operation"], one) for one in done["aside"]]
        self.conflicts = [one for one in aside if "conflict" in one[1]]
        self.rejected = [one for one in aside if "problem" in one[1]]
        return done["result"]
