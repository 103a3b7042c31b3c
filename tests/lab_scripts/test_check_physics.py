from __future__ import annotations

import re

from anf.samplers import checks
from tests.support import small


def test_every_statement_is_a_row_and_nothing_is_run_twice(xbar, xbar_json, tmp_path, monkeypatch):
    small.physics(monkeypatch, "phi4", 4)
    answer = xbar_json("check-physics", "--lattice", "phi4:4", "--runs", "kept", "--seed", 2)
    rows = answer["checks"]["phi4:4"]
    assert {row["sampler"] for row in rows} == {"HMC", "flow"}
    assert all(row["holds"] for row in rows)
    assert answer["without_flow"] == []
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    again = xbar("check-physics", "--lattice", "phi4:4", "--runs", "kept", "--seed", 2)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == files
    assert re.search(rf"{len(rows)} statements, 0 do not hold; largest pull", again.stdout)
    assert re.search(r"virial +│ m² = -4, λ = 5.5 │ +HMC", again.stdout)


def test_statements_that_do_not_hold_are_named_and_exit_code_1(xbar, monkeypatch):
    small.physics(monkeypatch, "graphene", 6)
    monkeypatch.setattr(checks, "HMC_PRECISION", 1e-6)
    result = xbar("check-physics", "--lattice", "graphene:6", "--sampler", "hmc", "--runs", "kept")
    assert result.exit_code == 1
    assert "graphene:6 HMC virial" in result.stderr


def test_a_lattice_that_the_paper_does_not_have_is_refused(xbar):
    result = xbar("check-physics", "--lattice", "phi4:5")
    assert result.exit_code == 2
    assert "--lattice phi4:5: choose of phi4:4, phi4:6" in result.stderr


def test_a_file_that_is_not_the_run_of_its_name_is_refused(xbar, tmp_path, monkeypatch):
    small.physics(monkeypatch, "graphene", 6)
    arguments = ("check-physics", "--lattice", "graphene:6", "--sampler", "hmc", "--runs", "kept")
    xbar(*arguments)
    one, other = sorted((tmp_path / "kept").iterdir())[:2]
    one.write_bytes(other.read_bytes())
    result = xbar(*arguments)
    assert result.exit_code == 4
    assert "is not the run that its name stands for; remove it" in result.stderr
