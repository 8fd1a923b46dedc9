"""Since when the server has known of a session: what came later, a later holder could have made."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.devices.exchange import MAX_AGE_MS
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.timing import boots_of

# By how much the time of an anchor may be older than what the server has heard.
_EXCHANGED_WITHIN = timedelta(milliseconds=MAX_AGE_MS)


def known_since(session: Session, device_id: str, frames: Sequence[ReadFrame]) -> datetime:
    """When the first of its frames came or, if that is earlier, when all of the boots that they
    were recorded in were known: nobody begins such a boot again.

    A boot is known by what arrived of it, or by an exchange of clocks; not by the device's own
    clock, which may be set to anything.
    """
    first = min(read.received_at for read in frames)
    boots = sorted(boots_of(frames))
    known = session.scalars(
        _BOOTS_KNOWN,
        {
            "device": device_id,
            "stores": [store for store, _ in boots],
            "boots": [boot for _, boot in boots],
            "exchanged_within": _EXCHANGED_WITHIN,
        },
    ).all()
    return min(first, max((at or first for at in known), default=first))


_BOOTS_KNOWN = text(
    """
    SELECT least(
      (SELECT min(a.wall_at + CASE a.kind WHEN 'exchange' THEN CAST(:exchanged_within AS interval)
                                          ELSE interval '0' END)
       FROM clock_anchor AS a
       WHERE a.device_id = :device AND a.store = k.store AND a.boot = k.boot
         AND a.kind <> 'device_clock'),
      (SELECT min(e.last_received_at) FROM session_extent AS e
       WHERE e.device_id = :device AND e.store = k.store
         AND k.boot BETWEEN e.low_boot AND e.high_boot))
    FROM unnest(CAST(:stores AS bigint[]), CAST(:boots AS bigint[])) AS k (store, boot)
    """
)
