from mqtt_bridge.loopback_probe import LOST_S, PERIOD_S, SLOW_S, LoopbackProbe


def connected_probe() -> LoopbackProbe:
    probe = LoopbackProbe()
    probe.connected()
    return probe


def test_settled_once_the_echo_is_back() -> None:
    probe = connected_probe()
    assert not probe.settled
    payload = probe.due(100.0)
    assert payload
    assert not probe.settled
    probe.returned(payload, 100.1)
    assert probe.settled


def test_an_echo_out_of_a_backlog_settles_nothing() -> None:
    probe = connected_probe()
    payload = probe.due(100.0)
    assert payload
    probe.returned(payload, 100.0 + SLOW_S + 0.1)
    assert not probe.settled


def test_a_late_echo_unsettles_before_it_is_back() -> None:
    probe = connected_probe()
    first = probe.due(100.0)
    assert first
    probe.returned(first, 100.0)
    assert probe.due(100.0 + PERIOD_S - 1) is None
    assert probe.due(100.0 + PERIOD_S) is not None
    assert probe.settled
    assert probe.due(100.0 + PERIOD_S + SLOW_S + 0.1) is None
    assert not probe.settled


def test_an_echo_of_an_earlier_connection_counts_for_nothing() -> None:
    probe = connected_probe()
    old = probe.due(100.0)
    assert old
    probe.connected()
    probe.returned(old, 100.1)
    assert not probe.settled
    new = probe.due(101.0)
    assert new not in (None, old)


def looks(probe: LoopbackProbe, start: float, seconds: float, *, busy: bool = False) -> list[float]:
    """The times at which a connection that is looked at every second seems lost."""
    times = [start + second for second in range(int(seconds) + 1)]
    return [now for now in times if probe.lost(now, busy=busy)]


def test_lost_only_when_one_is_out_in_a_long_silence() -> None:
    probe = connected_probe()
    assert looks(probe, 1_000.0, 2 * LOST_S) == []
    assert probe.due(1_100.0)
    assert looks(probe, 1_100.0, LOST_S) == []
    assert probe.lost(1_101.0 + LOST_S, busy=False)


def test_one_that_is_back_is_not_lost() -> None:
    probe = connected_probe()
    payload = probe.due(100.0)
    assert payload
    assert looks(probe, 100.0, LOST_S) == []
    probe.returned(payload, 100.5 + LOST_S)
    assert looks(probe, 101.0 + LOST_S, 2 * LOST_S) == []


def test_not_lost_while_anything_comes() -> None:
    """The probe is far behind in a backlog; on a new connection it would be further behind."""
    probe = connected_probe()
    assert probe.due(100.0)
    for second in range(100, 400):
        probe.heard = second % 10 == 0
        assert not probe.lost(float(second), busy=False)
    assert looks(probe, 400.0, 2 * LOST_S)


def test_not_lost_while_what_came_is_not_committed_nor_just_after() -> None:
    """A slow database: the broker's window is full of what waits for it, and opens only now."""
    probe = connected_probe()
    assert probe.due(100.0)
    assert looks(probe, 100.0, 10 * LOST_S, busy=True) == []
    assert looks(probe, 101.0 + 10 * LOST_S, LOST_S - 1) == []


def test_not_lost_because_this_process_stood_still() -> None:
    probe = connected_probe()
    assert probe.due(100.0)
    assert not probe.lost(100.0, busy=False)
    assert not probe.lost(100.0 + 10 * LOST_S, busy=False)


def test_a_dropped_echo_is_followed_by_another() -> None:
    """Else a connection that delivers all else would never settle again."""
    probe = connected_probe()
    first = probe.due(100.0)
    assert probe.due(100.0 + LOST_S) is None
    second = probe.due(100.1 + LOST_S)
    assert second not in (None, first)
    assert second
    probe.returned(second, 100.2 + LOST_S)
    assert probe.settled
