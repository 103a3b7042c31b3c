"""Flag, environment, file, default: in this order, for every command, and recorded as if typed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import xarray as xr

from lab_scripts.cli import whole_command
from lab_scripts.examples import example
from lab_scripts.exits import Exit
from lab_scripts.settings import NAMES, variable

XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.delenv("XBAR_CONFIG", raising=False)


@pytest.fixture
def seed_of(xbar_json, matrix):
    """The seed that a dry run takes, by its identity: pulses differ from seed to seed."""

    def run(*args):
        return xbar_json("program", matrix, "--out", "p.nc", "--dry-run", *args)["cycles"]

    return run


def test_a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default(
    seed_of, tmp_path, monkeypatch
):
    by_flag = {seed: seed_of("--seed", seed) for seed in (0, 11, 12, 13)}
    assert len(set(by_flag.values())) == 4
    assert seed_of() == by_flag[0]
    (tmp_path / "xbar.toml").write_text("seed = 11\n")
    assert seed_of() == by_flag[11]
    monkeypatch.setenv("XBAR_SEED", "12")
    assert seed_of() == by_flag[12]
    assert seed_of("--seed", 13) == by_flag[13]


def test_config_shows_where_each_value_came_from(xbar_json, tmp_path, monkeypatch):
    (tmp_path / "lab.toml").write_text('seed = 11\nboard = "boards/ours.toml"\n')
    monkeypatch.setenv("XBAR_CONFIG", "lab.toml")
    monkeypatch.setenv("XBAR_BACKEND", "tcp://127.0.0.1:1")
    answer = xbar_json("config")["settings"]
    assert answer["backend"] == {"value": "tcp://127.0.0.1:1", "source": "environment XBAR_BACKEND"}
    assert answer["seed"] == {"value": 11, "source": "file lab.toml"}
    assert answer["board"] == {"value": "boards/ours.toml", "source": "file lab.toml"}
    assert answer["threads"] == {"value": 1, "source": "default"}


def test_a_run_that_was_set_replays_without_its_settings_and_under_others(xbar_json, matrix, tmp_path, monkeypatch):
    monkeypatch.setenv("XBAR_SEED", "12")
    xbar_json("program", matrix, "--out", "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as run:
        assert run.attrs["command"].endswith("--seed 12")
    monkeypatch.setenv("XBAR_SEED", "3")
    (tmp_path / "xbar.toml").write_text('backend = "tcp://127.0.0.1:1"\n')
    assert xbar_json("runs", "replay", "p.nc")["same"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("force = true", "force cannot be set; there are: backend"),
        ("seed = true", "neither a text nor a whole number"),
        ("seed = ", "not readable TOML"),
    ],
)
def test_a_settings_file_that_cannot_be_meant_is_refused(xbar, tmp_path, text, message):
    (tmp_path / "xbar.toml").write_text(text)
    result = xbar("doctor")
    assert (result.exit_code, message in result.stderr) == (Exit.FILE, True), result.stderr


def test_a_settings_file_that_is_missing_is_named(xbar, monkeypatch):
    monkeypatch.setenv("XBAR_CONFIG", "nowhere.toml")
    result = xbar("config")
    assert (result.exit_code, "nowhere.toml: there is no such file" in result.stderr) == (Exit.FILE, True)


def test_a_value_that_cannot_be_is_refused_as_if_typed(xbar, matrix, monkeypatch):
    monkeypatch.setenv("XBAR_SEED", "many")
    assert xbar("program", matrix, "--out", "p.nc").exit_code == Exit.BAD_INPUT


def test_what_is_set_for_boards_leaves_commands_without_one_alone(xbar, monkeypatch):
    monkeypatch.setenv("XBAR_CALIBRATION", "record.json")
    monkeypatch.setenv("XBAR_BACKEND", "tcp://127.0.0.1:1")
    result = xbar("sample", "--L", 2, "--lam", 7, "--out", "s.nc")
    assert "no flow is shipped for phi4 on 2 × 2" in result.stderr, result.stderr


def test_quiet_shows_nothing_and_json_stays(xbar, matrix):
    quiet = xbar("program", matrix, "--out", "p.nc", "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    answer = xbar("program", matrix, "--out", "q.nc", "--quiet", "--json")
    assert json.loads(answer.stdout)["out"] == "q.nc"
    assert xbar("program", matrix, "--out", "r.nc").stdout.strip()


def test_a_log_has_what_the_board_did_and_what_was_refused(xbar, matrix, tmp_path):
    board = tmp_path / "board.toml"
    from drivers.board import PAPER_BOARD

    text = PAPER_BOARD.read_text()
    board.write_text(text.replace("pulses_per_cell = ", "pulses_per_cell = 1 # "))
    assert board.read_text() != text
    result = xbar("program", matrix, "--out", "p.nc", "--board", board, "--log-file", "log.jsonl", "--verbose")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert result.exit_code == Exit.BOARD
    assert {line["event"] for line in lines} >= {"opened", "ran", "refused", "ended"}
    assert next(line for line in lines if line["event"] == "opened")["serial"] == "mock-0"
    assert next(line for line in lines if line["event"] == "refused")["level"] == "warning"
    assert lines[-1]["exit_code"] == Exit.BOARD
    assert all("timestamp" in line for line in lines)
    assert "refused" in result.stderr


def test_a_log_that_cannot_be_written_is_refused_before_anything_else(xbar, matrix, tmp_path):
    result = xbar("program", matrix, "--out", "p.nc", "--log-file", "nowhere/log.jsonl")
    assert result.exit_code == Exit.FILE
    assert not (tmp_path / "p.nc").exists()


def leaves(group, path="xbar"):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_command_has_an_example_that_parses_and_the_common_options():
    for words, command in leaves(whole_command()):
        shown = example(words)
        assert shown, f"give {words} an example in lab_scripts/examples.py"
        assert shown.startswith(words)
        context = command.make_context(words, shown.removeprefix(words).split(), resilient_parsing=False)
        context.close()
        assert {"quiet", "verbose", "log_file"} <= {parameter.name for parameter in command.params}, words


def test_every_command_stands_in_a_panel():
    group = whole_command()
    assert {name for name, command in group.commands.items() if not isinstance(command.rich_help_panel, str)} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(shell):
    words = "xbar program --dry"
    variables = {"_XBAR_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": "2",
                 "_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    import os

    done = subprocess.run(XBAR, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert "--dry-run" in done.stdout, done.stderr
