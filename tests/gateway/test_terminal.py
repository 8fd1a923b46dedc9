"""A keyboard that is hit in a hurry, or goes away; a screen that is gone."""

import io
import threading
from collections.abc import Iterator

import pytest

from gateway.desk.terminal import DeskScreen, follow, split


@pytest.mark.parametrize(
    ("pressed", "keys"),
    [
        ("s", ["s"]),
        ("  ", [" ", " "]),
        ("+++ ", ["+", "+", "+", " "]),
        ("\x1b[A\x1b[B", ["\x1b[A", "\x1b[B"]),
        ("\x1b", ["\x1b"]),
        ("\x1b[A ", ["\x1b[A", " "]),
        ("\r\n", ["\r", "\n"]),
    ],
)
def test_keys_that_came_as_one_are_pressed_one_by_one(pressed: str, keys: list[str]) -> None:
    assert split(pressed) == keys


def test_an_escape_sequence_that_is_not_known_stops() -> None:
    assert split("\x1b[3~")[0] == "\x1b"


@pytest.mark.parametrize("fails", [False, True])
def test_where_the_keys_end_the_person_leaves(fails: bool) -> None:
    pressed: list[str] = []
    left = threading.Event()

    def keys() -> Iterator[str]:
        yield "s"
        if fails:
            raise RuntimeError("the terminal is gone")

    def press(key: str) -> None:
        pressed.append(key)
        if key == "q":
            left.set()

    follow(keys(), press)
    left.wait()
    assert pressed == ["s", "q"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_takes_the_place_of_a_status_that_is_no_longer_so() -> None:
    out = Terminal()
    screen = DeskScreen(out)
    screen.show("level 3")
    screen.say("Stopped.")
    assert out.getvalue() == "level 3\r\033[KStopped.\r\n"
    screen.show("off")
    screen.close()
    assert out.getvalue().endswith("off\r\033[K")


def test_a_screen_that_is_gone_ends_nothing() -> None:
    out = Terminal()
    screen = DeskScreen(out)
    out.close()
    screen.say("Stopped.")
    screen.show("off")
    screen.close()
