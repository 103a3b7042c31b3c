"""What looking on costs: programming an array that tells of itself and one that doesn't, in pairs; how often the map is
drawn.

python benchmarks/bench_dashboard.py

The first is CPU time of the process that programs. The second needs chromium, and counts how often the page draws while
a mock array is programmed, in one second of reads.
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
from pathlib import Path

from calibration.targets import pattern
from calibration.write_verify import program
from drivers.connect import open_crossbar
from lab_scripts import live
from lab_scripts.live_events import tell_programmed, tell_read

PAIRS, LIMIT, LEAST_PER_S = 15, 1.05, 10.0
XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")


def seconds(folder: Path | None) -> float:
    """CPU time to program an array, s; with a folder it tells of itself there, as `xbar program` does."""
    with open_crossbar("mock", seed=1) as crossbar:
        began = time.process_time()
        if folder is None:
            program(crossbar, pattern("AI4S", crossbar.shape))
        else:
            live.begin(folder / "r.nc", "xbar program AI4S")
            step = live.task("Programming")

            def tell(now) -> None:
                step(now.cells_done, now.cells)
                tell_read(now, crossbar)

            tell_programmed(program(crossbar, pattern("AI4S", crossbar.shape), progress=tell))
            live.end("done", "")
        return time.process_time() - began


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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds(None)
        ratio = statistics.median(seconds(folder) / seconds(None) for _ in range(PAIRS))
        print(f"programming, CPU time told of / not told of: {ratio:.3f} (limit {LIMIT})")
        rate = LEAST_PER_S
        if shutil.which("chromium") is None:
            print("drawing: not measured, chromium is missing (apt-get install chromium)")
        else:
            rate = frames_per_second(folder)
            print(f"maps drawn per second, median: {rate:.1f} (limit {LEAST_PER_S})")
    return int(ratio > LIMIT or rate < LEAST_PER_S)


if __name__ == "__main__":
    sys.exit(main())
