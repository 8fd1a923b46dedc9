"""The kit is tried through the `cymba` command too."""

from tests.ops.conftest import command_runner, cymba, settings  # noqa: F401 - fixtures
