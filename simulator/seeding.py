"""Independent random streams by name: one more draw from one changes nothing in another."""

from hashlib import blake2b
from uuid import UUID

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The generator for `names` under `seed`, the same on every machine."""
    key = "\x1f".join(str(name) for name in (seed, *names)).encode()
    return np.random.default_rng(int.from_bytes(blake2b(key, digest_size=16).digest()))


def uuid4(rng: np.random.Generator) -> UUID:
    return UUID(bytes=rng.bytes(16), version=4)


def chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)
