"""The bridge's world, for drills too."""

from tests.mqtt_bridge.conftest import broker, devices  # noqa: F401 - fixtures
