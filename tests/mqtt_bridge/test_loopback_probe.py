from mqtt_bridge.loopback_probe import LOST_S, PERIOD_S, SLOW_S, LoopbackProbe


def connected_echo() -> LoopbackProbe:
    echo = LoopbackProbe()
    echo.connected()
    return echo


def test_settled_once_the_echo_is_back() -> None:
    echo = connected_echo()
    assert not echo.settled
    payload = echo.due(100.0)
    assert payload
    assert not echo.settled
    echo.returned(payload, 100.1)
    assert echo.settled


def test_an_echo_out_of_a_backlog_settles_nothing() -> None:
    echo = connected_echo()
    payload = echo.due(100.0)
    assert payload
    echo.returned(payload, 100.0 + SLOW_S + 0.1)
    assert not echo.settled


def test_a_late_echo_unsettles_before_it_is_back() -> None:
    echo = connected_echo()
    first = echo.due(100.0)
    assert first
    echo.returned(first, 100.0)
    assert echo.due(100.0 + PERIOD_S - 1) is None
    assert echo.due(100.0 + PERIOD_S) is not None
    assert echo.settled
    assert echo.due(100.0 + PERIOD_S + SLOW_S + 0.1) is None
    assert not echo.settled


def test_an_echo_of_an_earlier_connection_counts_for_nothing() -> None:
    echo = connected_echo()
    old = echo.due(100.0)
    assert old
    echo.connected()
    echo.returned(old, 100.1)
    assert not echo.settled
    new = echo.due(101.0)
    assert new not in (None, old)


def looks(echo: LoopbackProbe, start: float, seconds: float, *, busy: bool = False) -> list[float]:
    """The times at which a connection that is looked at every second seems lost."""
    times = [start + second for second in range(int(seconds) + 1)]
    return [now for now in times if echo.lost(now, busy=busy)]


def test_lost_only_when_one_is_out_in_a_long_silence() -> None:
    echo = connected_echo()
    assert looks(echo, 1_000.0, 2 * LOST_S) == []
    assert echo.due(1_100.0)
    assert looks(echo, 1_100.0, LOST_S) == []
    assert echo.lost(1_101.0 + LOST_S, busy=False)


def test_one_that_is_back_is_not_lost() -> None:
    echo = connected_echo()
    payload = echo.due(100.0)
    assert payload
    assert looks(echo, 100.0, LOST_S) == []
    echo.returned(payload, 100.5 + LOST_S)
    assert looks(echo, 101.0 + LOST_S, 2 * LOST_S) == []


def test_not_lost_while_anything_comes() -> None:
    """The echo is far behind in a backlog; on a new connection it would be further behind."""
    echo = connected_echo()
    assert echo.due(100.0)
    for second in range(100, 400):
        echo.heard = second % 10 == 0
        assert not echo.lost(float(second), busy=False)
    assert looks(echo, 400.0, 2 * LOST_S)


def test_not_lost_while_what_came_is_not_committed_nor_just_after() -> None:
    """A slow database: the broker's window is full of what waits for it, and opens only now."""
    echo = connected_echo()
    assert echo.due(100.0)
    assert looks(echo, 100.0, 10 * LOST_S, busy=True) == []
    assert looks(echo, 101.0 + 10 * LOST_S, LOST_S - 1) == []


def test_not_lost_because_this_process_stood_still() -> None:
    echo = connected_echo()
    assert echo.due(100.0)
    assert not echo.lost(100.0, busy=False)
    assert not echo.lost(100.0 + 10 * LOST_S, busy=False)


def test_a_dropped_echo_is_followed_by_another() -> None:
    """Else a connection that delivers all else would never settle again."""
    echo = connected_echo()
    first = echo.due(100.0)
    assert echo.due(100.0 + LOST_S) is None
    second = echo.due(100.1 + LOST_S)
    assert second not in (None, first)
    assert second
    echo.returned(second, 100.2 + LOST_S)
    assert echo.settled
