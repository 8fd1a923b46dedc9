"""Publishes retained messages: desired programmes, and empty ones that withdraw a message.

A message is marked as published only once the broker has confirmed it. Until then it waits in the
database, through any crash. What the broker may have lost is published again: everything, if it has
lost this bridge's session (retained messages are in the same store), and a device's programme, if
the device comes online without having reported it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.devices.publication import (
    UnpublishedProgramme,
    begin_publication,
    mark_published,
    publish_all_again,
    unpublished,
)
from cymba.devices.tables import RetainedWithdrawal
from cymba.devices.withdrawal import awaited_withdrawals, mark_withdrawn
from cymba.stimulation.wire.messages import to_json
from mqtt_bridge import topics
from mqtt_bridge.connection import Connection
from mqtt_bridge.metrics import BridgeMetrics

CONFIRM_S = 10.0
AT_ONCE = 100
log = structlog.get_logger(__name__)


class Publisher:
    """Of several slots, one publishes at a time."""

    def __init__(self, engine: Engine, connection: Connection, metrics: BridgeMetrics) -> None:
        self._engine = engine
        self._connection = connection
        self._metrics = metrics
        self._fresh_sessions = 0  # of those counted by the connection, how many were dealt with

    def do(self) -> bool:
        return self._publish() == AT_ONCE

    def _publish(self) -> int:
        """Publish some of what waits. Return the number of devices for which the broker confirmed
        it."""
        if self._connection.current is None:
            return 0
        fresh_sessions = self._connection.fresh_sessions
        if fresh_sessions != self._fresh_sessions:
            with UnitOfWork(self._engine) as session, session.begin():
                publish_all_again(session)
            self._fresh_sessions = fresh_sessions
        with UnitOfWork(self._engine) as session, session.begin():
            if not begin_publication(session):
                return 0
            withdrawn = awaited_withdrawals(session, AT_ONCE)
            waiting = unpublished(session, AT_ONCE - len(withdrawn))
            messages = _messages(withdrawn, waiting)
            if not messages:
                return 0
            if not self._connection.publish_retained(messages, CONFIRM_S):
                log.warning("the broker did not confirm retained messages; they will be sent again")
                session.rollback()
                return 0
            mark_withdrawn(session, withdrawn)
            mark_published(session, waiting, datetime.now(UTC))
        self._metrics.published.inc(len(messages))
        return len(withdrawn) + len(waiting)


def _messages(
    withdrawn: Sequence[RetainedWithdrawal], waiting: Sequence[UnpublishedProgramme]
) -> list[tuple[str, bytes]]:
    """Empty messages first, because a device may have both: a withdrawal and a new programme."""
    emptied = [
        (topic(one.device_id), b"")
        for one in withdrawn
        for topic in (topics.down_desired, topics.up_presence)
    ]
    desired = [(topics.down_desired(one.device_id), to_json(one.desired)) for one in waiting]
    return [*emptied, *desired]
