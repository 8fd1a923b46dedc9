"""Workers are tried on what the bridge stores, so they share its recordings."""

from tests.stimulation.conftest import (  # noqa: F401 - fixtures
    account_id,
    booted_at,
    clocks,
    clocks_of,
    deliver,
    delivered_at,
    device,
    exchange,
    person,
    programme,
    tape,
)
