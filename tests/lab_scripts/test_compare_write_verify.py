from __future__ import annotations

import xarray as xr

from calibration import algorithm_comparison


def test_variants_are_compared_and_kept(xbar_json, matrix):
    answer = xbar_json(
        "compare-write-verify", matrix, "--variant", "one pass", "--variant", "predictive", "--out", "c.nc"
    )
    with xr.open_dataset("c.nc") as run:
        assert list(run["variant"].values) == ["one pass", "predictive"]
        assert run["pulses"].sel(variant="predictive").item() == answer["predictive"]["pulses"] > 0
        assert run["board_time_s"].sel(variant="one pass").item() == answer["one pass"]["board_time_s"]


def test_chips_are_compared_each_with_its_own_seed_and_their_spread_is_shown(xbar, xbar_json, matrix):
    args = ("compare-write-verify", matrix, "--variant", "one pass")
    result = xbar(*args, "--seed", 3, "--chips", 2, "--out", "two.nc")
    assert result.exit_code == 0, result.stderr
    assert "seeds 3–4: mean, and in brackets σ from chip to chip" in " ".join(result.stdout.split())
    assert xbar(*args, "--seed", 4, "--out", "one.nc").exit_code == 0
    with xr.open_dataset("two.nc") as two, xr.open_dataset("one.nc") as one:
        assert two["chip"].values.tolist() == [3, 4]
        xr.testing.assert_equal(two.sel(chip=[4]), one)


def test_what_was_compared_until_an_interrupt_is_kept(xbar, matrix, mocker):
    original, left = algorithm_comparison.program, [1]

    def program(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    mocker.patch.object(algorithm_comparison, "program", program)
    result = xbar("compare-write-verify", matrix, "--variant", "one pass", "--chips", 2, "--out", "c.nc")
    assert result.exit_code == 130
    with xr.open_dataset("c.nc.journal/incomplete.nc") as run:
        assert run["pulses"].isel(chip=0).item() > 0
        assert run["pulses"].isel(chip=1).isnull().all()


def test_an_unknown_variant_is_refused_with_the_known_ones_named(xbar):
    result = xbar("compare-write-verify", "--variant", "magic", "--out", "c.nc")
    assert result.exit_code == 2
    assert "--variant magic is unknown; there are: predictive, one confirm, one pass" in result.stderr
