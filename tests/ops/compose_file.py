"""docker-compose.yml as compose reads it."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import yaml

from tests.end_to_end.parts import ROOT

SECRETS = {
    "POSTGRES_PASSWORD": "postgres-secret",
    "SERVICE_DATABASE_PASSWORD": "service-secret",
    "CYMBA_SECRET_KEY": "s" * 48,
    "BRIDGE_PASSWORD": "bridge-secret",
    "HEALTH_PASSWORD": "health-secret",
}
BRIDGES = ["bridge-0", "bridge-1"]
WORKERS = ["seal", "insights", "imports", "mail", "watch"]


def interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    """`${NAME:?…}`, `${NAME:-default}` and `$$`."""
    if isinstance(value, dict):
        return {key: interpolated(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, environ) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, _, rest = match[1].partition(":")
        if environ.get(name):
            return environ[name]
        assert rest.startswith("-"), f"{name} is not set"
        return rest.removeprefix("-")

    return re.sub(r"\$\$|\$\{([^}]*)\}", replace, value)


RAW: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def services(environ: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """By the variables of `.env` that are given besides the secrets."""
    found: dict[str, Any] = interpolated(RAW["services"], {**SECRETS, **environ})
    return found


SERVICES = services()
