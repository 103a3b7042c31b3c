"""What docs/how-to/another-array-size.md says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from drivers.board import BoardFileError, load_board

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "how-to" / "board-40x24.toml"


def test_an_array_of_another_size_with_sixteen_adcs_is_a_board_file_alone(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (FILE.parent / "another-array-size.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["crossbar"].board.wiring.n_adcs == 16
    assert names["current"].shape == (40,)
    good = names["result"].failure == 0
    assert good.mean() > 0.98
    error = (names["conductance"] - names["target"])[good]
    # Cells stop within a window of ± 0.83 µS; reads and relaxation add to it.
    assert error.std() < 1.5e-6
    whole = good.all(axis=1)
    np.testing.assert_allclose(names["current"][whole], (names["conductance"] @ names["volts"])[whole], atol=1e-6)


def test_a_channel_beyond_the_eighth_dac_is_refused_by_name(tmp_path):
    text = FILE.read_text()
    lines = [f"bl_dac = {list(range(64))}" if line.startswith("bl_dac") else line for line in text.splitlines()]
    lines = [f"wl_dac = {list(range(64, 128))}" if line.startswith("wl_dac") else line for line in lines]
    (tmp_path / "b.toml").write_text("\n".join(lines))
    with pytest.raises(BoardFileError, match=r"wiring\.wl_dac\.0: .*less than 64"):
        load_board(tmp_path / "b.toml")
