"""The kit is tried through the `cymba` command too."""

from tests.ops.conftest import cymba, settings  # noqa: F401 - fixtures
