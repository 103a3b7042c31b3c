from __future__ import annotations

import xarray as xr

from anf.training.loop import TrainingConfig


def test_what_stuck_cells_cost_is_won_back_by_a_small_share_of_the_weights(xbar_json, mocker):
    study = "anf.studies.recovery"
    for name, value in (
        ("CHIPS", 1), ("PROPOSALS", 1024), ("SIGMAS_S", (0.54e-6,)), ("TIMES_S", (0.0, 1e6)),
        ("TRAINING", TrainingConfig(steps=40, batch=128, learning_rate=1e-2)),
    ):  # fmt: skip
        mocker.patch(f"{study}.{name}", value)
    numbers = {n["name"]: n for n in xbar_json("figure", "recovery", "--out", "r.pdf")["numbers"]}
    assert numbers["trained, of all weights"]["met"]
    before, after = (numbers[f"σ = 0.54 µS, {stage}: ESS"]["value"] for stage in ("as programmed", "adapted"))
    digital = numbers["ESS, digital layers"]["value"]
    assert before < 0.6 * digital
    assert after > 0.85 * digital
    won = numbers["σ = 0.54 µS, of the loss won back"]["value"]
    assert won == 1 - (digital - after) / (digital - before)
    with xr.open_dataset("r.nc") as run:
        # What was adapted at once is measured at once with other noise, else it is the same flow.
        assert abs(float(run["ess_later"][0, 0, 0] - run["ess_later"][0, 0, 1])) < 0.03
