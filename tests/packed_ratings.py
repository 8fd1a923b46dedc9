"""An entry's ratings as the database packs them, by another way."""

from collections.abc import Mapping
from hashlib import sha256
from struct import pack
from typing import Any


def packed(items: Mapping[str, Any]) -> bytes:
    """In the order of their bytes; the database has them in another."""
    return b"".join(
        sorted(
            sha256(name.encode()).digest()[:2] + pack(">d", value)
            for name, value in items.items()
            if type(value) in {int, float}
        )
    )
