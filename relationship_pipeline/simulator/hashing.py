"""Deterministic chance: every decision of the tenant is a hash of the seed and of what is decided about.

Nothing here depends on the order of calls, so one page of one mailbox can be made without making any other.
"""

from __future__ import annotations

import hashlib
import math
import random
import uuid

MASK = 0xFFFF_FFFF_FFFF_FFFF
_LARGE_MEAN = 30.0


def seed_of(*parts: object) -> int:
    """A 64-bit seed from any printable parts; equal parts give equal seeds on every machine and Python version."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def mix(value: int) -> int:
    """Scramble 64 bits (the finalizer of SplitMix64): cheap enough for one call per message copy."""
    value = (value + 0x9E37_79B9_7F4A_7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D0_49BB_1331_11EB) & MASK
    return value ^ (value >> 31)


def unit(value: int) -> float:
    """A number in [0, 1) from the upper 53 of 64 bits."""
    return (value >> 11) / 9007199254740992.0


def guid(*parts: object) -> str:
    """A GUID in lower case with dashes, the same for the same parts."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


def stream_of_chance(seed: int) -> random.Random:
    """A generator for many draws about one thing."""
    return random.Random(seed)  # noqa: S311 - simulated data, not a secret


def poisson(rng: random.Random, mean: float) -> int:
    """A count with this mean: exact below 30, by the normal curve above."""
    if mean <= 0:
        return 0
    if mean > _LARGE_MEAN:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
