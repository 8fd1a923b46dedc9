"""A frame read back from the database."""

from dataclasses import dataclass
from datetime import datetime

from cymba.stimulation.wire.messages import Frame


@dataclass(frozen=True, slots=True)
class ReadFrame:
    """A stored frame. `sent` is not stored: it belongs to the message, not to the content."""

    frame: Frame
    received_at: datetime  # in whole milliseconds
