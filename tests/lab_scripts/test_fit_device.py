from __future__ import annotations

import pytest

from drivers.connect import load_mock

OTHER = """
[array]
telegraph = "off"
[array.transistor]
v_th_v = 0.62
[array.switching]
set_slope_s_per_v = 125e-6
[array.spread]
set_slope_rel = 0.05
v_th_v = 0.02
[array.cycle]
set_granularity_s = 0.6e-6
[array.relaxation]
mean_s = -0.04e-6
sigma_s = 0.05e-6
"""


def test_another_device_is_found_again_within_the_uncertainties_that_are_stated(xbar_json, xbar, tmp_path):
    (tmp_path / "other.toml").write_text(OTHER)
    other = ("--mock", "other.toml", "--seed", 3)
    xbar_json("characterise", "set-curve", *other, "--points", 6, "--shots", 10, "--out", "set.nc")
    xbar_json(
        "characterise", "retention", *other, "--cells", 60, "--duration-s", 1000, "--per-decade", 8, "--out", "wait.nc"
    )
    answer = xbar_json("fit-device", "set.nc", "wait.nc", "--out", "mine.toml")
    truth, mine = (load_mock(tmp_path / name).model_dump() for name in ("other.toml", "mine.toml"))
    assert len(answer["parameters"]) == 7
    for name, found in answer["parameters"].items():
        there, written = truth, mine
        for part in name.split("."):
            there, written = there[part], written[part]
        # Seven parameters at four standard uncertainties, and half a per cent for a board that is not calibrated.
        assert found["value"] == pytest.approx(there, abs=4 * found["u"] + 0.005 * abs(there)), name
        assert written == pytest.approx(found["value"], rel=1e-5)
        assert found["u"] < 0.3 * abs(there)
    assert xbar("program", "AI4S", "--mock", "mine.toml", "--out", "run.nc").exit_code == 0
    again = xbar("fit-device", "set.nc", "set.nc", "--out", "twice.toml")
    assert again.exit_code == 2
    assert "give one of each kind" in again.stderr


def test_too_few_shots_for_a_spread_are_refused_with_how_many_are_needed(xbar, xbar_json):
    xbar_json("characterise", "set-curve", "--points", 3, "--shots", 2, "--columns", 1, "--out", "set.nc")
    result = xbar("fit-device", "set.nc", "--out", "mine.toml")
    assert result.exit_code == 2
    assert "shots: 2, fewer than the 5" in result.stderr


def test_a_run_of_something_else_is_refused(xbar, xbar_json):
    xbar_json("program", "AI4S", "--out", "run.nc")
    result = xbar("fit-device", "run.nc", "--out", "mine.toml")
    assert result.exit_code == 2
    assert "give set-curve and retention" in result.stderr
