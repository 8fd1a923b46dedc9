"""Each kind's bytes, as public sources describe them."""

import re

import pytest

from gateway.radio.drivers import DRIVERS, EmsBoardDriver, NeckBandDriver

BAND, BOARD = NeckBandDriver(), EmsBoardDriver()


def test_a_band_is_spoken_to_on_the_nordic_uart_service() -> None:
    assert BAND.profile.service == "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
    assert BAND.profile.write.startswith("6e400002-")
    assert BAND.profile.notify.startswith("6e400003-")


@pytest.mark.parametrize(("side", "letter"), [("both", b"D"), ("left", b"A"), ("right", b"C")])
def test_a_bands_start_names_the_side_and_then_the_level(side, letter) -> None:
    assert BAND.start(side, 1) == (letter + b"\n", b"1\n")


def test_a_bands_commands_are_those_of_the_sources_and_no_other() -> None:
    levels = [BAND.set_level("both", level)[0] for level in range(1, 10)]
    assert levels == [b"1\n", b"2\n", b"3\n", b"4\n", b"5\n", b"6\n", b"7\n", b"8\n", b"9\n"]
    assert BAND.stop() == (b"0\n",)
    assert BAND.ask_battery() == b"Q\n"


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=list(DRIVERS))
def test_no_level_outside_its_scale_becomes_bytes(driver) -> None:
    for level in (-1, 0, driver.highest_level + 1):
        with pytest.raises(ValueError, match="is not within"):
            driver.set_level("both", level)


@pytest.mark.parametrize(
    ("heard", "battery_mv"),
    [
        (b"Batt:3.95", 3950),
        (b"Batt:3.95\n", 3950),
        (b"\x00Batt:4.20\r\n", 4200),
        (b"Batt:3.9", None),  # half of it
        (b"Batt:3.", None),
        (b"att:3.95", None),
        (b"3.95", None),
        (b"u\x01", None),
        (b"Batt:3.9512", None),  # no battery is told so
        (b"Batt:-3.95", None),
        (b"", None),
    ],
)
def test_only_a_whole_answer_is_a_battery(heard, battery_mv) -> None:
    assert BAND.read_battery_mv(heard) == battery_mv


def test_a_boards_command_is_channel_intensity_and_on_time() -> None:
    assert BOARD.start("left", 5) == (b"C0I5T2500G",)
    assert BOARD.set_level("both", 100) == (b"C0I100T2500G", b"C1I100T2500G")
    for command in (*BOARD.set_level("right", 42), *BOARD.stop()):
        assert re.fullmatch(rb"C[01]I(100|[0-9]{1,2})T[1-9][0-9]*G", command)


def test_a_boards_stop_leaves_no_channel_on() -> None:
    assert BOARD.stop() == (b"C0I0T1G", b"C1I0T1G")


def test_a_boards_level_is_repeated_before_it_runs_out() -> None:
    assert BOARD.keep_alive_s * 1000 * 2 < BOARD.on_time_ms
