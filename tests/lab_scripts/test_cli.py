from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drivers.board import PAPER_BOARD
from lab_scripts import doctor
from lab_scripts.cli import whole_command
from lab_scripts.exits import MEANING, Exit
from lab_scripts.live import live_file
from lab_scripts.reference import reference

ROOT = Path(__file__).parents[2]
XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")


def test_every_exit_code_is_explained():
    assert set(MEANING) == set(Exit)


def test_the_reference_page_says_what_the_commands_say():
    page = ROOT / "docs" / "command-line.md"
    assert page.read_text() == reference(), "make it again: python -m lab_scripts.reference > docs/command-line.md"


def test_help_lists_the_commands_and_teaches_the_exit_codes(xbar):
    result = xbar("--help")
    assert result.exit_code == 0
    for command in ("doctor", "program", "mvm", "train", "finetune", "hmc", "sample", "demo", "serve"):
        assert f" {command} " in result.stdout
    assert "130 interrupted" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    "args",
    [("nothing",), ("hmc",), ("hmc", "--out", "h.nc", "--lam", "five"), ("hmc", "--out", "h.nc", "--configs", "0"),
     ("sample", "--out", "s.nc", "--layers", "analogue")],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_with_a_message(xbar, args):
    result = xbar(*args)
    assert result.exit_code == 2
    assert "Error" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rf_ohm = 3500.0", "rf_kohm = 3.5", "rf_kohm: Extra inputs are not permitted"),
        ("bl_dac = [0, 1,", "bl_dac = [0, 0,", "wiring"),
        ("vref_v = 0.9", "vref_v = 1.2", "adc.vref_v"),
        ("vcm_v = 2.5", "vcm_v = 6.0", "wiring.vcm_v = 6 V is above"),
        ("[dac]", "[dac", "not TOML"),
    ],
)
def test_a_board_file_with_an_error_is_refused_with_the_key(xbar, tmp_path, matrix, old, new, message):
    text = PAPER_BOARD.read_text()
    assert text.count(old) == 1
    (tmp_path / "board.toml").write_text(text.replace(old, new))
    result = xbar("program", matrix, "--board", "board.toml", "--out", "p.nc")
    assert (result.exit_code, message in result.stderr) == (4, True), result.stderr


def test_a_board_file_that_is_missing_is_named(xbar, matrix):
    result = xbar("program", matrix, "--board", "lab.toml", "--out", "p.nc")
    assert result.exit_code == 4
    assert "lab.toml: No such file" in result.stderr


def test_a_defect_shows_its_traceback(xbar, mocker):
    mocker.patch("lab_scripts.doctor.self_test", side_effect=ZeroDivisionError("here"))
    result = xbar("doctor")
    assert result.exit_code == 70
    assert "Traceback" in result.stderr


def test_doctor_passes_on_this_installation(xbar_json):
    answer = xbar_json("doctor")
    assert answer["backends"]["mock"] == "answers: mock mock-0, 32×32"
    assert "pynq is not installed here" in answer["backends"]["zc706"]
    assert all(answer["self_test"].values())


def test_doctor_fails_with_a_mock_that_fails(xbar, mocker):
    mocker.patch.object(doctor, "self_test", return_value={"I = G·V on an ideal board": False})
    result = xbar("doctor")
    assert result.exit_code == 1
    assert "the mock board fails: I = G·V" in result.stderr


def begun(told: Path) -> bool:
    """Whether the first trajectories are there."""
    lines = told.read_text().splitlines(keepends=True) if told.exists() else []
    said = [json.loads(line) for line in lines if line.endswith("\n")]
    return any(line["kind"] == "task" and line["done"] > 0 for line in said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_process_with_130_and_without_a_file(tmp_path, number):
    args = ("hmc", "--configs", "10000000", "--thermalisation", "100000", "--out", str(tmp_path / "h.nc"))
    # A shell starts what runs in its background with SIGINT ignored, and so would this test's child be.
    listen = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with subprocess.Popen([*XBAR, *args], stderr=subprocess.PIPE, text=True, cwd=ROOT, **listen) as process:
        # Until it says that it is at work. An interrupt in the middle of loading a library is the library's affair.
        while not begun(live_file(tmp_path / "h.nc")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(number)
        try:
            code = process.wait(timeout=60)
        finally:
            process.kill()
        assert code == 130
        assert process.stderr is not None
        assert "xbar: interrupted; the outputs are safe" in process.stderr.read()
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_away_ends_a_process_without_a_word():
    with subprocess.Popen([*XBAR, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 4
        assert process.stderr.read() == b""


def test_an_error_of_a_process_is_one_line():
    args = ("program", "AI4S", "--board", "lab.toml", "--out", "p.nc")
    done = subprocess.run([*XBAR, *args], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("xbar: lab.toml")


def test_every_command_that_ends_by_itself_has_json():
    def without(group, words):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from without(command, f"{words} {name}")
            elif not any("--json" in parameter.opts for parameter in command.params):
                yield f"{words} {name}"

    assert set(without(whole_command(), "xbar")) == {"xbar serve", "xbar dashboard"}


def test_json_of_a_process_has_stdout_for_itself():
    done = subprocess.run([*XBAR, "doctor", "--json"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith("{")
    assert done.stdout.endswith("}\n")
    assert done.stderr == ""
