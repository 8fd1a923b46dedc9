"""The gateway without a broker: its frames to `POST /v1/devices/{device}/frames`.

Nothing comes down this way by itself, so the uplink asks what the server desires of the device:
before anything is sent, and again and again.
"""

import random
import time
from typing import Any

import httpx
import msgspec

from cymba.stimulation.wire.messages import Ack, Desired, to_json
from firmware import wire
from firmware.flash import Flash, Key, Pace
from gateway.clock import ProgramBoot
from gateway.config import GatewayConfig
from gateway.limits import KeptProgramme
from gateway.network.outbox import OFFLINE, ONLINE, Outbox
from gateway.store import FrameStore

LOOKS_EVERY_S = 1.0  # into the store
ASKS_EVERY_S = 20.0  # R43 wants 30 s at most
ASKS_AGAIN_AFTER_S = 5.0  # without an answer
ANSWER_WITHIN_S = 60.0
SHORT_ANSWER_WITHIN_S = 10.0  # of what frames wait for
KEPT_HOLD = "those that are kept here hold."
JSON = {"Content-Type": "application/json"}


class _Acks(msgspec.Struct):
    acks: list[Ack]


class HttpUplink:
    """Belongs to one thread, as its store does."""

    def __init__(
        self,
        config: GatewayConfig,
        store: FrameStore,
        boot: ProgramBoot,
        pace: Pace | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._store, self._boot = store, boot
        self.flash = Flash(pace or Pace(), random.SystemRandom())
        self._outbox = Outbox(store, self.flash)
        self._programme = KeptProgramme(config, store)
        self._asks_at_s = 0.0
        self._settled_tag: str | None = None  # of the version that was reported
        self._path = f"/v1/devices/{config.device_id}"
        self._http = httpx.Client(
            base_url=config.server,
            auth=(config.device_id, config.secret),
            timeout=ANSWER_WITHIN_S,
            transport=transport,
        )
        self._sending, self._limits, self._told = "", "", ""

    def step_once(self) -> None:
        """Ask for limits if that is due, then send what is due, at most a window of frames; wait a
        moment where nothing is."""
        if time.monotonic() >= self._asks_at_s:
            self._ask_desired()
        self._outbox.pull()
        due = self._take_due()
        if not due:
            time.sleep(LOOKS_EVERY_S)
            return
        for ack in self._send(due):
            for line in self._outbox.settle(ack, self.flash.resolve(ack)):
                self._tell(line)

    def shut(self) -> None:
        self._http.close()

    # What is desired.

    def _ask_desired(self) -> None:
        """Keep and report what the server desires. Whatever becomes of it, frames are sent."""
        self._asks_at_s = time.monotonic() + ASKS_AGAIN_AFTER_S
        known = {} if self._settled_tag is None else {"If-None-Match": self._settled_tag}
        answer = self._ask("GET", "desired", headers=known)
        if answer is None:
            return
        is_new = answer.status_code == httpx.codes.OK
        desired = wire.decode(answer.content, Desired) if is_new else None
        if is_new and desired is None:
            self._tell(limits=f"The server's limits cannot be read: {KEPT_HOLD}")
            return
        # Before the version is applied: what is told of it stays on the screen.
        self._tell(ONLINE if self._sending in {"", OFFLINE} else None, limits="")
        if desired is not None:
            reported = self._programme.receive(desired, self._boot.utc_ms())
            if self._ask("PUT", "reported", content=to_json(reported), headers=JSON) is None:
                return
            self._settled_tag = answer.headers.get("ETag")
        self._asks_at_s = time.monotonic() + ASKS_EVERY_S

    def _ask(self, method: str, what: str, **given: Any) -> httpx.Response | None:
        """None where there is no good answer. Then the limits that are kept here hold."""
        try:
            answer = self._http.request(
                method, f"{self._path}/{what}", timeout=SHORT_ANSWER_WITHIN_S, **given
            )
        except httpx.HTTPError:
            self._tell(OFFLINE)
            return None
        if answer.is_success or answer.status_code == httpx.codes.NOT_MODIFIED:
            return answer
        status = answer.status_code
        self._tell(limits=f"The server does not give your limits (HTTP {status}): {KEPT_HOLD}")
        return None

    # Frames.

    def _take_due(self) -> list[bytes]:
        due: dict[Key, bytes] = {}
        now_s, store_and_boot = time.monotonic(), (self._store.number, self._boot.number)
        while (kept := self.flash.take_due(now_s)) is not None and kept.key not in due:
            payload = to_json(kept.stamped(kept.sent_ms(store_and_boot, self._boot.up_ms())))
            self.flash.sent(kept, now_s, payload)
            due[kept.key] = payload
        return list(due.values())

    def _send(self, due: list[bytes]) -> list[Ack]:
        """No acks where there is no answer: what is due is sent again later."""
        try:
            answer = self._http.post(
                f"{self._path}/frames", content=b"[" + b",".join(due) + b"]", headers=JSON
            )
            answer.raise_for_status()
            acks = msgspec.json.decode(answer.content, type=_Acks).acks
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            self._tell(f"The server refuses what is sent (HTTP {status}). It is kept here.")
            return []
        except (httpx.HTTPError, msgspec.MsgspecError, AssertionError):
            self._tell(OFFLINE)
            return []
        self._tell(ONLINE)
        return acks

    def _tell(self, sending: str | None = None, *, limits: str | None = None) -> None:
        self._sending = self._sending if sending is None else sending
        self._limits = self._limits if limits is None else limits
        line = f"{self._sending} {self._limits}".strip()
        if line not in {"", self._told}:
            self._told = line
            self._store.tell(line)
