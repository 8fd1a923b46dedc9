"""Frames of firmware that was written before a model could know less mean what they meant."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from cymba.stimulation.wire.frames import Unreadable, decode, pack, unpack
from cymba.stimulation.wire.messages import Frame, StartFrame

PAGE = Path(__file__).parents[3] / "docs" / "device-protocol.md"
SHOWN = re.findall(r"^```json frame\n(.*)\n```$", PAGE.read_text(), re.MULTILINE)
# As they were stored by then: a resend is told from other content by these.
DIGESTS = [
    "905be95182daf086fc248faf7223c85e",
    "904351d4671849f9bec1fa387b70e4cb",
    "2467b498c731b328ba7d62fa47230ab2",
    "41cd6316c496f03c6473f5d718600617",
]
BODY_OF_THE_START = bytes.fromhex(
    "8aac616d706c69747564655f7561cd05dcaa6475726174696f6e5f73cd0708ac6672657175656e63795f687acb40"
    "39000000000000a56f66665f731ea46f6e5f731eae70756c73655f77696474685f7573ccfaad72616d705f75615f"
    "7065725f73cd01f4b473656e736f72795f7468726573686f6c645f7561cd03e8a473696465a46c656674a4736974"
    "65ad63796d62615f636f6e63686165"
)


SID = UUID(int=1)


@dataclass
class Row:
    """Of the frame table, or of a recording."""

    body: bytes
    kind: int = 1
    store: int = 9
    seq: int = 1
    boot: int = 1
    sid: UUID = SID
    up_ms: int = 5
    utc_ms: int | None = None


def read(payload: str) -> Frame:
    frame = decode(payload.encode())
    assert not isinstance(frame, Unreadable), frame
    return frame


@pytest.mark.parametrize(("shown", "digest"), list(zip(SHOWN, DIGESTS, strict=True)), ids=DIGESTS)
def test_a_frame_that_is_sent_again_is_known_again(shown: str, digest: str) -> None:
    assert pack(read(shown)).digest.hex() == digest


def test_a_start_that_was_stored_is_read_as_it_was_sent() -> None:
    stored, sent = unpack(Row(BODY_OF_THE_START)), read(SHOWN[0])
    assert isinstance(stored, StartFrame)
    assert isinstance(sent, StartFrame)
    assert (stored.programme, stored.counters) == (sent.programme, None)


@pytest.mark.parametrize("counters", [{"charge_uc": 500_000}, {"charge_uc": 0, "pulses": 0}, {}])
def test_where_the_counters_stood_is_kept_with_the_start(counters: dict[str, int]) -> None:
    packed = pack(read(json.dumps(json.loads(SHOWN[0]) | {"counters": counters})))
    again = unpack(Row(packed.body))
    assert isinstance(again, StartFrame)
    assert again.counters == counters
    assert packed.digest.hex() != DIGESTS[0]
