"""The panels beside the map: products, sampling, board, calibration, journal, with the numbers of real runs."""

import re

import numpy as np
import pytest
from needs import needs_chromium
from page_text import as_table, numbers, pairs, shows
from playwright.sync_api import expect

from drivers.board import load_board
from drivers.calibration_record import CalibrationRecord
from drivers.connect import mock_board
from drivers.self_test import Watch
from firmware_bridge.mock.faults.lines import DriftJump

pytestmark = needs_chromium


@pytest.fixture(scope="session")
def mvm(recorded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mvm")
    rng = np.random.default_rng(0)
    np.save(folder / "w.npy", rng.uniform(30e-6, 90e-6, (6, 8)))
    np.save(folder / "x.npy", rng.uniform(-0.1, 0.1, (40, 8)))
    return recorded("mvm", "--weights", folder / "w.npy", "--inputs", folder / "x.npy", out="mvm.nc")


def test_products_stand_beside_what_they_should_be(page, tell, mvm):
    tell(mvm).on()
    run = mvm.run
    shows(page, "#products-title", "Products: 6×8, 40 vectors")
    error_na = (run.result_a - run.ideal_a).to_numpy().ravel() * 1e9
    said = pairs(page, "#product-numbers")
    assert said["rms error"] == f"{np.sqrt(np.mean(error_na**2)):.1f}nA"
    assert said["largest shown"] == f"{np.abs(error_na).max():.1f}nA"
    assert said["products"] == "240"
    as_table(page, "#products-as-table")
    shown = numbers(page, "#product-values")
    assert shown[:, 0] == pytest.approx(run.ideal_a.to_numpy().ravel() * 1e6, abs=6e-4)
    assert shown[:, 1] == pytest.approx(run.result_a.to_numpy().ravel() * 1e6, abs=6e-4)
    assert shown[:, 2] == pytest.approx(error_na, abs=0.06)


def test_the_board_is_named_with_its_limits_and_how_often_it_was_pulsed(page, tell, mvm):
    told = tell(mvm)
    told.on(until=lambda line: line["kind"] == "read" and line["cycle"] == 4)
    read = mvm.of_kind("read")[3]
    expect(page.locator("#map")).to_have_attribute("data-reads", "4")
    said = pairs(page, "#board-status")
    assert said["status"] == "held by this run"
    assert said["pulses so far"].startswith(f"{read['pulses']}, most on a cell ")
    limits, board = pairs(page, "#limits"), load_board()
    assert limits["reads"] == f"±{board.limits.read_v:g} V"
    assert limits["SET"].startswith(f"≤ {board.limits.set.amplitude_v[1]:g} V, gate ≤ {board.limits.set.gate_v[1]:g} V")
    assert pairs(page, "#calibration-rows") == {"record": "none: nothing is corrected"}
    told.on()
    shows(page, "#run-state", "done")
    assert pairs(page, "#board-status")["status"] == "let go of, outputs safe"


@pytest.fixture(scope="session")
def calibration(recorded):
    return recorded("calibrate", "self", out="record.json")


def test_the_record_that_corrects_a_board_is_shown_with_its_age(page, tell, recorded, calibration):
    tell(recorded("program", "AI4S", "--calibration", calibration.out, out="corrected.nc")).on()
    record = CalibrationRecord.load(calibration.out)
    shows(page, "#run-state", "done")
    said = pairs(page, "#calibration-rows")
    assert said["record of"] == record.serial
    assert said["made"].startswith(record.created.strftime("%Y-%m-%d %H:%M UTC, "))
    assert said["made"].endswith("ago")
    assert re.match(r"for another (89|90)\.\d days", said["holds"])
    assert said["corrects"].split(", ") == sorted(record.estimates)


def said_value(text):
    """Of a value with its error, as the field writes it."""
    return float(text.partition("(")[0].replace("−", "-"))


def test_a_samplers_observables_stand_beside_those_of_hmc_that_the_folder_holds(page, tell, recorded):
    hmc = recorded("hmc", "--configs", 2000, out="hmc.nc")
    flow = recorded("sample", "--configs", 1000, out="sample.nc")
    tell(hmc, "hmc.nc").on()
    shows(page, "#run-state", "done")
    page.reload()
    tell(flow, "sample.nc").on()
    shows(page, "#run-name", "sample.nc")
    expect(page.locator("#observables thead")).to_contain_text("HMC")
    own, reference = ({row["name"]: row for row in it.of_kind("observables")[-1]["rows"]} for it in (flow, hmc))
    for row in page.locator("#observables tbody tr").all():
        name, value, tau, other, apart, *_ = row.locator("th, td").all_text_contents()
        assert float(tau) == pytest.approx(own[name]["tau_int"], abs=0.006)
        assert said_value(value) == pytest.approx(own[name]["value"], abs=0.1 * own[name]["error"])
        assert said_value(other) == pytest.approx(reference[name]["value"], abs=0.1 * reference[name]["error"])
        sigma = np.hypot(own[name]["error"], reference[name]["error"])
        pull = (own[name]["value"] - reference[name]["value"]) / sigma
        assert float(apart.replace("−", "-").removesuffix(" σ")) == pytest.approx(pull, abs=0.06)
    said = pairs(page, "#sampling-numbers")
    assert float(said["ESS"]) == pytest.approx(flow.run.attrs["ess"], abs=6e-4)
    assert float(said["acceptance"]) == pytest.approx(flow.run.attrs["acceptance"], abs=6e-4)


def test_a_calibration_shows_products_without_its_record_and_with_it(page, tell, calibration):
    tell(calibration, "record.json").on()
    shows(page, "#run-state", "done")
    expect(page.locator("#products-choice option")).to_have_text(["nothing corrected", "corrected"])
    before, after = calibration.of_kind("products")
    assert pairs(page, "#product-numbers")["rms error"] == f"{after['rms_a'] * 1e9:.1f}nA"
    page.select_option("#products-choice", label="nothing corrected")
    expect(page.locator("#product-numbers")).to_contain_text(f"{before['rms_a'] * 1e9:.1f}")
    assert pairs(page, "#product-numbers")["products"] == str(before["count"])
    # From here on the board is corrected by what was found.
    assert pairs(page, "#calibration-rows")["by"] == "self"


def test_a_characterisation_shows_what_it_reads(page, tell, recorded):
    pattern = recorded("characterise", "pattern", "--seed", 1, out="pattern.nc")
    told = tell(pattern)
    told.on(until=lambda line: line["kind"] == "conductances")
    expect(page.locator("#map")).to_have_attribute("data-reads", "1")
    assert page.is_hidden("#views")
    assert "target" not in pairs(page, "#cell")
    told.on()
    shows(page, "#run-state", "done")
    as_table(page, "#as-table")
    assert numbers(page, "#values") == pytest.approx(pattern.run.g_check_s.to_numpy() * 1e6, abs=0.006)
    # No error, no histogram.
    assert page.is_hidden("#errors")


@pytest.fixture(scope="session")
def moved(recorded):
    """A sampling run on the mock whose cells move after its second look."""
    look, looks = Watch.look, []

    def look_then_move(self):
        look(self)
        looks.append(None)
        if len(looks) == 2:
            mock_board(self.crossbar).faults.add(DriftJump(relative=0.035))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watch, "look", look_then_move)
        # All of it is told, however fast the machine is.
        patch.setattr("lab_scripts.live_sampling.SHARE", 1e9)
        command = ("sample", "--layers", "crossbar", "--tune-steps", 5, "--configs", 2560)
        return recorded(*command, out="moved.nc")


