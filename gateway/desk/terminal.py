"""The keyboard and the screen of the machine that the stimulator is beside."""

import sys
import threading
from collections.abc import Callable, Iterator

import click

QUIT = "q"


def keys_of_terminal() -> Iterator[str]:
    """Each key as it is pressed; Ctrl-C and a closed terminal end them."""
    try:
        while True:
            yield click.getchar()
    except (KeyboardInterrupt, EOFError, OSError):
        return


def follow(keys: Iterator[str], press: Callable[[str], None]) -> None:
    """Press what is pressed, from a thread of its own.

    Without a keyboard there is no stop key, so where the keys end the person leaves.
    """

    def pressing() -> None:
        for key in keys:
            press(key)
        press(QUIT)

    threading.Thread(target=pressing, name="keys", daemon=True).start()


class DeskScreen:
    """Lines that stay, over one line of status that is written anew."""

    def __init__(self) -> None:
        self._status = ""
        self._is_terminal = sys.stderr.isatty()

    def say(self, line: str) -> None:
        if self._is_terminal:
            click.echo("\r\033[K", nl=False, err=True)
        click.echo(line, err=True)
        self._draw()

    def show(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._draw()

    def _draw(self) -> None:
        if self._is_terminal:
            click.echo(f"\r\033[K{self._status}", nl=False, err=True)
