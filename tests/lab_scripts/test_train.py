from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anf.flows.checkpoint import load_flow, read_record, read_tensors
from anf.training import loop as training
from anf.training import recipes

SMALL = (
    "--flow",
    "mixer",
    "--L",
    2,
    "--couplings",
    2,
    "--channels",
    2,
    "--hidden",
    2,
    "--batch",
    128,
    "--evaluate",
    200,
)


def test_training_writes_a_flow_with_its_command_and_the_ess_that_was_measured(xbar_json):
    answer = xbar_json("train", *SMALL, "--steps", 30, "--lam", 5.5, "--out", "f.safetensors")
    record = read_record("f.safetensors")
    assert record.parameters == {"m2": -4.0, "lam": 5.5}
    assert record.command.startswith("xbar train --flow mixer --L 2")
    assert record.ess == answer["ess"]
    assert 0 < record.ess <= 1


def test_an_interrupted_training_resumes_to_the_bits_of_an_uninterrupted_one(xbar, xbar_json, mocker):
    recipe, step = recipes.mixer_training, training._Run._one_step
    often = {"report_every": 10, "checkpoint_every": 10}
    mocker.patch.object(recipes, "mixer_training", lambda *a, **k: recipe(*a, **k).model_copy(update=often))
    xbar_json("train", *SMALL, "--steps", 40, "--out", "whole.safetensors")

    def interrupted(run):
        if run.step == 25:
            raise KeyboardInterrupt
        return step(run)

    patch = mocker.patch.object(training._Run, "_one_step", interrupted)
    result = xbar("train", *SMALL, "--steps", 40, "--out", "cut.safetensors")
    assert result.exit_code == 130
    assert sorted(path.name for path in Path().iterdir()) == ["cut.safetensors.journal", "whole.safetensors"]
    assert "xbar resume cut.safetensors" in result.stderr
    mocker.stop(patch)
    assert "a run that did not end" in xbar("train", *SMALL, "--steps", 40, "--out", "cut.safetensors").stderr
    assert xbar("resume", "cut.safetensors").exit_code == 0
    assert sorted(path.name for path in Path().iterdir()) == ["cut.safetensors", "whole.safetensors"]
    whole, cut = (read_tensors(Path(f"{name}.safetensors"))[0] for name in ("whole", "cut"))
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


def test_fine_tuning_writes_an_adapter_with_its_base_beside_it(xbar_json, flows, tmp_path):
    answer = xbar_json(
        "finetune", "--L", 2, "--lam", 6, "--flow", flows[0], "--steps", 10, "--batch", 256, "--evaluate", 200,
        "--out", "six.safetensors",
    )  # fmt: skip
    flow, record = load_flow("six.safetensors")
    base, base_record = load_flow(tmp_path / "base.safetensors")
    assert answer["base"] == "base.safetensors"
    assert record.kind == "adapter"
    assert record.base_digest == base_record.base_digest
    assert flow.base_layers().keys() == base.base_layers().keys()
    assert record.lora_ranks