def test_while_it_samples_ess_acceptance_and_observables_so_far_are_shown(page, tell, moved):
    told = tell(moved)
    _, second, *_ = (line for line in moved.of_kind("sampling") if "passed" in line)
    seen = []
    told.on(until=lambda line: line["kind"] == "observables" and (seen.append(line) or len(seen) == 2))
    shows(page, "#sampling-so-far", "so far")
    expect(page.locator("#sampling-numbers")).to_contain_text(str(second["proposals"]))
    said = pairs(page, "#sampling-numbers")
    assert said["ESS"] == f"{second['ess']:.3f}"
    assert said["ESS before tuning"] == f"{moved.run.attrs['ess_before_tuning']:.3f}"
    assert said["acceptance"] == f"{second['acceptance']:.3f}"
    assert said["τ_int of |M|"] == f"{second['tau_int']:.3f}"
    values = page.locator("#observables tbody tr").evaluate_all("rows => rows.map(r => r.cells[1].textContent)")
    for value, row in zip(values, seen[1]["rows"], strict=True):
        assert said_value(value) == pytest.approx(row["value"], abs=0.1 * row["error"])
    assert page.is_visible("#course")
    # The chain that the array has left behind is named, and the next one counts from its beginning.
    told.on(until=lambda line: line["kind"] == "observables" and line["t"] > moved.of_kind("segment")[0]["t"])
    expect(page.locator("#segments li")).to_have_text(
        re.compile(r"^Segment 1 ended after 1024 proposals, 512 more were dr")
    )
    shows(page, "#sampling-so-far", "segment 2, so far")
    told.on()
    shows(page, "#run-state", "done")
    assert float(pairs(page, "#sampling-numbers")["ESS"]) == pytest.approx(moved.run.attrs["ess"], abs=6e-4)
    shows(page, "#sampling-so-far", "")
