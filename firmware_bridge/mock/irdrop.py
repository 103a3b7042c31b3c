"""Exact IR drop: the transfer matrix of a resistor network of cells and line segments.

The circuit is linear at read voltages, so one elimination per conductance matrix answers every input vector:
``I_sl = transfer @ v_bl`` with all source lines ending in virtual grounds. Rows whose word line is off carry no current
and drop out; their stretches of bit line add up, which keeps a one-row read small and exact.

Geometry: bit line j is driven at the row-0 edge through ``bl_source_ohm`` and one segment to row 0, then one segment
from row to row. Source line i leaves at the column-0 edge: one segment from column to column, one from column 0 to the
edge, then ``sl_series_ohm`` to the virtual ground.

The rows hang on the bit lines like rungs on a ladder, so the network is eliminated rung by rung with dense (n_bl, n_bl)
blocks. Written with resistances it needs no division by them: any of them may be zero. At 32×32 this takes a quarter of
the time of a sparse LU of the same network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firmware_bridge.mock.array_params import WireParams


@dataclass(frozen=True, eq=False)
class Wires:
    """Resistances of one chip's lines, Ω: of each bit line's driver (n_bl,) and each source line's end (n_sl,), and of
    the segments."""

    bl_source_ohm: np.ndarray
    bl_segment_ohm: float
    sl_segment_ohm: float
    sl_series_ohm: np.ndarray

    @classmethod
    def draw(cls, params: WireParams | None, n_sl: int, n_bl: int, rng: np.random.Generator) -> Wires:
        """Those of a chip; `params` None: no resistance."""
        params = params or WireParams.none()
        normal = np.clip(rng.standard_normal(n_bl + n_sl + 2), -3, 3)
        line, segment = params.line_spread * normal[:-2], params.segment_spread * normal[-2:]
        return cls(
            params.bl_source_ohm * np.maximum(1 + line[:n_bl], 0),
            params.bl_segment_ohm * max(1 + float(segment[0]), 0),
            params.sl_segment_ohm * max(1 + float(segment[1]), 0),
            params.sl_series_ohm * np.maximum(1 + line[n_bl:], 0),
        )

    @property
    def drop_nothing(self) -> bool:
        """Whether the lines have no resistance at all."""
        return not (self.bl_source_ohm.any() or self.bl_segment_ohm or self.sl_segment_ohm or self.sl_series_ohm.any())


def shared_segments_ohm(taps: int, segment_ohm: float) -> np.ndarray:
    """Resistance of segments that the currents of two taps of one line have in common, (taps, taps) Ω.

    Tap 0 is one segment from the line's connected edge. The voltage lost at tap a is Σ_b R[a, b]·I_b.
    """
    position = np.arange(1, taps + 1)
    return segment_ohm * np.minimum(position[:, None], position[None, :])


def transfer_matrix(g_s: np.ndarray, rows: np.ndarray, wires: Wires) -> np.ndarray:
    """Transfer matrix (k, n_bl) S of the rows `rows` (k,), ascending, with cell conductances `g_s` (k, n_bl) S.

    With Y_i the admittance matrix that row i and all rows beyond it present to the bit lines at row i, and r_i the
    resistance of each bit line's stretch that leads to row i, a diagonal matrix:

    * a source line alone: ``I = g∘(v - R I)``, R the shared paths, so row i is the admittance ``S_i = (1 + gR)⁻¹ g``;
    * outwards in: ``Y_i = S_i + Y_{i+1} (1 + r_{i+1} Y_{i+1})⁻¹``;
    * back out: ``v_i = (1 + r_i Y_i)⁻¹ v_{i-1}`` from the drivers, and the current of row i is ``1ᵀ S_i v_i``.
    """
    k, n_bl = g_s.shape
    one = np.eye(n_bl)
    shared = shared_segments_ohm(n_bl, wires.sl_segment_ohm) + wires.sl_series_ohm[rows][:, None, None]
    row_s = np.linalg.solve(one + g_s[:, :, None] * shared, g_s[:, :, None] * one)
    stretch_ohm = np.tile(np.diff(rows, prepend=-1)[:, None] * wires.bl_segment_ohm, n_bl)
    stretch_ohm[0] += wires.bl_source_ohm

    through = np.empty_like(row_s)
    beyond = np.zeros((n_bl, n_bl))
    for i in range(k - 1, -1, -1):
        beyond = beyond + row_s[i]
        through[i] = np.linalg.inv(one + stretch_ohm[i][:, None] * beyond)
        beyond = beyond @ through[i]
    collected = row_s.sum(axis=1)
    transfer = np.empty((k, n_bl))
    v = one
    for i in range(k):
        v = through[i] @ v
        transfer[i] = collected[i] @ v
    return transfer
