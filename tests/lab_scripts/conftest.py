"""Commands run in process, with torch and the mock board as they are; only sizes are small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing

from lab_scripts.cli import app

Run = Callable[..., Any]


@pytest.fixture
def xbar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``xbar("hmc", "--out", path)``: exit_code, stdout, stderr; in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: typer.testing.CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def xbar_json(xbar: Run) -> Run:
    """The same with ``--json``: the exit code must be 0, and stdout one JSON object."""

    def run(*args: Any) -> dict[str, Any]:
        result = xbar(*args, "--json")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="session")
def flows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Flow files for φ⁴ on 2 × 2 at λ = 5, and an adapter of it for λ = 5.5."""
    folder = tmp_path_factory.mktemp("flows")
    base, adapter = folder / "base.safetensors", folder / "adapter.safetensors"
    small = ["--L", "2", "--evaluate", "500", "--batch", "128"]
    for args in (
        [
            "train",
            "--lam",
            "5",
            "--steps",
            "100",
            "--flow",
            "mixer",
            "--couplings",
            "4",
            "--channels",
            "4",
            "--hidden",
            "4",
            "--out",
            base,
        ],
        ["finetune", "--lam", "5.5", "--steps", "20", "--flow", base, "--out", adapter],
    ):
        result = typer.testing.CliRunner().invoke(app, [*map(str, args), *small])
        assert result.exit_code == 0, result.stderr
    return base, adapter


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    """Conductances (3, 5) S."""
    path = tmp_path / "w.npy"
    np.save(path, np.linspace(30e-6, 90e-6, 15).reshape(3, 5))
    return path
