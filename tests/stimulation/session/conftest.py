from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from cymba.stimulation.tables import StimulationSession

DEVICE = "device-0001"


@pytest.fixture
def add(session: Session, account_id: UUID) -> Callable[..., StimulationSession]:
    """Adds a session of half an hour: `add(started_at, zone, charge_uc=…, device_id=…)`."""

    def add_session(
        started_at: datetime,
        zone: str = "Europe/Berlin",
        charge_uc: float | None = 11_250.0,
        **more: Any,
    ) -> StimulationSession:
        row = StimulationSession(
            id=uuid4(),
            device_id=DEVICE,
            sid=uuid4(),
            account_id=account_id,
            state="ended",
            started_at=started_at.astimezone(UTC),
            ended_at=started_at.astimezone(UTC) + timedelta(minutes=30),
            time_zone=zone,
            time_source="anchored",
            time_error_ms=5,
            frames_stored=1,
            sample_count=0,
            stimulating_s=900.0,
            contact_lost_s=0.0,
            delivered_charge_uc=charge_uc,
            event_count=0,
            boots=[1],
            changed_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for name, value in more.items():
            setattr(row, name, value)
        session.add(row)
        session.flush()
        return row

    return add_session
