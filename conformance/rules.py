"""The rules that can be judged from the broker, and where `docs/device-protocol.md` has them."""

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "device-protocol.md"
_RULE = re.compile(r"^- \*\*(R\d+)\*\* (.*(?:\n {2}.*)*)", re.MULTILINE)

JUDGED: dict[str, str] = {
    "R1": "topics, QoS and retained flags are those of the table",
    "R5": "waits before it connects again",
    "R6": "one JSON object or one CBOR map",
    "R7": "no payload over 16,384 bytes",
    "R8": "each member once, and none that the page does not name",
    "R9": "integers are written as integers",
    "R12": "numbers rise by 1, without gaps",
    "R13": "a number is never given to other content",
    "R15": "a random session id, new for each session",
    "R16": "boot and up never fall",
    "R17": "sent is fresh, and of the present boot alone",
    "R18": "no date where none is known",
    "R19": "columns of n values in the channels' wire units",
    "R20": "beats of the frame's own time",
    "R21": "values that a sensor can give",
    "R22": "names of channels end in their unit",
    "R23": "a frame is sent when it is full or 10 s old",
    "R24": "the end names the session's first and last frame",
    "R25": "only an ack of the server frees a frame",
    "R26": "the highest upto holds, whatever comes later",
    "R27": "at most 20 frames are outstanding",
    "R28": "sends again after 30 s, 60 s, 120 s …",
    "R29": "keeps and resends what is to be retried",
    "R30": "the oldest frame goes first",
    "R31": "keeps to max_frames_per_s",
    "R34": "at most 16 stores a day",
    "R36": "presence and will, retained and consistent",
    "R37": "waits for the answer to presence before it resends",
    "R38": "exchanges the time after each connect",
    "R39": "never changes up or utc of a written frame",
    "R40": "refuses forged and older programmes, and reports",
    "R42": "starts and samples tell what the model knows, and no more",
    "R44": "goes to another broker if the server signed that, and comes back",
}
"""A short title of each rule."""

HIDDEN_BY: dict[str, frozenset[str]] = {
    # A device that frees frames too early resends nothing, and one that never frees resends all.
    "R25": frozenset({"R26", "R27", "R28", "R29", "R37"}),
    "R13": frozenset({"R39"}),
    # Not even the number of an oversized payload is read.
    "R7": frozenset({"R12"}),
    # Sessions with the same id have no order and no end.
    "R15": frozenset({"R24", "R30"}),
}
"""Rules that cannot be judged for a device that breaks another: breaking the first explains
them."""


class Place(NamedTuple):
    """A rule's line in the page, from 1, and its text without line breaks."""

    line: int
    text: str


def places(page: Path = PAGE) -> dict[str, Place]:
    """Every rule of the page by its number; none if the page is missing, as in a container
    image."""
    if not page.is_file():
        return {}
    text = page.read_text()
    return {
        found[1]: Place(text.count("\n", 0, found.start()) + 1, " ".join(found[2].split()))
        for found in _RULE.finditer(text)
    }


def in_order(rules: dict[str, str] = JUDGED) -> list[str]:
    return sorted(rules, key=lambda rule: int(rule[1:]))
