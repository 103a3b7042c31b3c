"""State of a random generator as a plain array, so that it can be kept in a file."""

from __future__ import annotations

import numpy as np

_LOW = (1 << 64) - 1


def pack(rng: np.random.Generator) -> np.ndarray:
    """State of a PCG64 generator as (6,) uint64: two 128-bit numbers, low word first, and the half-used word."""
    state = rng.bit_generator.state
    words = [w for big in (state["state"]["state"], state["state"]["inc"]) for w in (big & _LOW, big >> 64)]
    return np.array([*words, state["has_uint32"], state["uinteger"]], dtype=np.uint64)


def unpack(rng: np.random.Generator, packed: np.ndarray) -> None:
    """Put a PCG64 generator into the state that `pack` returned."""
    w = [int(x) for x in packed]
    rng.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": w[0] | w[1] << 64, "inc": w[2] | w[3] << 64},
        "has_uint32": w[4],
        "uinteger": w[5],
    }
