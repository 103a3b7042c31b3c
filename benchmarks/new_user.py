"""What README's first section takes a new user: a fresh clone in a fresh folder, a fresh environment, a browser.

python benchmarks/new_user.py

Types the commands of that section as they stand there, and prints each with its time. Needs git, chromium, and what
README asks for; clones the last commit of this repository.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SECTION = "## Five minutes"
MAP_S, FIGURE_S = 300.0, 900.0
"""Least that is asked for, from the end of the installation: wall time, s."""
COUNT_MAPS = """addEventListener('DOMContentLoaded', () => { window.drawn = 0;
new MutationObserver(() => drawn++).observe(document.querySelector('#map'), {attributeFilter: ['data-reads']}); })"""


def typed(readme: str) -> tuple[list[str], list[str]]:
    """Lines that the section has typed at its first terminal, the one that stays open, and at the second."""
    section = readme.partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    first, *others = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    second = [line.removeprefix("$ ") for block in others for line in block.splitlines()]
    return first.splitlines(), [line for line in second if line.startswith(("source ", "xbar "))]


@dataclass
class Log:
    """What was typed, with wall and CPU time; time runs from the end of the installation."""

    installed: float = 0.0

    def say(self, line: str, wall_s: float, cpu_s: float | None = None) -> None:
        cpu = "" if cpu_s is None else f"{cpu_s:7.1f} s CPU"
        print(f"{wall_s:7.1f} s{cpu:>16}  {line}", flush=True)

    def since(self) -> float:
        return time.monotonic() - self.installed


class Terminal:
    """A shell in a folder, as a user's: what is typed is a line, and a line is over when it says so."""

    cpu_s = 0.0

    def __init__(self, folder: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("XBAR_", "VIRTUAL_ENV", "PYTHONPATH"))}
        self._shell = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._in, self._out = self._shell.stdin, self._shell.stdout

    def begin(self, line: str) -> None:
        """Type a line."""
        self._in.write(f"{line}\n")
        self._in.flush()

    def read_until(self, pattern: str) -> re.Match[str]:
        """The first line that comes and matches; what came before it is shown if none does."""
        self.seen: list[str] = []
        for line in self._out:
            if found := re.search(pattern, line):
                return found
            self.seen.append(line)
        raise SystemExit(f"the shell ended without {pattern}:\n{''.join(self.seen[-30:])}")

    def do(self, line: str, log: Log) -> None:
        """Type a line and wait for its end. Ends this program if the line fails."""
        began = time.monotonic()
        self.begin(f"{line}; code=$?; times; echo ended $code")
        code = self.read_until(r"^ended (\d+)$").group(1)
        before, self.cpu_s = self.cpu_s, sum(_seconds(word) for word in self.seen[-1].split())  # of its children
        log.say(line, time.monotonic() - began, self.cpu_s - before)
        if code != "0":
            raise SystemExit(f"{line}: exit code {code}\n{''.join(self.seen[-30:])}")

    def close(self) -> None:
        """Interrupt what runs, and end the shell."""
        os.killpg(self._shell.pid, signal.SIGINT)
        self._in.close()
        self._shell.wait(timeout=30)


def _seconds(text: str) -> float:
    """``0m1.250s`` of the shell's `times`, s."""
    minutes, _, seconds = text.partition("m")
    return 60 * float(minutes) + float(seconds.rstrip("s"))


@contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    """A terminal that is closed on every way out."""
    opened = Terminal(folder)
    try:
        yield opened
    finally:
        opened.close()


def new_user(folder: Path) -> int:
    """All of it. Returns how many limits do not hold."""
    log = Log()
    began = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "xbar")], check=True)
    log.say("git clone", time.monotonic() - began)
    here = folder / "xbar"
    first, second = typed((here / "README.md").read_text())
    *setup, stays = first
    with terminal(here) as one, sync_playwright() as playwright:
        for line in setup:
            one.do(line, log)
            if line == "make setup":
                log.installed = time.monotonic()
        one.begin(stays)
        url = one.read_until(r"http\S+").group()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.add_init_script(COUNT_MAPS)
        page.goto(url)
        page.wait_for_selector("#main", state="visible")
        log.say(f"{stays}, and the page is open", log.since())
        with terminal(here) as two:
            figures = [line for line in second if line.startswith("xbar figure ")]
            for line in second[: second.index(figures[0])]:
                two.do(line, log)
            expect(page.locator("#run-state")).to_have_text("done", timeout=30_000)
            maps, at_map = page.evaluate("window.drawn"), log.since()
            for line in figures:
                two.do(line, log)
            at_figure = log.since()
        browser.close()
    drawn = list((here / "runs").glob("*.pdf"))
    print(f"live map: {maps} drawings, over {at_map:.0f} s after installation (limit {MAP_S:.0f} s)")
    print(f"figure of the paper: {len(drawn)}, {at_figure:.0f} s after installation (limit {FIGURE_S:.0f} s)")
    return int(maps < 2 or at_map > MAP_S) + int(not drawn or at_figure > FIGURE_S)


def main() -> int:
    if missing := [name for name in ("git", "chromium") if shutil.which(name) is None]:
        print(f"needs {' and '.join(missing)} (apt-get install {' '.join(missing)})", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="xbar-new-user-") as folder:
        return int(new_user(Path(folder)) > 0)


if __name__ == "__main__":
    sys.exit(main())
