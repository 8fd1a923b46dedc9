"""The gateway without a broker: the same frames to `POST /v1/devices/{device}/frames`.

Nothing comes down this way, so limits that the server sets do not arrive.
"""

import random
import time

import httpx
import msgspec

from cymba.stimulation.wire.messages import Ack
from firmware.flash import Flash, FlashFrame, Key, Pace
from gateway.clock import ProgramBoot
from gateway.config import GatewayConfig
from gateway.store import FrameStore

LOOKS_EVERY_S = 1.0  # into the store
ANSWER_WITHIN_S = 60.0


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
        self._seen = 0
        self._path = f"/v1/devices/{config.device_id}/frames"
        self._http = httpx.Client(
            base_url=config.server,
            auth=(config.device_id, config.secret),
            timeout=ANSWER_WITHIN_S,
            transport=transport,
        )
        self._told: str | None = None

    def step_once(self) -> None:
        """Send what is due, at most a window of frames; wait a moment where nothing is."""
        for number, frame in self._store.frames_after(self._seen):
            self.flash.keep(frame)
            self._seen = number
        due = self._take_due()
        if not due:
            time.sleep(LOOKS_EVERY_S)
            return
        for ack in self._send(due):
            self._store.free(self.flash.resolve(ack))
            if any(one.code == "key-reuse" for one in ack.rejected):
                self._store.ask_for_renewal()
            for rejection in ack.rejected:
                self._tell(
                    f"The server does not take a frame: {rejection.code} ({rejection.detail})."
                )

    def shut(self) -> None:
        self._http.close()

    def _take_due(self) -> list[bytes]:
        due: dict[Key, bytes] = {}
        now_s = time.monotonic()
        while (kept := self.flash.take_due(now_s)) is not None and kept.key not in due:
            payload = msgspec.json.encode(self._stamped(kept))
            self.flash.sent(kept, now_s, payload)
            due[kept.key] = payload
        return list(due.values())

    def _stamped(self, kept: FlashFrame) -> dict[str, object]:
        is_current = kept.key[0] == self._store.number and kept.frame.boot == self._boot.number
        frame = kept.stamped(max(self._boot.up_ms(), kept.frame.up) if is_current else None)
        whole: dict[str, object] = msgspec.to_builtins(frame)
        return {name: value for name, value in whole.items() if value is not None}

    def _send(self, due: list[bytes]) -> list[Ack]:
        """No acks where there is no answer: what is due is sent again later."""
        try:
            answer = self._http.post(
                self._path,
                content=b"[" + b",".join(due) + b"]",
                headers={"Content-Type": "application/json"},
            )
            answer.raise_for_status()
            acks = msgspec.json.decode(answer.content, type=_Acks).acks
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            self._tell(f"The server refuses what is sent (HTTP {status}). It is kept here.")
            return []
        except (httpx.HTTPError, msgspec.MsgspecError, AssertionError):
            self._tell("Offline: what is recorded is kept here, and sent later.")
            return []
        self._tell("Online: what is recorded is sent to the server.")
        return acks

    def _tell(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._store.tell(line)
