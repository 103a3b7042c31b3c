"""Many runs over many boards: what a campaign file comes to, and what survives the loss of a worker or a board."""

from __future__ import annotations

import os
import re
import shlex
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from drivers.board import PAPER_BOARD, load_board
from drivers.bridges import open_bridge
from drivers.calibration_record import CalibrationRecord
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server
from lab_scripts.campaign_boards import cluster_client, run_campaign
from lab_scripts.campaign_plan import Boards, Campaign, Commands, Task, load_campaign, tasks
from lab_scripts.exits import Exit, FileError, InputError
from lab_scripts.run_store import differences, open_run

CAMPAIGNS = Path(__file__).parents[2] / "docs" / "campaigns.md"
JOURNALS = "attempts/*/mock/*.journal/board0.journal"
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def plan(boards: Boards, **commands) -> Campaign:
    return Campaign(boards=boards, tasks=(Commands(**commands),))


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_command_is_made_for_every_combination_of_values_and_for_every_board(tmp_path):
    path = tmp_path / "scan.toml"
    path.write_text(
        """
        [boards]
        mock = 2
        [[tasks]]
        command = "program AI4S"
        on = "every board"
        [[tasks]]
        command = "sample --lam {lam} --seed {seed}"
        each = { lam = [5.0, 5.5], seed = [1, 2] }
        """
    )
    found = tasks(load_campaign(path))
    assert [(task.words, task.board) for task in found] == [
        (("program", "AI4S"), 0), (("program", "AI4S"), 1),
        (("sample", "--lam", "5.0", "--seed", "1"), None), (("sample", "--lam", "5.0", "--seed", "2"), None),
        (("sample", "--lam", "5.5", "--seed", "1"), None), (("sample", "--lam", "5.5", "--seed", "2"), None),
    ]  # fmt: skip
    assert len({task.name for task in found}) == 6
    assert [task.name for task in tasks(load_campaign(path))] == [task.name for task in found]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[boards]\n[[tasks]]\ncommand = "x"', "boards: give either mock = N or addresses"),
        ('[boards]\naddresses = ["a", "a"]\n[[tasks]]\ncommand = "x"', "one stands there twice"),
        ('[boards]\nmock = 1\n[[tasks]]\ncommand = "x {lam}"', r"command names \['lam'\] in braces, each gives \[\]"),
        ('[boards]\nmock = 1\n[[tasks]]\ncommand = "x --out y"', r"command gives \['--out'\]: the campaign does"),
        ('[boards]\nmock = 1\n[[tasks]]\ncommand = "x"\non = "a board"', "tasks.0.on"),
        ("[boards]\nmock = 1\ntasks = []", "tasks"),
    ],
)
def test_what_a_file_cannot_mean_is_refused_with_its_place(tmp_path, text, said):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        load_campaign(path)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"c\.toml: No such file"):
        load_campaign(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text("[boards")
    with pytest.raises(FileError, match="not a TOML file"):
        load_campaign(tmp_path / "c.toml")


def test_two_equal_tasks_are_refused():
    with pytest.raises(InputError, match="two tasks of the campaign are the same"):
        tasks(
            plan(Boards(mock=1), command="program AI4S", each={}).model_copy(
                update={"tasks": (Commands(command="x"),) * 2}
            )
        )


def test_a_run_of_a_file_whose_content_has_changed_is_another_run(tmp_path):
    tile = tmp_path / "tile.npy"
    tile.write_bytes(b"one")
    campaign = plan(Boards(mock=1), command=f"program {tile}")
    (before,) = (task.name for task in tasks(campaign))
    tile.write_bytes(b"two")
    assert [task.name for task in tasks(campaign)] != [before]
    tile.write_bytes(b"one")
    assert [task.name for task in tasks(campaign)] == [before]


# -- runs --------------------------------------------------------------------------------------------------------------


def test_workers_killed_on_the_way_over_64_boards_lose_nothing_and_make_nothing_twice(tmp_path, xbar):
    np.save(matrix := tmp_path / "two.npy", [[60e-6, 80e-6]])
    words = ("program", str(matrix), "--min-yield", "0")
    campaign = plan(Boards(mock=64), command=" ".join(words), on="every board")
    todo = tasks(campaign)
    folder = tmp_path / "runs"
    folder.mkdir()
    begun: set[str] = set()

    def kill_both(pids) -> None:
        # In the middle of somebody's run: its journal is there and grows. Both come back at other addresses.
        for pid in pids:
            while not (at_work := [j for j in folder.glob(JOURNALS) if j.parts[-4] not in begun]):
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)
            begun.update(journal.parts[-4] for journal in at_work)

    with cluster_client(campaign, None, 2) as client:
        thread = threading.Thread(target=kill_both, args=(client.run(os.getpid).values(),))
        thread.start()
        outcomes = run_campaign(client, campaign.boards, todo, folder)
        thread.join()
        again = run_campaign(client, campaign.boards, todo, folder)
    assert begun
    assert [o.name for o in outcomes] == [task.name for task in todo]
    assert [o for o in outcomes if o.code] == []
    assert all(o.there for o in again)
    # Each run file once, and nothing else.
    assert sorted(path.name for path in folder.iterdir()) == sorted(task.file for task in todo)
    for board, task in enumerate(todo):
        if task.name in begun or board == 0:
            assert xbar(*words, "--seed", board, "--out", f"direct{board}.nc").exit_code == 0
            with open_run(folder / task.file) as a, open_run(Path(f"direct{board}.nc")) as b:
                assert list(differences(a, b)) == []


