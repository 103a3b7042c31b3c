"""Programming pulses per cell, as the table of codes and widths that the sequencer steps through."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers import dac
from drivers.board import Board
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import Codes
from firmware_bridge.singles import MAX_WIDTH

Array = NDArray[np.float64]


def pulse_table(
    board: Board, amplitude_v: ArrayLike, gate_v: ArrayLike, width_s: ArrayLike, reference_v: float
) -> tuple[Codes, NDArray[np.uint32]]:
    """Codes (entries, chips, channels) of all DACs and widths (entries,) in cycles.

    Arguments as in `Crossbar.apply_pulses`, all relative to source lines at `reference_v`. An entry is one bit line at
    one amplitude and width, with every row that shares it at its own gate voltage; entries come in that order. Raises
    what `Crossbar.apply_pulses` raises.
    """
    amplitude, gate, width = (
        _per_cell(name, values, board.shape)
        for name, values in (("amplitude_v", amplitude_v), ("gate_v", gate_v), ("width_s", width_s))
    )
    cells = ~np.isnan(amplitude)
    for name, values, unit in (("amplitude_v", amplitude, "V"), ("gate_v", gate, "V"), ("width_s", width, "s")):
        if not np.isfinite(values[cells]).all():
            row, column = np.argwhere(cells & ~np.isfinite(values))[0]
            raise LimitError(
                f"{name} of cell (SL {row}, BL {column})", float(values[row, column]), (-np.inf, np.inf), unit
            )
    wiring, span_v = board.wiring, board.dac.span_v
    bl, wl = np.array(wiring.bl_dac), np.array(wiring.wl_dac)
    row, column = np.nonzero(cells)
    keys = np.stack([column, amplitude[cells], width[cells]], axis=1)
    entries, entry = np.unique(keys, axis=0, return_inverse=True)
    entry = entry.reshape(-1)
    lines = np.zeros((len(entries), wiring.n_channels), np.uint16)
    lines[:, bl] = dac.volts_to_code(reference_v, span_v)
    driven = bl[entries[:, 0].astype(int)]
    lines[np.arange(len(entries)), driven] = dac.volts_to_code(entries[:, 1] + reference_v, span_v)
    lines[entry, wl[row]] = dac.volts_to_code(gate[cells] + reference_v, span_v)
    widths = np.array([_width_cycles(board, w) for w in entries[:, 2]], np.uint32)
    return lines.reshape(len(entries), wiring.n_dacs, wiring.dac_channels), widths


def real_numbers(name: str, values: ArrayLike) -> Array:
    """`values` as an array of floats, or a `ProtocolError` that names them."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "c":
            raise TypeError("they are complex")
        return np.asarray(array, float)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"{name} are not an array of real numbers: {error}") from error


def _per_cell(name: str, values: ArrayLike, shape: tuple[int, int]) -> Array:
    array = real_numbers(f"apply_pulses: {name}", values)
    if array.shape not in ((), shape):
        raise ProtocolError(
            f"apply_pulses: {name} has shape {array.shape}; expected {shape}, one per cell, or a scalar"
        )
    return np.broadcast_to(array, shape)


def _width_cycles(board: Board, width_s: float) -> int:
    shortest_s, longest_s = board.timing.period_s, MAX_WIDTH * board.timing.period_s
    if not 0 < width_s <= longest_s:
        raise LimitError("width_s", width_s, (shortest_s, longest_s), "s", source="instruction set")
    return board.timing.cycles(width_s)
