"""ADS8324 (TI SBAS172): 14-bit, 50 kS/s, differential, two's complement."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import Words, conversion_words

CODE_MIN, CODE_MAX = -8192, 8191


def lsb_v(vref_v: float) -> float:
    """One code, V: 2 · VREF / 2¹⁴."""
    return 2 * vref_v / 16384


def code_to_volts(code: ArrayLike, vref_v: float) -> NDArray[np.float64]:
    """Nominal differential input of a code, V, same shape."""
    return np.asarray(code) * lsb_v(vref_v)


def unpack(words: Words, n_adcs: int) -> NDArray[np.int16]:
    """Codes (conversions, ADCs) from result words. Raises `ProtocolError` for a fraction of a conversion."""
    per = conversion_words((1 << n_adcs) - 1)
    if words.size % per:
        raise ProtocolError(
            f"ADS8324: {words.size} result words are not whole conversions of {n_adcs} ADCs, {per} words each"
        )
    return words.view(np.int16).reshape(-1, 2 * per)[:, :n_adcs]


def refuse_clipped(codes: NDArray[np.int16], line: NDArray[np.intp], full_scale_a: float) -> None:
    """Raise `LimitError` if a code (n, outputs) sits at an end of the range, where the current is unknown.

    `line` (outputs,) names the source lines, `full_scale_a` is the current of the largest code, A. Raises
    `ProtocolError` for a code of more than 14 bits.
    """
    if not codes.size:
        return
    low, high = extremes(codes)
    if low < CODE_MIN or high > CODE_MAX:
        raise ProtocolError(
            f"ADS8324: code {low if low < CODE_MIN else high} has more than 14 bits; check DCLOCK and DOUT"
        )
    if low == CODE_MIN or high == CODE_MAX:
        hit = (codes == CODE_MIN) | (codes == CODE_MAX)
        lines = line[np.flatnonzero(hit.any(axis=0))]
        named = ", ".join(map(str, lines[:8])) + " …" * (len(lines) > 8)
        raise LimitError(
            f"ADC code of source line{'s' * (len(lines) > 1)} {named}",
            CODE_MAX if high == CODE_MAX else CODE_MIN,
            (CODE_MIN + 1, CODE_MAX - 1),
            source=f"ADS8324 range, ±{full_scale_a * 1e6:.0f} µA over Rf; {int(hit.sum())} conversions clipped",
            advice="lower the input voltages, or find the cell that conducts too much",
        )
