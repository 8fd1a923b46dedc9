"""The negative control of test_exactly_once: a bridge that acks what it has not committed yet."""

import time
from collections.abc import Sequence

from cymba.database import UnitOfWork
from mqtt_bridge import app, writer
from mqtt_bridge.delivery_queue import IncomingMessage
from mqtt_bridge.transaction import Written, write
from ops.cli import main


class HastyWriter(writer.Writer):
    """Acks first, and commits a little later, as a bridge does that gathers inserts."""

    def _append(self, batch: list[IncomingMessage]) -> list[IncomingMessage]:
        return batch

    def _commit(self, batch: Sequence[IncomingMessage]) -> Written:
        with self._cache.quota.reserve() as reservation, UnitOfWork(self._engine) as session:
            written = write(session, batch, self._cache, reservation)
            self._ack_sender.send(batch, written)
            time.sleep(0.5)  # most of the time a batch is in between: whatever is killed loses one
            session.commit()
        return written


if __name__ == "__main__":
    app.Writer = HastyWriter  # type: ignore[attr-defined]
    main()
