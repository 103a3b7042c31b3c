"""ADS8324 (TI SBAS172): 14-bit, 50 kS/s, differential, two's complement."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import Words

CODE_MIN, CODE_MAX = -8192, 8191


def lsb_v(vref_v: float) -> float:
    """One code, V: 2 · VREF / 2¹⁴."""
    return 2 * vref_v / 16384


def code_to_volts(code: ArrayLike, vref_v: float) -> NDArray[np.float64]:
    """Nominal differential input of a code, V, same shape."""
    return np.asarray(code) * lsb_v(vref_v)


def unpack(words: Words, n_adcs: int) -> NDArray[np.int16]:
    """Codes (conversions, ADCs) from result words, two codes to a word. Raises `ProtocolError` for codes wider than 14 bits."""
    per = (n_adcs + 1) // 2
    codes = words.view(np.int16).reshape(-1, 2 * per)[:, :n_adcs]
    if codes.size and (codes.min() < CODE_MIN or codes.max() > CODE_MAX):
        raise ProtocolError("ADS8324: a result has more than 14 bits; check DCLOCK and DOUT")
    return codes


def refuse_saturated(codes: NDArray[np.int16], line: NDArray[np.intp], full_scale_a: float) -> None:
    """Raise `LimitError` if a code (…, outputs) sits at an end of the range; `line` (outputs,) names the source lines."""
    if codes.size and (codes.min() == CODE_MIN or codes.max() == CODE_MAX):
        hit = (codes == CODE_MIN) | (codes == CODE_MAX)
        lines = line[np.flatnonzero(hit.reshape(-1, codes.shape[-1]).any(axis=0))]
        raise LimitError(
            f"current of source line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:8]))}{' …' * (len(lines) > 8)}",
            full_scale_a * (1 + 1e-3),
            full_scale_a,
            "A",
            source=f"ADC range over Rf; {int(hit.sum())} conversions clipped",
            advice="lower the input voltages, or find the cell that conducts too much",
        )
