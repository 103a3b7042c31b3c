"""A dashboard beside a browser, and runs of the mock: done once, told again as often as a test asks for them."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.testing
import uvicorn
import xarray as xr
from needs import CHROMIUM
from playwright.sync_api import Browser, Page, expect, sync_playwright

from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import listen_at
from lab_scripts.cli import app
from lab_scripts.dashboard.app import build
from lab_scripts.dashboard.watch import Watch
from lab_scripts.live import Live, live_file

XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
TOKEN = "drawn-anew"
ELSEWHERE = "another-machine"

expect.set_options(timeout=30_000)


class Desk:
    """A folder of runs with a dashboard that shows it, served by a thread of this process."""

    def __init__(self, folder: Path, token: str = TOKEN, port: int = 0) -> None:
        self.folder, self.token = folder, token
        self._commands: list[subprocess.Popen] = []
        self._listener = listen_at(Address.parse(f"tcp://127.0.0.1:{port}"))
        self.port = self._listener.getsockname()[1]
        self.place = f"http://127.0.0.1:{self.port}/"
        self.url = f"{self.place}#{token}"
        self._watch = Watch(folder)
        page = build(self._watch, token)
        self._server = uvicorn.Server(
            uvicorn.Config(page, log_level="error", ws="websockets-sansio", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._thread.start()

    def run(self, *command: object) -> subprocess.Popen:
        """A command of xbar that writes into the folder, begun as a process."""
        words = [*XBAR, *map(str, command)]
        begun = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._commands.append(begun)
        return begun

    def wait_for(self, run_id: str) -> None:
        """Until the dashboard has found a command: one that ends at once might go unseen."""
        deadline = time.monotonic() + 30
        while self._watch.run(run_id) is None:
            assert time.monotonic() < deadline, "the dashboard has not found the command"
            time.sleep(0.005)

    def stop(self) -> None:
        """The dashboard ends, and what was begun in its folder. Any number of times."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        for process in self._commands:
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=20)
            process.stderr.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    started = Desk(tmp_path)
    yield started
    started.stop()


class Recorded:
    """A command that was done on the mock: lines that it told, as they were, and the run file that it wrote."""

    def __init__(self, lines: list[str], out: Path) -> None:
        self.lines, self.out = lines, out

    @property
    def run(self) -> xr.Dataset:
        return xr.load_dataset(self.out, engine="h5netcdf")

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.lines) if line["kind"] == kind]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recorded]:
    """``recorded("program", "AI4S", out="r.nc")``: each command is done once in a session."""
    folder = tmp_path_factory.mktemp("recorded")
    known: dict[tuple[object, ...], Recorded] = {}

    def record(*command: object, out: str) -> Recorded:
        key = (*command, out)
        if key not in known:
            kept = folder / f"{len(known)}.lines"
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setattr(Live, "end", _keeping(Live.end, kept))
                done = typer.testing.CliRunner().invoke(app, [*map(str, command), "--out", out])
            assert done.exit_code in (0, 1), done.stderr
            moved = shutil.move(folder / out, folder / f"{len(known)}-{out}")
            known[key] = Recorded(kept.read_text().splitlines(), Path(moved))
        return known[key]

    return record


def _keeping(end: Callable[[Live, str, str], None], kept: Path) -> Callable[[Live, str, str], None]:
    def keep(self: Live, outcome: str, message: str) -> None:
        # Another name of the same file, which has its last line too.
        os.link(self.path, kept)
        end(self, outcome, message)

    return keep


class Told:
    """A recorded command that tells of itself again in the folder of a desk, as far as a test lets it.

    It says that it is on another machine: nobody may interrupt this process in its place.
    """

    _ids = itertools.count()

    def __init__(self, desk: Desk, recorded: Recorded, name: str = "run.nc") -> None:
        self.id = f"told-{next(self._ids)}"
        begin = json.loads(recorded.lines[0])
        began = {"id": self.id, "run": name, "host": ELSEWHERE, "began": time.time()}
        self._recorded, self._out = recorded, desk.folder / name
        self._left = [json.dumps(begin | began), *recorded.lines[1:]]
        self._file = os.open(live_file(self._out), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def on(self, until: Callable[[dict[str, Any]], bool] = lambda line: False) -> None:
        """Tell on, up to and with the line for which `until` holds; without it, to the end."""
        while self._left:
            line = self._left.pop(0)
            if not self._left and self._recorded.out.suffix == ".nc":
                shutil.copy(self._recorded.out, self._out)
            os.write(self._file, line.encode() + b"\n")
            if until(json.loads(line)):
                return
        live_file(self._out).unlink()
        self.let_go()

    def let_go(self) -> None:
        """As the end of its process does."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@pytest.fixture
def tell(desk: Desk) -> Iterator[Callable[..., Told]]:
    """``tell(recorded(…))``: that command in the folder of the desk, nothing told yet but that it began."""
    begun: list[Told] = []

    def begin(recorded: Recorded, name: str = "run.nc", desk: Desk = desk) -> Told:
        begun.append(Told(desk, recorded, name))
        begun[-1].on(until=lambda line: line["kind"] == "begin")
        desk.wait_for(begun[-1].id)
        return begun[-1]

    yield begin
    for told in begun:
        told.let_go()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A browser of its own at the dashboard. Whatever a page complains of fails the test."""
    complaints: list[str] = []
    pages: list[Page] = []

    def opened(desk: Desk, size: tuple[int, int] = (1280, 720)) -> Page:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        pages.append(page)
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(desk.url)
        page.wait_for_selector("#main", state="visible")
        return page

    yield opened
    for page in pages:
        page.close()
    assert not complaints


@pytest.fixture
def page(desk: Desk, open_page: Callable[..., Page]) -> Page:
    return open_page(desk)
