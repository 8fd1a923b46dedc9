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


def test_lost_only_when_one_is_out_for_long() -> None:
    echo = connected_echo()
    assert not echo.lost(1_000.0)
    payload = echo.due(1_000.0)
    assert payload
    assert not echo.lost(1_000.0 + LOST_S)
    assert echo.lost(1_000.1 + LOST_S)
    echo.returned(payload, 1_000.2 + LOST_S)
    assert not echo.lost(2_000.0)
