"""A dashboard as a process, a browser beside it, and a page that has opened it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import CHROMIUM
from playwright.sync_api import Browser, Page, expect, sync_playwright

XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


expect.set_options(timeout=30_000)


class Desk:
    """A folder of runs with a dashboard that shows it."""

    def __init__(self, folder: Path, listen: str = "tcp://127.0.0.1:0") -> None:
        self.folder = folder
        self._commands: list[subprocess.Popen] = []
        self.process = subprocess.Popen(
            [*XBAR, "dashboard", str(folder), "--listen", listen],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = self.process.stdout.readline()
        _, _, self.url = said.strip().partition(" at ")
        assert self.url, self.process.stderr.read()
        self.place, _, self.token = self.url.partition("#")

    def run(self, *command: object) -> subprocess.Popen:
        """A command of xbar that writes into the folder, begun."""
        words = [*XBAR, *map(str, command)]
        begun = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._commands.append(begun)
        return begun

    def stop(self) -> int:
        """Interrupt the dashboard; its exit code."""
        for process in (self.process, *self._commands):
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=20)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        return self.process.returncode


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.delenv("XBAR_TOKEN", raising=False)
    started = Desk(tmp_path)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Iterator[Page]:
    """The dashboard, opened by the address that it printed. Whatever the page complains of fails the test."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(desk.url)
    page.wait_for_selector("#main", state="visible")
    yield page
    page.close()
    assert not complaints
