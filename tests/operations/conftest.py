"""An operator sees what bridges, workers and people have written."""

from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.devices.tables import Device
from tests.stimulation.conftest import account_id  # noqa: F401 - a fixture


@pytest.fixture
def device(session: Session, account_id: UUID) -> str:  # noqa: ARG001, F811 - who holds it
    return session.scalars(select(Device.id)).one()
