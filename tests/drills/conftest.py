"""The bridge's world and the API's, for drills too."""

from tests.mqtt_bridge.conftest import broker, devices  # noqa: F401 - fixtures
from tests.service.conftest import (  # noqa: F401 - fixtures
    app,
    client,
    document,
    make_person,
    person,
    settings,
)
