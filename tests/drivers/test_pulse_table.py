"""Tables of pulses: which entries there are, what every line carries in them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.board import load_board
from drivers.pulse_table import pulse_table, real_numbers
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.singles import MAX_WIDTH

BOARD = load_board()
VCM = 32768


def code(volts):
    return round((volts + 2.5) * 65536 / 5)


def cells(**values):
    """(32, 32) NaN, but for cells ``s3_b5``."""
    array = np.full((32, 32), np.nan)
    for name, value in values.items():
        sl, bl = (int(part[1:]) for part in name.split("_"))
        array[sl, bl] = value
    return array


def test_cells_of_a_bit_line_share_an_entry_if_amplitude_and_width_agree():
    amplitude = cells(s3_b5=1.5, s9_b5=1.5, s4_b5=1.25, s3_b2=-1.5, s8_b5=1.5)
    gate = np.arange(32)[:, None] / 32 + np.zeros((32, 32))
    width = np.full((32, 32), 1e-6)
    width[8, 5] = 2e-6
    codes, widths = pulse_table(BOARD, amplitude, gate, width, 2.5)
    lines = codes.reshape(len(codes), -1)
    seen = []
    for entry, cycles in zip(lines, widths, strict=True):
        bl, wl = entry[np.array(BOARD.wiring.bl_dac)], entry[np.array(BOARD.wiring.wl_dac)]
        (driven,) = np.flatnonzero(bl != VCM)
        (rows,) = np.nonzero(wl)
        assert [wl[row] for row in rows] == [code(row / 32) for row in rows]
        seen.append((int(driven), int(bl[driven]), rows.tolist(), int(cycles)))
    assert seen == [
        (2, code(-1.5), [3], 100),
        (5, code(1.25), [4], 100),
        (5, code(1.5), [3, 9], 100),
        (5, code(1.5), [8], 200),
    ]


def test_without_a_cell_there_is_no_entry():
    codes, widths = pulse_table(BOARD, np.nan, 1.2, 1e-6, 2.5)
    assert (codes.shape, widths.shape) == ((0, BOARD.wiring.n_dacs, BOARD.wiring.dac_channels), (0,))


@pytest.mark.parametrize("name", ["amplitude_v", "gate_v", "width_s"])
@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_what_is_not_finite_is_refused_with_its_cell_where_a_cell_is_pulsed(name, wrong):
    given = {"amplitude_v": cells(s3_b5=1.5, s7_b6=1.5), "gate_v": np.full((32, 32), 1.2)}
    given["width_s"] = np.full((32, 32), 1e-6)
    if name != "amplitude_v":
        given[name][0, 0] = wrong  # a cell that is not pulsed
        pulse_table(BOARD, **given, reference_v=2.5)
    given[name][7, 6] = wrong
    if name == "amplitude_v" and np.isnan(wrong):
        assert len(pulse_table(BOARD, **given, reference_v=2.5)[0]) == 1
        return
    with pytest.raises(LimitError) as refusal:
        pulse_table(BOARD, **given, reference_v=2.5)
    assert refusal.value.parameter == f"{name} of cell (SL 7, BL 6)"


def test_a_width_is_of_one_cycle_or_more_and_fits_its_register():
    period_s = BOARD.timing.period_s
    for cycles in (1, MAX_WIDTH):
        assert pulse_table(BOARD, 1.5, 1.2, cycles * period_s, 2.5)[1].tolist() == [cycles] * 32
    for width_s in (0.0, -1e-6, (MAX_WIDTH + 1) * period_s):
        with pytest.raises(LimitError) as refusal:
            pulse_table(BOARD, 1.5, 1.2, width_s, 2.5)
        assert refusal.value.limit == (period_s, MAX_WIDTH * period_s)


@pytest.mark.parametrize("values", [["a"], 1j, [[1.0], [1.0, 2.0]]])
def test_what_are_no_real_numbers_is_refused(values):
    with pytest.raises(ProtocolError, match="inputs are not an array of real numbers"):
        real_numbers("inputs", values)
    with pytest.raises(ProtocolError, match="gate_v are not an array of real numbers"):
        pulse_table(BOARD, 1.5, values, 1e-6, 2.5)


@pytest.mark.parametrize("shape", [(1,), (32,), (32, 31), (1, 32, 32)])
def test_values_are_one_for_all_or_one_for_each_cell(shape):
    with pytest.raises(ProtocolError, match=r"width_s has shape .* expected"):
        pulse_table(BOARD, 1.5, 1.2, np.full(shape, 1e-6), 2.5)
