"""The keyboard and the screen of the machine that the stimulator is beside."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TextIO

import click

QUIT = "q"
_KEY = re.compile(r"\x1b\[[A-D]|.", re.DOTALL)


def keys_of_terminal() -> Iterator[str]:
    """Each key as it is pressed; Ctrl-C and a closed terminal end them."""
    with suppress(KeyboardInterrupt, EOFError, OSError):
        while pressed := click.getchar():
            yield from split(pressed)


def split(pressed: str) -> list[str]:
    """Keys that were pressed so fast that they came as one: a stop is never hidden in them."""
    return _KEY.findall(pressed)


def follow(keys: Iterator[str], press: Callable[[str], None]) -> None:
    """Press what is pressed, from a thread of its own.

    Without a keyboard there is no stop key, so where the keys end, however they do, the person
    leaves.
    """

    def pressing() -> None:
        with suppress(Exception):  # a keyboard that fails is one that is gone
            for key in keys:
                press(key)
        press(QUIT)

    threading.Thread(target=pressing, name="keys", daemon=True).start()


class DeskScreen:
    """Lines that stay, over one line of status that is written anew.

    A screen that is gone ends nothing: the stop matters, not that it is shown.
    """

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out = out
        self._status = ""
        self._is_terminal = out.isatty()

    def say(self, line: str) -> None:
        self._clear()
        # While a key is awaited the terminal does not add the carriage return by itself.
        end = "\r\n" if self._is_terminal else "\n"
        self._write(line.replace("\n", end) + end)

    def show(self, status: str) -> None:
        if self._is_terminal and status != self._status:
            self._clear()
            self._status = status
            self._write(status)

    def close(self) -> None:
        self._clear()

    def _clear(self) -> None:
        """Also so that no line stands over a status that is no longer so."""
        if self._is_terminal and self._status:
            self._status = ""
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # gone, or closed
            self._out.write(text)
            self._out.flush()
