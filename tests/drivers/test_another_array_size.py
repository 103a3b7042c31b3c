"""The board files of docs/how-to; what its pages print is held by tests/test_documented_commands.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivers.board import BoardFileError, load_board
from drivers.connect import open_crossbar

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.mark.parametrize(("file", "shape"), [("board-40x24.toml", (40, 24)), ("board-64x64.toml", (64, 64))])
def test_another_array_size_with_sixteen_adcs_is_a_board_file_alone(file, shape):
    with open_crossbar("mock", board=HOW_TO / file, seed=1) as crossbar:
        conductance = crossbar.read_conductance(repeats=4)
        volts = np.linspace(-0.1, 0.1, shape[1])
        current = crossbar.mvm(np.tile(volts, (64, 1))).mean(axis=0)
    assert crossbar.shape == conductance.shape == shape
    assert crossbar.board.wiring.n_adcs == 16
    # 64 conversions of half a code's noise and more, of 0.03 µA and 0.06 µA; offsets and reads have the same.
    np.testing.assert_allclose(current, conductance @ volts, atol=0.3e-6)


def test_a_channel_beyond_the_eighth_dac_is_refused_by_name(tmp_path):
    text = (HOW_TO / "board-40x24.toml").read_text()
    lines = [f"bl_dac = {list(range(64))}" if line.startswith("bl_dac") else line for line in text.splitlines()]
    lines = [f"wl_dac = {list(range(64, 104))}" if line.startswith("wl_dac") else line for line in lines]
    (tmp_path / "b.toml").write_text("\n".join(lines))
    with pytest.raises(BoardFileError, match=r"wl_dac has DAC channel 103; 8 DACs of 8 channels .* have 0 … 63"):
        load_board(tmp_path / "b.toml")
