"""Publishes retained messages: desired programmes, where a device is to move, and empty ones that
withdraw a message.

A message is marked as published only once the broker has confirmed it. Until then it waits in the
database, through any crash. What the broker may have lost is published again: everything, if it has
lost this bridge's session (retained messages are in the same store), and a device's programme, if
the device comes online, or has been online for a while, without having reported it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from sqlalchemy import DateTime, Engine, String, bindparam, literal, or_, select
from sqlalchemy.orm import Session

from cymba.database import Prepared, UnitOfWork, reading
from cymba.devices import moving
from cymba.devices.issuing import lock_free_devices
from cymba.devices.moving import Preparation, Telling
from cymba.devices.publication import (
    UnpublishedProgramme,
    begin_publication,
    mark_published,
    publish_all_again,
    to_publish,
    unpublished,
)
from cymba.devices.withdrawal import (
    Withdrawal,
    awaited_withdrawals,
    mark_withdrawn,
    to_withdraw,
)
from cymba.stimulation.wire.messages import to_json
from mqtt_bridge import topics
from mqtt_bridge.connection import Connection
from mqtt_bridge.metrics import BridgeMetrics

CONFIRM_S = 10.0
AT_ONCE = 100  # devices
log = structlog.get_logger(__name__)


class Publisher:
    """For the devices of its cell, and those that are to come. Of several slots, one publishes at a
    time."""

    def __init__(
        self, engine: Engine, connection: Connection, metrics: BridgeMetrics, cell: str
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._metrics = metrics
        self._cell = cell
        # Devices; fewer while the broker does not confirm so many in `CONFIRM_S`.
        self._at_once = AT_ONCE
        # The last device whose programme was published, if more wait: the next ones begin above it.
        # So devices whose programmes wait again and again hold up no others.
        self._above = ""
        self._fresh_sessions = 0  # of those counted by the connection, how many were noticed
        # The broker has lost what it retained of the devices above this one; None: of nobody.
        self._lost_above: str | None = None

    def do(self) -> bool:
        if self._connection.current is None:
            return False
        if self._connection.fresh_sessions != self._fresh_sessions:
            self._fresh_sessions, self._lost_above = self._connection.fresh_sessions, ""
        at_once = self._at_once
        published = self._publish(at_once)
        if published is None or self._lost_above is None:
            return published == at_once
        if published == 0:  # what is new never waits for more than a part of what was lost
            with UnitOfWork(self._engine) as session, session.begin():
                last = publish_all_again(session, self._cell, above=self._lost_above)
            self._lost_above = last
        return True

    def _publish(self, at_once: int) -> int | None:
        """Publish what waits of up to so many devices. Return for how many it is done; None if the
        broker did not confirm it, or if another slot publishes now."""
        with reading(self._engine) as line:
            if not _ANYTHING_WAITS.rows(line, cell=self._cell, now=datetime.now(UTC)):
                return 0
        with UnitOfWork(self._engine) as session, session.begin():
            if not begin_publication(session, self._cell):
                return None
            waiting = _read(session, self._cell, at_once, self._above)
            if not waiting.device_ids:
                return 0
            messages = waiting.messages()
            if not self._connection.publish_retained(messages, CONFIRM_S):
                log.warning("the broker did not confirm retained messages; they will be sent again")
                session.rollback()
                self._at_once = max(1, at_once // 2)
                return None
            done = waiting.mark(session, self._cell, datetime.now(UTC))
        self._at_once = min(AT_ONCE, 2 * at_once)
        if waiting.programmes:
            is_all = len(waiting.device_ids) < at_once
            self._above = "" if is_all else waiting.programmes[-1].device_id
        self._metrics.published.inc(len(messages))
        return done


class _Waiting(NamedTuple):
    withdrawn: Sequence[Withdrawal]
    programmes: Sequence[UnpublishedProgramme]
    prepared: Sequence[Preparation]
    told: Sequence[Telling]

    @property
    def device_ids(self) -> list[str]:
        return [
            *(one.device_id for one in self.withdrawn),
            *(one.device_id for one in self.programmes),
            *(one.device_id for one in self.prepared),
            *(one.device_id for one in self.told),
        ]

    def messages(self) -> list[tuple[str, bytes]]:
        """Empty ones first, because a device may have both: a withdrawal and a new programme."""
        emptied = [
            (topic(one.device_id), b"")
            for one in self.withdrawn
            for topic in (topics.down_desired, topics.down_broker, topics.up_presence)
        ]
        programmes = [
            *((one.device_id, one.desired) for one in self.programmes),
            *((one.device_id, one.desired) for one in self.prepared),
        ]
        desired = [
            (topics.down_desired(device_id), to_json(programme))
            for device_id, programme in programmes
            if programme is not None
        ]
        told = [(topics.down_broker(one.device_id), to_json(one.relocation)) for one in self.told]
        return [*emptied, *desired, *told]

    def mark(self, session: Session, cell: str, now: datetime) -> int:
        """For how many devices it is done. Those that somebody else holds at this moment are left
        waiting: they hold up nobody."""
        free = lock_free_devices(session, self.device_ids)
        withdrawn = [one for one in self.withdrawn if one.device_id in free]
        programmes = [one for one in self.programmes if one.device_id in free]
        prepared = [one for one in self.prepared if one.device_id in free]
        told = [one for one in self.told if one.device_id in free]
        mark_withdrawn(session, withdrawn, cell)
        mark_published(session, programmes, cell, now)
        moving.mark_prepared(session, prepared, now)
        moving.mark_told(session, told, now)
        return len(withdrawn) + len(programmes) + len(prepared) + len(told)


def _read(session: Session, cell: str, at_once: int, above: str) -> _Waiting:
    withdrawn = awaited_withdrawals(session, cell, at_once)
    programmes = unpublished(session, cell, room := at_once - len(withdrawn), above=above)
    prepared = moving.to_prepare(session, cell, room := room - len(programmes))
    told = moving.to_tell(session, cell, room - len(prepared), datetime.now(UTC))
    return _Waiting(withdrawn, programmes, prepared, told)


_CELL, _NOW = bindparam("cell", type_=String), bindparam("now", type_=DateTime(timezone=True))
# A row if `_read` would find anything. Nearly always nothing waits, and this costs a thirtieth.
_ANYTHING_WAITS = Prepared(
    select(literal(1)).where(
        or_(
            to_withdraw(_CELL).exists(),
            to_publish(_CELL).exists(),
            moving.coming(_CELL).exists(),
            moving.going(_CELL, _NOW).exists(),
        )
    )
)
