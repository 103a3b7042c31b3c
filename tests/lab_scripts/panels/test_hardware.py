from __future__ import annotations

import xarray as xr


def test_a_lattice_is_compared_on_hardware_in_software_and_with_hmc(xbar_json, mocker, tmp_path):
    sizes = {"phi4": ({"m2": -4.0, "lam": 5.5}, ((4, 256, 2),)), "graphene": ({}, ())}
    mocker.patch("lab_scripts.panels.hardware.LATTICES", sizes)
    numbers = {n["name"]: n for n in xbar_json("figure", "3f", "--out", "f.pdf")["numbers"]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.nc", "f.pdf", "f.png"]
    ratio = numbers["L = 4, ESS, hardware"]["value"] / numbers["L = 4, ESS, software"]["value"]
    assert numbers["L = 4, ESS, hardware over software"]["value"] == ratio >= 0.9
    assert numbers["L = 4, ESS, hardware over software"]["bar"] == "≥ 0.9"
    assert all(numbers[f"L = 4, {name} on hardware − exact"]["met"] for name in ("virial", "zero_mode"))
    assert numbers["L = 4, a proposal as executed, in the cells"]["value"] > 0
    with xr.open_dataset("f.nc") as run:
        assert run["arrays"].to_numpy().tolist() == [1]
        assert run["on_boards"].all()
        assert (run["board_time_s"] > 0).all()
        assert set(run["source"].to_numpy()) == {"hardware", "software", "hmc"}


def test_identities_are_held_against_simulated_arrays_with_all_their_errors(xbar_json, mocker):
    sizes = {"phi4": ({}, ()), "graphene": ({"g": 1.0, "u": 0.5}, ((6, 1024, 0), (12, 256, 0)))}
    mocker.patch("lab_scripts.panels.hardware.LATTICES", sizes)
    mocker.patch("lab_scripts.panels.hardware.LARGEST", 0)
    numbers = {n["name"]: n for n in xbar_json("figure", "4f", "--out", "f.pdf")["numbers"]}
    for side in (6, 12):
        for name in ("virial", "zero_mode", "tadpole"):
            assert numbers[f"L = {side}, {name} on hardware − exact"]["met"]
        assert 0.5 < numbers[f"L = {side}, ESS, hardware"]["value"] < 1
    with xr.open_dataset("f.nc") as run:
        assert not run["on_boards"].any()
        assert (run["patched"] > 0).any()
        assert run["arrays"].to_numpy().tolist() == [1, 12]