def test_fine_tuning_resumes_to_the_bits_of_an_uninterrupted_one(xbar, xbar_json, flows, mocker):
    recipe, step = recipes.adapter_training, training._Run._one_step
    often = {"report_every": 5, "checkpoint_every": 5}
    mocker.patch.object(recipes, "adapter_training", lambda *a, **k: recipe(*a, **k).model_copy(update=often))
    words = ("finetune", "--L", 2, "--lam", 6, "--flow", flows[0], "--steps", 12, "--batch", 64, "--evaluate", 200)
    xbar_json(*words, "--out", "whole.safetensors")

    def interrupted(run):
        if run.step == 7:
            raise KeyboardInterrupt
        return step(run)

    patch = mocker.patch.object(training._Run, "_one_step", interrupted)
    assert xbar(*words, "--out", "cut.safetensors").exit_code == 130
    mocker.stop(patch)
    assert xbar("resume", "cut.safetensors").exit_code == 0
    whole, cut = (read_tensors(Path(f"{name}.safetensors"))[0] for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


def test_fine_tuning_trains_what_it_was_told_to_and_says_how_much_of_the_weights_that_is(xbar_json, xbar, flows):
    common = ("finetune", "--L", 2, "--flow", flows[0], "--steps", 5, "--batch", 64, "--evaluate", 200)
    answer = xbar_json(*common, "--train", "lora", "--out", "lora.safetensors")
    parameters = read_record("lora.safetensors").summary["parameters"]
    assert answer["trained"] == parameters["lora"] > 0
    assert answer["share"] == answer["trained"] / sum(parameters.values())
    result = xbar(*common, "--train", "weights", "--out", "w.safetensors")
    assert (result.exit_code, "lora, bias, time, site, base" in result.stderr) == (2, True), result.stderr


def test_a_mixer_starts_from_a_smaller_lattice_and_refuses_a_larger_one_or_other_sizes(xbar_json, xbar):
    common = ("train", "--flow", "mixer", "--batch", 64, "--evaluate", 2000, "--lam", 6)
    sizes = ("--channels", 4, "--hidden", 4, "--couplings", 4)
    small = xbar_json(*common, *sizes, "--L", 6, "--steps", 2, "--out", "six.safetensors")
    assert small["parameters"]["base"] == 6  # momenta of the even half that no symmetry connects
    start = ("--start", "six.safetensors", "--steps", 1)
    large = xbar_json(*common, "--L", 8, *start, "--out", "eight.safetensors")
    architectures = [read_record(f"{name}.safetensors").architecture for name in ("six", "eight")]
    assert architectures[1] == architectures[0].model_copy(update={"shape": (8, 8)})
    assert large["steps"] == 1
    for args, message in (
        ((*start, "--L", 4), "(6, 6) does not fit into (4, 4)"),
        ((*start, "--L", 8, "--channels", 8), "'channels': 8"),
    ):
        result = xbar(*common, *args, "--out", "no.safetensors")
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_fine_tuning_never_replaces_another_base_of_the_same_name(xbar, flows, tmp_path):
    assert xbar("train", *SMALL, "--steps", 5, "--out", "base.safetensors").exit_code == 0
    before = (tmp_path / "base.safetensors").read_bytes()
    result = xbar("finetune", "--L", 2, "--flow", flows[0], "--steps", 5, "--out", "six.safetensors")
    assert result.exit_code == 4
    assert "is another flow than the base" in result.stderr
    assert (tmp_path / "base.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--learning-rate", -1), "learning_rate = -1.0: input should be greater than 0"),
        (("--patch", 3), "patch = 3: must be even"),
        (("--L", 3), "Lx = 3"),
        (("--L", 6, "--patch", 4), "Lx = 6: must be a positive multiple of patch = 4"),
        (("--lam", 0), "lam = 0 with m2 = -4"),
        (("--lam", -1, "--m2", 1), "lam = -1 with m2 = 1"),
        (("--action", "graphene", "--g", 0), "g = 0 must be above 0"),
        (("--action", "graphene", "--u", -0.5), "u = -0.5 must be at least 0"),
        (("--noise-steps", 0, "--couplings", 1), "couplings"),
    ],
)
def test_parameters_that_no_flow_can_have_are_bad_input(xbar, tmp_path, args, message):
    result = xbar("train", "--flow", "mixer", "--L", 2, "--steps", 5, *args, "--out", "f.safetensors")
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert "pydantic" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", [("finetune", "--steps", 1, "--out", "four.safetensors"), ("sample", "--out", "r.nc")]
)
def test_a_flow_file_of_another_lattice_is_refused_with_both_shapes(xbar, flows, tmp_path, command):
    before = sorted(tmp_path.iterdir())
    result = xbar(*command, "--L", 4, "--lam", 5.5, "--flow", flows[0])
    assert result.exit_code == 4
    assert "(2, 2)" in result.stderr.replace("[2, 2]", "(2, 2)")
    assert "(4, 4)" in result.stderr.replace("[4, 4]", "(4, 4)")
    assert sorted(tmp_path.iterdir()) == before


def test_a_training_that_diverges_is_exit_code_1_and_writes_no_flow(xbar, tmp_path):
    result = xbar("train", *SMALL, "--steps", 200, "--learning-rate", 1e3, "--out", "f.safetensors")
    assert result.exit_code == 1
    assert "Lower learning_rate" in result.stderr
    assert not (tmp_path / "f.safetensors").exists()


def test_a_field_flow_starts_from_a_smaller_lattice_and_stops_once_it_is_good(xbar_json):
    common = ("train", "--flow", "field", "--batch", 128, "--sweeps", 2, "--evaluate", 2000)
    fast = ("--steps", 200, "--learning-rate", 0.02)
    small = xbar_json(*common, "--L", 4, "--lam", 6, *fast, "--out", "four.safetensors")
    assert small["ess"] > 0.9
    assert abs(small["ess"] - small["ess_forward"]) < 0.1
    assert abs(small["free_energy"] + 4.21772400) < 5 * small["free_energy_error"]
    started = ("--start", "four.safetensors", "--steps", 200, "--stop-at-ess", 0.6)
    large = xbar_json(*common, "--L", 8, "--lam", 6, *started, "--out", "eight.safetensors")
    assert large["steps"] < 200
    assert large["curve"][-1][2] >= 0.6
    record = read_record("eight.safetensors")
    assert (record.architecture.kind, record.architecture.shape) == ("field", (8, 8))
    assert record.summary["parameters"]["weights"] == 4 * 5 * 9  # cosines, features, offsets of an 8 x 8 lattice


def test_a_wire_of_its_own_couplings_on_a_rectangle(xbar_json):
    wire = ("--action", "graphene", "--g", 1, "--u", 0.1, "--L", 6, "--Lt", 4)
    answer = xbar_json("train", *wire, "--steps", 20, "--batch", 64, "--evaluate", 1000, "--out", "w.safetensors")
    sampled = xbar_json("sample", *wire, "--flow", "w.safetensors", "--configs", 500, "--out", "w.nc")
    assert read_record("w.safetensors").parameters == {"g": 1.0, "u": 0.1}
    assert sampled["ess"] == pytest.approx(answer["ess"], abs=0.15)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--couplings", 4), 2, "--couplings 4: the field flow has no such thing"),
        (("--flow", "mixer", "--sweeps", 4), 2, "--sweeps 4: the mixer flow has no such thing"),
        (("--start", "none.safetensors"), 4, "no such file"),
        (("--L", 2, "--start", "mixer"), 4, "holds a mixer flow"),
        (("--L", 5), 2, "Lx = 5"),
    ],
)
def test_options_that_do_not_fit_the_kind_of_flow_are_refused(xbar, flows, args, code, message):
    args = tuple(flows[0] if arg == "mixer" and i and args[i - 1] == "--start" else arg for i, arg in enumerate(args))
    result = xbar("train", "--L", 4, *args, "--steps", 5, "--out", "f.safetensors")
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
