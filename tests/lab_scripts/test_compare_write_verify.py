from __future__ import annotations

import xarray as xr


def test_variants_are_compared_and_kept(xbar_json, matrix):
    answer = xbar_json(
        "compare-write-verify", matrix, "--variant", "one pass", "--variant", "predictive", "--out", "c.nc"
    )
    with xr.open_dataset("c.nc") as run:
        assert list(run["variant"].values) == ["one pass", "predictive"]
        assert float(run["pulses"].sel(variant="predictive")) == answer["predictive"]["pulses"] > 0
        assert float(run["board_time_s"].sel(variant="one pass")) == answer["one pass"]["board_time_s"]


def test_an_unknown_variant_is_refused_with_the_known_ones_named(xbar):
    result = xbar("compare-write-verify", "--variant", "magic", "--out", "c.nc")
    assert result.exit_code == 2
    assert "--variant magic is unknown; there are: predictive, one confirm, one pass" in result.stderr
