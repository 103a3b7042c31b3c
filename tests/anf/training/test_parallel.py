"""Several processes train as one would with the same batch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from anf.flows.field_flow import FieldFlow, FieldFlowConfig
from anf.lattice.actions import Phi4
from anf.training.loop import TrainingConfig, train
from anf.training.parallel import Processes, here

ACTION = Phi4(-4.0, 5.0, (4, 4))
CONFIG = TrainingConfig(steps=12, batch=64, learning_rate=2e-2, report_every=4, checkpoint_every=4)

CODE = """
import sys, torch
from tests_parallel import ACTION, CONFIG, fresh
from anf.training.parallel import here
from anf.training.loop import train
flow = fresh()
result = train(flow, ACTION, CONFIG, checkpoint=sys.argv[1] + "/state", progress=lambda *report: print(report))
torch.save((flow.state_dict(), result.curve), f"{sys.argv[1]}/{here().rank}.pt")
"""


def fresh() -> FieldFlow:
    return FieldFlow(FieldFlowConfig(shape=(4, 4), sweeps=2), ACTION)


def test_two_processes_train_to_what_one_does_with_the_same_batch(tmp_path):
    (tmp_path / "run.py").write_text(CODE.replace("tests_parallel", "test_parallel"))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *(str(tmp_path / "run.py"), str(tmp_path)),
        ],
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(12,") == 1, "one process reports"
    alone = fresh()
    curve = train(alone, ACTION, CONFIG).curve
    shared = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for name, value in alone.state_dict().items():
        assert torch.equal(shared[0][0][name], shared[1][0][name])
        torch.testing.assert_close(shared[0][0][name], value, rtol=1e-4, atol=1e-5)
    assert shared[0][1] == shared[1][1]
    for (step, loss, ess), (_, expected_loss, expected_ess) in zip(shared[0][1], curve, strict=True):
        assert step % 4 == 0
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        assert ess == pytest.approx(expected_ess, rel=1e-4)
    assert (tmp_path / "state").is_file()


def test_each_process_takes_its_own_columns_and_all_of_them_are_taken(monkeypatch):
    shares = [Processes(rank, 4).share(12) for rank in range(4)]
    assert [list(range(12))[share] for share in shares] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    with pytest.raises(ValueError, match=r"batch = 10: must be a multiple of the 4 processes"):
        Processes(0, 4).share(10)
    assert here() == Processes(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert here() == Processes(2, 3)
    assert not here().leads
