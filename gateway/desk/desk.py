"""The desk: what each key does, and what happens when the link breaks.

Whatever happens is handled by one task, one thing after another, so no repeated level can follow a
stop. Only a key starts, raises or goes on. A stop is also written when the session's time is over,
and first of all when a link is back while the stimulator may be on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from cymba.devices.messages import Programme, Side, Site
from gateway.clock import ProgramBoot
from gateway.desk.recording import SessionRecord
from gateway.desk.session import RunningSession, minutes, state_of
from gateway.limits import Allowed, NotAllowed
from gateway.radio.drivers import Driver
from gateway.radio.interface import LinkLost, Radio, RadioUnavailable
from gateway.radio.stimulator import LinkedStimulator
from gateway.store import FrameStore

LOWEST_LEVEL = 1
GIVES_UP_MS = 300_000  # a session that is paused, or whose link stays lost
BATTERY_EVERY_MS = 60_000
RAISES_EVERY_MS = 1_000  # a key that is held down is no ramp
TICK_S = 0.5
CONNECT_AGAIN_S = (1.0, 2.0, 5.0)

HELP = """
  SPACE   STOP (so do ENTER, ESC, 0 and X)
  S       start, at level 1           + and -   one level up, down
  G       go on after a pause         Q         stop and quit
"""
SAME_KEYS = {"=": "+", "\x1b[a": "+", "\x1b[b": "-"} | dict.fromkeys(
    ("\r", "\n", "\x1b", "0", "x"), " "
)


class Desk:
    def __init__(
        self,
        *,
        driver: Driver,
        radio: Radio,
        address: str,
        site: Site,
        side: Side,
        store: FrameStore,
        boot: ProgramBoot,
        allowance: Callable[[], Allowed | NotAllowed],
        say: Callable[[str], None],
        show: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._driver, self._radio, self._address = driver, radio, address
        self._site, self._side, self._store, self._boot = site, side, store, boot
        self._allowance, self._say, self._show = allowance, say, show
        self._happenings: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._stimulator: LinkedStimulator | None = None
        self._session: RunningSession | None = None
        self._leaving = False
        self._ticked = asyncio.Event()
        self._asked_battery_ms: int | None = None
        self._told = store.told

    async def run(self) -> bool:
        """Until the person leaves. False if the stimulator may still be on."""
        tasks = [asyncio.create_task(self._tick_on()), asyncio.create_task(self._stay_linked())]
        try:
            while not self._leaving:
                happening = await self._happenings.get()
                await happening()
        finally:
            if self._session is not None and self._stimulator is not None:
                with suppress(LinkLost):  # it ends by a fault of ours: never without a stop
                    await self._stimulator.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._stimulator is not None:
                await self._stimulator.close()
        return not self._store.may_be_on

    def press(self, key: str) -> None:
        """A key of the person at this machine. The only way to start anything."""
        keys: dict[str, Callable[[], Awaitable[None]]] = {
            "s": self._start,
            " ": self._stop,
            "g": self._go_on,
            "+": partial(self._change_level, 1),
            "-": partial(self._change_level, -1),
            "q": self._leave,
        }
        key = SAME_KEYS.get(key.lower(), key.lower())
        self._happenings.put_nowait(keys.get(key, self._help))

    # Keys.

    async def _start(self) -> None:
        allowed = self._allowance()
        if self._session is not None:
            self._say("A session is running. SPACE stops it.")
        elif self._stimulator is None:
            self._say(f"Not started: there is no link to the {self._driver.title} yet.")
        elif self._store.may_be_on:
            self._say(f"Not started: the {self._driver.title} may still be on. SPACE stops it.")
        elif isinstance(allowed, NotAllowed):
            self._say(f"Not started: {allowed.because}.")
        elif allowed.highest_level < LOWEST_LEVEL:
            self._say(f"Not started: your limits do not reach level {LOWEST_LEVEL}.")
        else:
            await self._begin(allowed)

    async def _begin(self, allowed: Allowed) -> None:
        self._store.renew_if_due()
        self._store.set_may_be_on(is_so=True)
        programme = Programme(
            site=self._site,
            side=self._side,
            native_level=LOWEST_LEVEL,
            duration_s=allowed.longest_s,
        )
        record = SessionRecord(self._store, self._boot, programme)
        began_ms = record.began_up_ms
        self._session = RunningSession(
            record=record,
            side=self._side,
            level=None,
            ends_up_ms=began_ms + allowed.longest_s * 1000,
            written_up_ms=began_ms,
            raised_up_ms=began_ms,
        )
        if await self._write_level(self._session, LOWEST_LEVEL, begins=True):
            self._say(
                f"Started at level {LOWEST_LEVEL}, for {minutes(allowed.longest_s)}; "
                f"at most level {allowed.highest_level}. SPACE STOPS."
            )

    async def _stop(self) -> None:
        """The stimulator first, then the record."""
        stopped = await self._write_stop()
        session, self._session = self._session, None
        if session is not None:
            session.record.advance(self._boot.up_ms(), 0 if stopped else None)
            if not stopped:
                session.record.note("stop_not_through")
            session.record.end("user_stop")
        if stopped:
            self._say("Stopped.")
        elif session is not None or self._store.may_be_on:
            self._say(
                f"THE STOP DID NOT GET THROUGH: there is no link. The {self._driver.title} may "
                f"still be on. {self._driver.when_lost} It is sent as soon as the link is back."
            )
        else:
            self._say(f"There is no link to the {self._driver.title}, and nothing was started.")

    async def _go_on(self) -> None:
        session = self._session
        allowed = self._allowance()
        if session is None or session.waits_since_up_ms is None:
            self._say("There is no pause to go on from.")
        elif self._stimulator is None or self._store.may_be_on:
            self._say("Not yet: the link is not back.")
        elif isinstance(allowed, NotAllowed):
            self._say(f"Not gone on: {allowed.because}.")
        else:
            now_ms = self._boot.up_ms()
            session.ends_up_ms += now_ms - session.waits_since_up_ms
            session.waits_since_up_ms, session.raised_up_ms = None, now_ms
            self._store.set_may_be_on(is_so=True)
            session.record.note("resume")
            if await self._write_level(session, LOWEST_LEVEL, begins=True):
                self._say(f"Gone on at level {LOWEST_LEVEL}. SPACE STOPS.")

    async def _change_level(self, by: int) -> None:
        session = self._session
        if session is None or session.level is None or session.waits_since_up_ms is not None:
            self._say("No level can be set: nothing is running.")
            return
        level, now_ms = session.level + by, self._boot.up_ms()
        refusal = self._why_not_raised(session, level, now_ms) if by > 0 else None
        if refusal is not None:
            self._say(refusal)
        elif level < LOWEST_LEVEL:
            self._say(f"Level {LOWEST_LEVEL} is the lowest. SPACE stops.")
        elif await self._write_level(session, level):
            session.raised_up_ms = now_ms if by > 0 else session.raised_up_ms
            self._say(f"Level {level}.")

    def _why_not_raised(self, session: RunningSession, level: int, now_ms: int) -> str | None:
        if now_ms - session.raised_up_ms < RAISES_EVERY_MS:
            return "Not raised: one level a second."
        allowed = self._allowance()
        if isinstance(allowed, NotAllowed):
            return f"Not raised: {allowed.because}."
        if level > allowed.highest_level:
            return f"Level {allowed.highest_level} is the highest that your limits allow."
        return None

    async def _leave(self) -> None:
        if self._session is not None or self._store.may_be_on:
            await self._stop()
        self._leaving = True

    async def _help(self) -> None:
        self._say(HELP)

    # Time.

    async def _tick_on(self) -> None:
        while True:
            self._ticked.clear()
            self._happenings.put_nowait(self._tick)
            await self._ticked.wait()
            await asyncio.sleep(TICK_S)

    async def _tick(self) -> None:
        self._ticked.set()
        now_ms = self._boot.up_ms()
        told = self._store.told
        if told != self._told:
            self._told = told
            self._say(str(told))
        session = self._session
        if session is not None:
            session.record.advance(now_ms, session.level)
            await self._attend(session, now_ms)
        self._ask_battery(now_ms)
        self._show(self._status(now_ms))

    async def _attend(self, session: RunningSession, now_ms: int) -> None:
        waits_since_ms = session.waits_since_up_ms
        if waits_since_ms is None:
            if now_ms >= session.ends_up_ms:
                if await self._write_stop():
                    self._complete(session)
            elif (
                session.level is not None
                and now_ms - session.written_up_ms >= self._driver.keep_alive_s * 1000
            ):
                await self._write_level(session, session.level)
        elif now_ms - waits_since_ms >= GIVES_UP_MS:
            self._session = None
            # With the link lost nobody saw how it ended.
            lost = self._store.may_be_on
            session.record.end("unknown_inferred" if lost else "user_pause_timeout")
            self._say(
                f"No link for {minutes(GIVES_UP_MS // 1000)}: the record of this session ends. "
                f"{self._driver.when_lost}"
                if lost
                else "Nobody went on: the session is over."
            )

    def _complete(self, session: RunningSession) -> None:
        """The time is over, and the stop came through."""
        self._session = None
        session.record.advance(self._boot.up_ms(), 0)
        session.record.end("completed")
        self._say("The time is over. Stopped.")

    def _ask_battery(self, now_ms: int) -> None:
        asked_ms = self._asked_battery_ms
        if self._stimulator is None or (
            asked_ms is not None and now_ms - asked_ms < BATTERY_EVERY_MS
        ):
            return
        self._asked_battery_ms = now_ms
        self._battery_task = asyncio.create_task(self._hear_battery(self._stimulator))

    async def _hear_battery(self, stimulator: LinkedStimulator) -> None:
        try:
            battery_mv = await stimulator.battery_mv()
        except LinkLost:
            self._happenings.put_nowait(partial(self._lose, stimulator))
            return
        if battery_mv is not None and self._session is not None:
            self._session.record.note_battery(battery_mv)

    # The link.

    async def _stay_linked(self) -> None:
        tries = 0
        said: str | None = None
        while True:
            if self._stimulator is None:
                try:
                    await self._link()
                    tries, said = 0, None
                    continue
                except (LinkLost, RadioUnavailable) as error:
                    if isinstance(error, RadioUnavailable) and str(error) != said:
                        said = str(error)
                        self._say(said)
            await asyncio.sleep(CONNECT_AGAIN_S[min(tries, len(CONNECT_AGAIN_S) - 1)])
            tries += 1

    async def _link(self) -> None:
        stimulator: LinkedStimulator | None = None

        def lost() -> None:
            if stimulator is not None:
                self._happenings.put_nowait(partial(self._lose, stimulator))

        stimulator = await LinkedStimulator.connect(self._radio, self._address, self._driver, lost)
        linked = asyncio.Event()
        self._happenings.put_nowait(partial(self._linked, stimulator, linked))
        await linked.wait()

    async def _linked(self, stimulator: LinkedStimulator, done: asyncio.Event) -> None:
        self._stimulator = stimulator
        self._asked_battery_ms = None
        done.set()
        self._say(f"Linked to the {self._driver.title}.")
        if not self._store.may_be_on:
            return
        if not await self._write_stop():
            return
        session = self._session
        if session is None:
            self._say(f"The {self._driver.title} may have been on; it was told to stop.")
            return
        now_ms = self._boot.up_ms()
        session.record.note("link_back")
        waits_since_ms = session.waits_since_up_ms or now_ms
        if waits_since_ms >= session.ends_up_ms:
            self._complete(session)
            return
        session.record.advance(now_ms, 0)
        session.ends_up_ms += now_ms - waits_since_ms
        session.level, session.waits_since_up_ms = 0, now_ms
        session.record.note("pause")
        self._say(
            f"The link is back, and the {self._driver.title} was told to stop. "
            "G goes on at level 1, SPACE ends the session."
        )

    async def _lose(self, stimulator: LinkedStimulator) -> None:
        if stimulator is not self._stimulator:
            return
        self._stimulator = None
        await stimulator.close()
        session, title = self._session, self._driver.title
        if session is not None and self._store.may_be_on:
            at = f" at level {session.level}" if session.level else ""
            now_ms = self._boot.up_ms()
            session.level, session.waits_since_up_ms = None, now_ms
            session.record.advance(now_ms, None)
            session.record.note("link_lost")
            self._say(
                f"LINK LOST. The {title} may still be stimulating{at}. {self._driver.when_lost} "
                "When the link is back, it is told to stop first."
            )
        elif self._store.may_be_on:
            self._say(f"LINK LOST. The {title} may still be on. {self._driver.when_lost}")
        else:
            self._say(f"The link to the {title} is lost. It was not stimulating for this program.")

    async def _write_level(
        self, session: RunningSession, level: int, *, begins: bool = False
    ) -> bool:
        stimulator = self._stimulator
        if stimulator is None:
            return False
        try:
            if begins:
                await stimulator.start(session.side, level)
            else:
                await stimulator.set_level(session.side, level)
        except LinkLost:
            await self._lose(stimulator)
            return False
        session.level, session.written_up_ms = level, self._boot.up_ms()
        session.record.advance(session.written_up_ms, level)
        return True

    async def _write_stop(self) -> bool:
        stimulator = self._stimulator
        if stimulator is None:
            return False
        try:
            await stimulator.stop()
        except LinkLost:
            await self._lose(stimulator)
            return False
        self._store.set_may_be_on(is_so=False)
        return True

    def _status(self, now_ms: int) -> str:
        link = "linked" if self._stimulator is not None else "NO LINK"
        kept = len(self._store)
        waiting = f"{kept} frames to send" if kept else "all sent"
        return f"{link} · {state_of(self._session, self._store, now_ms)} · {waiting}"
