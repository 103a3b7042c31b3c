"""Panels of Figs 3 and 4 that are sampled, at a size that takes seconds."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from anf.flows.checkpoint import WEIGHTS
from anf.lattice.actions import Graphene, Phi4
from anf.samplers import checks
from anf.samplers.ensembles import HmcPlan, run_hmc
from anf.studies import graphene, phi4, samplers
from lab_scripts.panels.sampled import SAMPLED

SMALL = {
    phi4: {
        "SIDES": (4,), "LAMBDAS": (5.0, 5.5), "_DRAWS": {4: 150}, "_PROPOSALS": {4: 4096},
        "ERROR_SIDES": (4,), "COUNTS": (50, 200), "REPEATS": 4,
    },
    graphene: {
        "SIDES": (6,), "GAP_US": (0.0, 0.1), "TIMES": (4, 6), "SPACE": 6, "CONDENSATE_US": (0.0, 0.5),
        "_DRAWS": {6: 400}, "_PROPOSALS": {6: 2048},
    },
    checks: {"CASES": (("phi4", 4),)},
    samplers: {"PAPER_SIDES": (4,), "_DRAWS": {4: 1500, 6: 100}, "PROPOSALS": {4: 8192, 6: 0}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for module, constants in SMALL.items():
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)


def figure(label):
    return "figure", label, "--runs", "kept", "--seed", 3


@pytest.mark.parametrize("label", [panel.label for panel, _ in SAMPLED if panel.label])
def test_a_panel_leaves_a_run_a_picture_and_numbers_and_samples_once(xbar, xbar_json, tmp_path, label):
    first = xbar(*figure(label), "--out", "a.pdf", "--json")
    assert first.exit_code in (0, 1), first.stderr
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    again = xbar(*figure(label), "--out", "b.pdf", "--json")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == kept
    assert first.stdout.split('"numbers"')[1] == again.stdout.split('"numbers"')[1]
    drawn = xbar("figure", label, "--from", "a.nc", "--out", "c.svg", "--json")
    assert drawn.stdout.split('"numbers"')[1] == first.stdout.split('"numbers"')[1]
    with Image.open("a.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10


def test_the_claims_on_autocorrelation_stand_beside_all_samplers(xbar_json):
    numbers = {n["name"]: n for n in xbar_json(*figure("3b"), "--out", "a.pdf")["numbers"]}
    case = "phi4 4×4, λ = 5"
    assert numbers[f"{case}, HMC: τ_int of M"]["bar"] == "paper 9.9"
    assert numbers[f"{case}, flow + MH: τ_int of M"]["bar"] == "paper 2.1"
    for sampler in ("HMC + symmetry", "HMC, Fourier", "HMC + cluster", "HMC, even half"):
        assert 0.3 < numbers[f"{case}, {sampler}: τ_int of M"]["value"] < 0.7
        for name in ("M", "|M|", "M²", "S"):
            assert numbers[f"{case}, {sampler}: τ_int of {name}"]["value"] > 0.4
        assert numbers[f"{case}, {sampler}: independent |M|"]["value"] > 0
    ratio = numbers[f"{case}: τ_int of M, HMC over flow"]
    assert ratio["bar"] == "paper 4.7"
    assert ratio["value"] > 1


def test_all_samplers_of_all_lattices_in_one_table(xbar_json):
    numbers = {n["name"]: n["value"] for n in xbar_json(*figure("samplers"), "--out", "a.pdf")["numbers"]}
    rate = {s: numbers[f"phi4 4×4, λ = 5.5, {s}: independent S"] for s in samplers.SAMPLERS}
    assert all(value > 0 for value in rate.values())
    paid = numbers["phi4 4×4, λ = 5.5: training paid for after independent S"]
    assert (paid is None) == (rate[samplers.FLOW] < max(rate.values()))


def test_a_lattice_without_a_flow_is_named_and_shows_hmc_alone(xbar):
    shipped_elsewhere = next(WEIGHTS.glob("phi4_L4*.safetensors"))
    result = xbar(*figure("4c"), "--flow", shipped_elsewhere, "--out", "a.pdf")
    assert result.exit_code == 0, result.stderr
    assert "L = 6: no flow is shipped" in result.stdout
    missing = xbar(*figure("4c"), "--flow", "none.safetensors", "--out", "b.pdf")
    assert missing.exit_code == 4


def test_hmc_of_the_free_wire_has_the_gap_and_the_condensate_of_the_closed_form(xbar_json):
    gaps = {n["name"]: n for n in xbar_json(*figure("4d"), "--out", "a.pdf")["numbers"]}
    assert abs(gaps["L = 6: gap at u = 0 against 2 asinh(g/2√π)"]["value"]) < 3
    with xr.open_dataset("a.nc") as run:
        assert run["gap"].dims == ("L", "u", "sampler")
        assert float(run["gap"].sel(L=6, u=0.1, sampler="HMC")) > run.attrs["free_gap"]
    condensate = {n["name"]: n for n in xbar_json(*figure("4e"), "--out", "b.pdf")["numbers"]}
    assert condensate["u = 0: HMC against the closed form, worst T"]["met"]


def test_rates_of_chains_that_are_not_converged_are_not_given():
    class Direct:
        def hmc(self, action, plan):
            return run_hmc(action, HmcPlan(plan.chains, 100, 1, thermalisation=100, moves=plan.moves))

        def flow(self, *arguments, **options):
            return None

    run = samplers.compare([Graphene(0.2, 0.5, (6, 6)), Phi4(-4.0, 5.5, (4, 4))], Direct(), 1)
    frozen = run.isel(case=0)
    assert not int(frozen["converged"].sel(sampler=samplers.HMC))
    assert "R-hat" in str(frozen["problems"].sel(sampler=samplers.HMC).item())
    rates = samplers.rates(run)
    assert np.isnan(rates.isel(case=0).sel(sampler=samplers.HMC)).all()
    assert np.isnan(rates.sel(sampler=samplers.FLOW)).all()
    assert np.isnan(samplers.break_even(run, "S")).all()


def test_training_pays_only_where_the_flow_is_faster():
    coords = {"case": ["slow", "fast"], "sampler": [samplers.HMC, samplers.FLOW], "observable": ["S"]}
    run = xr.Dataset(
        {
            "tau_int": (("case", "sampler", "observable"), [[[5.0], [1.0]], [[0.5], [1.0]]]),
            "cpu_s": (("case", "sampler"), [[1e-3, 1e-3], [1e-3, 1e-3]]),
            "training_s": (("case", "sampler"), [[np.nan, 80.0], [np.nan, 80.0]]),
            "converged": (("case", "sampler"), [[1, 1], [1, 1]]),
        },
        coords=coords,
    )
    # An independent value costs 10 ms by HMC and 2 ms by the flow: 80 s are regained after 10 000.
    assert samplers.break_even(run, "S").to_numpy() == pytest.approx([10_000.0, np.inf])
