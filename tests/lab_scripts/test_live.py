"""What a running command tells of itself."""

import base64
import fcntl
import json
import os
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.exclusive import BoardInUse
from lab_scripts import live
from lab_scripts.live import Live, live_file, packed


@pytest.fixture(autouse=True)
def nobody_is_told_of():
    yield
    live.end("done", "")


def test_a_command_tells_by_lines_of_json_and_its_file_goes_with_it(tmp_path):
    told = Live(tmp_path / "r.nc", "xbar program")
    with live_file(tmp_path / "r.nc").open() as reader:
        told.tell("task", name="Programming", done=1.0, total=2.0)
        told.end("done", "")
        begin, task, end = map(json.loads, reader)
    assert (begin["kind"], begin["run"], begin["command"]) == ("begin", "r.nc", "xbar program")
    assert (task["name"], task["done"]) == ("Programming", 1.0)
    assert (end["kind"], end["outcome"]) == ("end", "done")
    assert not live_file(tmp_path / "r.nc").exists()


def test_a_file_is_locked_while_its_command_lives_and_taken_over_when_it_was_killed(tmp_path):
    out = tmp_path / "r.nc"
    live_file(out).write_text("what a killed command has left\n")
    told = Live(out, "first")
    assert live_file(out).read_text().count("\n") == 1
    with pytest.raises(BoardInUse, match=rf"the run .*r\.nc is in use by process {os.getpid()} since 20"):
        Live(out, "second")
    told.end("done", "")
    with Path(tmp_path / "lock").open("w") as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)
    Live(out, "third").end("done", "")


def test_a_full_disk_ends_the_telling_and_not_the_hold_on_the_run(tmp_path, mocker, capsys):
    told = Live(tmp_path / "r.nc", "first")
    mocker.patch("lab_scripts.live.os.write", side_effect=OSError(28, "No space left on device"))
    told.tell("task", name="x")
    told.tell("task", name="y")
    mocker.stopall()
    assert capsys.readouterr().err.count("r.nc.live: No space left on device; the dashboard hears no more") == 1
    with pytest.raises(BoardInUse):
        Live(tmp_path / "r.nc", "second")
    told.end("done", "")
    assert not list(tmp_path.iterdir())


def test_two_commands_do_not_write_the_same_run(xbar, tmp_path):
    told = Live(tmp_path / "h.nc", "another")
    result = xbar("hmc", "--L", 2, "--configs", 100, "--out", tmp_path / "h.nc")
    told.end("done", "")
    assert (result.exit_code, "is in use by process" in result.stderr) == (3, True)


def test_a_task_is_told_of_rarely_but_its_end_always(tmp_path):
    live.begin(tmp_path / "r.nc", "xbar hmc")
    with live_file(tmp_path / "r.nc").open() as reader:
        step = live.task("HMC")
        for done in range(1, 10_001):
            step(done, 10_000)
        lines = [json.loads(line) for line in reader][1:]
    assert len(lines) < 200
    assert lines[-1]["done"] == lines[-1]["total"] == 10_000


def test_arrays_go_out_as_their_bytes():
    values = np.array([[1e-6, np.nan], [3e-6, 4e-6]])
    back = np.frombuffer(base64.b64decode(packed(values)), "<f4").reshape(2, 2)
    np.testing.assert_array_equal(back, values.astype(np.float32))


def test_nothing_is_told_when_no_command_runs(tmp_path):
    live.tell("task", name="x")
    live.task("HMC")(1, 2)
    assert not live.listening()
    assert not list(tmp_path.iterdir())


def test_a_failed_command_leaves_no_file(xbar, tmp_path):
    result = xbar("program", "nothing.npy", "--out", tmp_path / "r.nc")
    assert result.exit_code == 4
    assert not list(tmp_path.glob("*.live"))


def test_of_many_reads_the_first_and_the_last_are_told(tmp_path):
    from drivers.connect import open_crossbar
    from lab_scripts.live_events import telling_reads

    with open_crossbar("mock", seed=1) as crossbar:
        live.begin(tmp_path / "r.nc", "xbar characterise")
        with live_file(tmp_path / "r.nc").open() as reader, telling_reads(crossbar):
            read = [crossbar.read_conductance() for _ in range(40)]
            between = len(reader.readlines())
        with live_file(tmp_path / "r.nc").open() as reader:
            lines = [json.loads(line) for line in reader][1:]
        assert crossbar.on_read is None
    assert between <= len(lines) < 40
    for line, k in ((lines[0], 0), (lines[-1], 39)):
        assert line["number"] == k + 1
        told = np.frombuffer(base64.b64decode(line["g"]), "<f4").reshape(line["shape"])
        np.testing.assert_array_equal(told, read[k].astype(np.float32))


def lines_of(path):
    with live_file(path).open() as file:
        return [json.loads(line) for line in file][1:]


def test_a_sampler_tells_of_itself_in_a_small_share_of_its_time(tmp_path, mocker):
    from anf.lattice.actions import Phi4
    from anf.samplers.proposals import Proposals
    from lab_scripts.live_sampling import SHARE, SamplerTold

    action = Phi4(m2=-4.0, lam=5.0, shape=(2, 2))
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(100, 2, 2)).astype(np.float32)
    drawn = Proposals(phi, np.zeros(100), np.zeros(100))
    clock = mocker.patch("lab_scripts.live_sampling.time.process_time")
    now = [0.0]

    def tick():
        # Each look at the clock: a telling takes 1 s, and so does what comes between.
        now[0] += 1.0
        return now[0]

    clock.side_effect = tick
    live.begin(tmp_path / "r.nc", "xbar sample")
    told = SamplerTold(action, "flow")
    for _ in range(400):
        told.passed(drawn)
    lines = [line for line in lines_of(tmp_path / "r.nc") if line["kind"] == "sampling"]
    assert 3 < len(lines) <= 2 + SHARE * now[0]
    # All proposals that passed are counted, those that were told of are fewer.
    assert lines[-1]["passed"] > 10 * lines[-1]["proposals"]
    assert [line["proposals"] for line in lines] == [100 * (k + 1) for k in range(len(lines))]


def test_a_sampler_of_which_nobody_hears_does_no_work_for_it(mocker):
    from anf.lattice.actions import Phi4
    from lab_scripts.live_sampling import SamplerTold

    told = SamplerTold(Phi4(m2=-4.0, lam=5.0, shape=(2, 2)), "flow")
    take = mocker.patch.object(told, "_course")
    told.passed(mocker.Mock(log_q=np.zeros(100)))
    take.take.assert_not_called()
