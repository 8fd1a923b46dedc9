"""The units of deploy/systemd as systemd reads them, and the page on them."""

import re
import shlex
from pathlib import Path

from tests.end_to_end.parts import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
PAGE = (ROOT / "docs" / "bare-metal.md").read_text()

Unit = dict[str, list[str]]


def lines_of(file: Path) -> list[tuple[str, str]]:
    """Of a unit or a file of variables: names and what they are given."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith(("#", "["))]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines) if name]


def read_unit(name: str, folder: Path = SYSTEMD) -> Unit:
    """`cymba-api@0`, with what is said for all units."""
    kind, at, instance = name.partition("@")
    found: Unit = {}
    for file in (f"{kind}{at}.service", "cymba-.service.d/all.conf"):
        for key, value in lines_of(folder / file):
            found.setdefault(key, []).append(value.replace("%i", instance))
    return found


def wanted(folder: Path = SYSTEMD) -> list[str]:
    """The units of the target, in its order."""
    lines = [value for key, value in lines_of(folder / "cymba.target") if key == "Wants"]
    return [one.removesuffix(".service") for one in " ".join(lines).split()]


def given(file: Path) -> dict[str, str]:
    """What a file of variables says to a unit: quotes are systemd's."""
    return {key: " ".join(shlex.split(value)) for key, value in lines_of(file)}


def metrics_port(unit: Unit) -> int | None:
    text = " ".join(unit["ExecStart"] + unit["Environment"])
    found = re.search(r"(?i)metrics.port[ =](\d+)", text)
    return int(found[1]) if found else None


def block_with(word: str) -> str:
    """The one block of commands on the page that has it."""
    (found,) = (one for one in blocks() if word in one)
    return found


def blocks() -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
