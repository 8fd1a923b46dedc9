"""A frame as it is read back, from wherever it lies."""

from dataclasses import dataclass
from datetime import datetime

from cymba.stimulation.wire.messages import Frame


@dataclass(frozen=True, slots=True)
class ReadFrame:
    """A stored frame. Its `sent` is not kept: it belongs to the publish, not to the content."""

    frame: Frame
    received_at: datetime  # in whole milliseconds
