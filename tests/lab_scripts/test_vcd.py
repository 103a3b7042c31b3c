"""`--vcd`: what it refuses before a board is opened, and what it leaves."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from needs import needs_verilator

from lab_scripts.exits import Exit
from lab_scripts.runs import RESUMING, RunFile


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "w.npy", np.full((2, 2), 50e-6))
    np.save(tmp_path / "v.npy", np.zeros((1, 2)))
    return ("mvm", "--weights", "w.npy", "--inputs", "v.npy", "--out", "mvm.nc")


def test_a_backend_without_pins_is_refused(xbar, files):
    result = xbar(*files, "--vcd", "pins.vcd")
    assert result.exit_code == Exit.BAD_INPUT
    assert "--backend mock has no pins to record; use --backend rtl" in result.stderr


@pytest.mark.parametrize("there", ["pins.vcd", "pins.json"])
def test_a_file_that_is_there_is_not_replaced_without_force(xbar, files, tmp_path, there):
    (tmp_path / there).write_text("mine")
    result = xbar(*files, "--backend", "rtl", "--vcd", "pins.vcd")
    assert result.exit_code == Exit.FILE
    assert f"--vcd {there}: exists already" in result.stderr
    assert (tmp_path / there).read_text() == "mine"


def test_another_ending_is_refused(xbar, files):
    assert xbar(*files, "--backend", "rtl", "--vcd", "pins.json").exit_code == Exit.FILE


def test_layers_without_a_board_have_no_pins(xbar):
    result = xbar("sample", "--out", "s.nc", "--backend", "rtl", "--vcd", "pins.vcd")
    assert result.exit_code == Exit.BAD_INPUT
    assert "--layers digital opens no board" in result.stderr


@needs_verilator
def test_a_command_on_the_gateware_leaves_its_waveform_and_the_frames_meant(xbar, files, tmp_path):
    result = xbar(*files, "--backend", "rtl", "--vcd", "pins.vcd")
    assert result.exit_code == Exit.OK, result.stderr
    meant = json.loads((tmp_path / "pins.json").read_text())
    assert {entry["chip"] for entry in meant} == {f"dac{d}" for d in range(8)}
    with (tmp_path / "pins.vcd").open() as dump:
        assert next(dump) == "$timescale 1ns $end\n"
        clock = next(line.split()[3] for line in dump if line.endswith(" dac0_sclk $end\n"))
        edges = sum(line == f"1{clock}\n" for line in dump)
    assert edges == 24 * sum(entry["chip"] == "dac0" for entry in meant)


@pytest.mark.parametrize(
    ("resuming", "names"), [(False, ["pins.vcd", "pins-2.vcd"]), (True, ["pins-2.vcd", "pins-4.vcd"])]
)
def test_boards_are_numbered_and_a_run_that_goes_on_replaces_no_waveform(tmp_path, resuming, names):
    for number in ["", "-3"] if resuming else []:
        (tmp_path / f"pins{number}.vcd").touch()
    root = SimpleNamespace(obj={RESUMING: resuming})
    context = SimpleNamespace(params={"vcd": tmp_path / "pins.vcd"}, find_root=lambda: root)
    run_file = RunFile(tmp_path / "run.nc", False, context, ())
    assert [run_file.next_waveform().name for _ in names] == names