def test_the_example_of_the_page_does_what_the_page_says(xbar, xbar_json):
    page = CAMPAIGNS.read_text()
    (first, *_), command = re.findall(r"```toml\n(.*?)```", page, re.DOTALL), re.search("^xbar campaign .*", page, re.M)
    Path("scan.toml").write_text(first)
    assert command is not None
    words = shlex.split(command[0])[1:]
    assert words == ["campaign", "scan.toml", "--out", "runs/scan"]
    answer = xbar_json(*words)
    assert [run["code"] for run in answer["runs"]] == [0] * 6
    listed = xbar_json("runs", "list", "runs/scan")["runs"]
    assert sorted(run["name"] for run in listed) == sorted(t.file for t in tasks(load_campaign(Path("scan.toml"))))
    assert sorted(path.suffix for path in Path("runs/scan").iterdir() if path.is_file() and path.name[0] != ".") == [
        ".nc", ".nc", ".nc", ".nc", ".nc", ".nc",
    ]  # fmt: skip
    again = xbar(*words)
    assert again.exit_code == 0
    assert re.search(r"made now *│ *0 ", again.stdout)


def test_a_board_that_fails_is_left_out_and_its_tasks_move(tmp_path):
    stop = threading.Event()
    with Server(
        open_bridge("mock", board=load_board(PAPER_BOARD), seed=3), Address.parse("tcp://127.0.0.1:0")
    ) as server:
        thread = threading.Thread(target=server.serve, args=(stop.is_set,))
        thread.start()
        campaign = plan(
            Boards(addresses=("tcp://127.0.0.1:1", server.address)), command="characterise linearity --seed {seed}",
            each={"seed": (1, 2)},
        )  # fmt: skip
        elsewhere = [Task(("characterise", "linearity"), board) for board in (server.address, "tcp://127.0.0.1:2")]
        with cluster_client(campaign, None, None) as client:
            outcomes = run_campaign(client, campaign.boards, tasks(campaign), tmp_path)
            at_its_board, without = run_campaign(client, campaign.boards, elsewhere, tmp_path, patience_s=1.0)
        stop.set()
        thread.join()
    assert [(o.code, o.board) for o in outcomes] == [(0, server.address)] * 2
    # A task of one board is made there or not at all, by the board's address and not by its place in a list.
    assert (at_its_board.code, at_its_board.board) == (0, server.address)
    assert (without.code, without.board) == (3, "tcp://127.0.0.1:2")
    assert "no worker has the board tcp://127.0.0.1:2; there are tcp://127.0.0.1:" in without.said


def test_a_task_of_a_real_board_keeps_its_name_wherever_the_board_stands_in_the_file():
    there, back = (plan(Boards(addresses=order), command="x", on="every board") for order in (("a", "b"), ("b", "a")))
    assert {task.board: task.name for task in tasks(there)} == {task.board: task.name for task in tasks(back)}
    assert len({task.name for task in tasks(there)}) == 2


def test_a_fleet_is_calibrated_and_a_task_that_kills_its_workers_is_left_alone(tmp_path, mocker):
    fleet = tasks(plan(Boards(mock=1), command="calibrate self", on="every board"))
    deadly = tasks(plan(Boards(mock=1), command="program AI4S"))
    with cluster_client(plan(Boards(mock=1), command="x"), None, 1) as client:
        client.run_on_scheduler(_forgive_nothing)
        (record,) = run_campaign(client, Boards(mock=1), fleet, tmp_path)
        mocker.patch("lab_scripts.campaign_boards.make_run", _die)
        (outcome,) = run_campaign(client, Boards(mock=1), deadly, tmp_path)
    assert record.code == 0, record.said
    assert CalibrationRecord.load(tmp_path / fleet[0].file).serial == "mock-0"
    assert outcome.code == Exit.DEFECT
    assert "worker" in outcome.said


def _forgive_nothing(dask_scheduler) -> None:
    dask_scheduler.allowed_failures = 0


def _die(*args) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
