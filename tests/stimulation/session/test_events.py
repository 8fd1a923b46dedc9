from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from cymba.devices.clocks import DeviceClocks
from cymba.stimulation.session.events import SessionEvent, session_events


def test_events_come_in_order_with_start_end_and_reboots(
    tape: Any,
    clocks_of: Callable[[dict[tuple[int, int], datetime]], DeviceClocks],
    booted_at: datetime,
) -> None:
    session = tape().start().samples(amplitude_ua=[1] * 5).event("lead_off", impedance_ohm=25_000)
    session.reboot(up=1_000).samples(amplitude_ua=[1] * 5).event("lead_on").end("user_stop")
    again = booted_at + timedelta(minutes=2)
    found = session_events(session.read()[::-1], clocks_of({(7, 1): booted_at, (7, 2): again}))
    began = booted_at + timedelta(seconds=60)
    assert found == [
        SessionEvent(began, 0, "start", None),
        SessionEvent(began + timedelta(seconds=5), 5_000, "lead_off", {"impedance_ohm": 25_000}),
        SessionEvent(again + timedelta(seconds=1), 61_000, "reboot", {"boot": 2}),
        SessionEvent(again + timedelta(seconds=6), 66_000, "lead_on", None),
        SessionEvent(again + timedelta(seconds=6), 66_000, "end", {"reason": "user_stop"}),
    ]


def test_a_session_of_samples_alone_has_no_events(tape: Any, clocks: DeviceClocks) -> None:
    assert session_events(tape().samples(amplitude_ua=[1]).read(), clocks) == []
