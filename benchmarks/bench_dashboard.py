"""What looking on costs: programming, reading and sampling that tell of themselves and that don't, in pairs; how often
the map is drawn.

python benchmarks/bench_dashboard.py

The first are CPU times of the process that works. The last needs chromium, and counts how often the page draws while a
mock array is programmed, in one second of reads.
"""

from __future__ import annotations

import itertools
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from anf.flows.checkpoint import load_flow, shipped
from anf.lattice.actions import Phi4
from anf.samplers.sampling import sample
from calibration.targets import pattern
from calibration.write_verify import program
from drivers.connect import open_crossbar
from lab_scripts import live
from lab_scripts.live_events import tell_programmed, tell_read, telling_reads
from lab_scripts.live_sampling import SamplerTold

PAIRS, LIMIT, LEAST_PER_S = 15, 1.05, 10.0
READS, PROPOSALS = 400, 65_536
XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")


def seconds(work: Callable[[], None], folder: Path | None, command: str) -> float:
    """CPU time of `work`, s; with a folder it tells of itself there, as that command does."""
    if folder is not None:
        live.begin(folder / "r.nc", command)
    began = time.process_time()
    work()
    spent = time.process_time() - began
    live.end("done", "")
    return spent


def programming() -> None:
    """An array, as `xbar program` does it."""
    with open_crossbar("mock", seed=1) as crossbar:
        step = live.task("Programming")

        def tell(now) -> None:
            step(now.cells_done, now.cells)
            tell_read(now, crossbar)

        told = tell if live.listening() else None
        tell_programmed(program(crossbar, pattern("AI4S", crossbar.shape), progress=told))


def reading() -> None:
    """Reads of an array, as `xbar characterise` does them."""
    with open_crossbar("mock", seed=1) as crossbar, telling_reads(crossbar):
        for _ in range(READS):
            crossbar.read_conductance()


class Sampling:
    """Proposals of the flow that draws them fastest, where telling weighs most, as `xbar sample` draws them."""

    def __init__(self) -> None:
        self.action = Phi4(m2=-4.0, lam=5.0, shape=(4, 4))
        self.flow, _ = load_flow(shipped(self.action), self.action)

    def __call__(self) -> None:
        told = SamplerTold(self.action, "flow") if live.listening() else None
        sample(self.flow, self.action, PROPOSALS, seed=1, on_looker=told)


def frames_per_second(folder: Path) -> float:
    """How often the page draws a new read, while one array is programmed."""
    from playwright.sync_api import expect, sync_playwright

    with subprocess.Popen(
        [*XBAR, "dashboard", str(folder), "--listen", "tcp://127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            url = re.search(r"http\S+", server.stdout.readline()).group()
            with sync_playwright() as playwright:
                args = ["--headless", "--no-sandbox", "--disable-gpu"]
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=args)
                page = browser.new_page(viewport={"width": 1280, "height": 720})
                # Instants at which the map shows another read than before.
                page.add_init_script(
                    "addEventListener('DOMContentLoaded', () => { window.drawn = [];"
                    "new MutationObserver(() => drawn.push(performance.now()))"
                    ".observe(document.querySelector('#map'), {attributeFilter: ['data-reads']}); })"
                )
                page.goto(url)
                page.wait_for_selector("#main", state="visible")
                subprocess.run([*XBAR, "program", "AI4S", "--out", str(folder / "b.nc")], stdout=subprocess.DEVNULL)
                expect(page.locator("#run-state")).to_have_text("done", timeout=30_000)
                at = page.evaluate("window.drawn")
                browser.close()
        finally:
            server.terminate()
    gaps = [b - a for a, b in itertools.pairwise(at)]
    return 1000 / statistics.median(gaps)


def main() -> int:
    torch.set_num_threads(1)
    over = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = (("programming", programming), ("reading", reading), ("sampling", Sampling()))
        for what, work in works:
            seconds(work, folder, "xbar")
            pairs = [(seconds(work, folder, "xbar"), seconds(work, None, "")) for _ in range(PAIRS)]
            ratio = statistics.median(told / not_told for told, not_told in pairs)
            print(f"{what}, CPU time told of / not told of: {ratio:.3f} (limit {LIMIT})")
            over |= ratio > LIMIT
        if shutil.which("chromium") is None:
            print("drawing: not measured, chromium is missing (apt-get install chromium)")
        else:
            rate = frames_per_second(folder)
            print(f"maps drawn per second, median: {rate:.1f} (limit {LEAST_PER_S})")
            over |= rate < LEAST_PER_S
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
