"""Makes the pictures of docs/dashboard.md: python docs/images/dashboard.py (needs chromium)."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")
HERE = Path(__file__).parent
PROJECTOR = {"width": 1280, "height": 720}
SAMPLING = ("sample", "--layers", "crossbar", "--tune-steps", "50", "--configs", "60000", "--out", "runs/array.nc")


def run(folder: str, *command: str) -> None:
    subprocess.run([*XBAR, *command], cwd=folder, stdout=subprocess.DEVNULL, check=True)


def shot(page: Page, name: str, theme: str) -> None:
    page.select_option("#theme", theme)
    page.wait_for_timeout(500)
    page.screenshot(path=HERE / f"dashboard-{name}.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "runs").mkdir()
        command = [*XBAR, "dashboard", "runs", "--listen", "tcp://127.0.0.1:0"]
        with (
            subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server,
            sync_playwright() as playwright,
        ):
            try:
                url = re.search(r"http\S+", server.stdout.readline()).group()
                args = ["--headless", "--no-sandbox", "--disable-gpu"]
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=args)
                page = browser.new_page(viewport=PROJECTOR)
                page.goto(url)
                page.wait_for_selector("#main", state="visible")
                run(folder, "program", "AI4S", "--seed", "1", "--out", "runs/ai4s.nc")
                expect(page.locator("#run-state")).to_have_text("done")
                page.locator("#map").click(position={"x": 200, "y": 120})
                shot(page, "light", "light")
                page.check("#views input[value=error]", force=True)
                shot(page, "dark", "dark")
                page.check("#views input[value=measured]", force=True)
                run(folder, "hmc", "--configs", "20000", "--out", "runs/hmc.nc")
                with subprocess.Popen([*XBAR, *SAMPLING], cwd=folder, stdout=subprocess.DEVNULL) as sampling:
                    some = re.compile(r"^1\d{4}$")
                    expect(page.locator("#run-name")).to_have_text("array.nc", timeout=60_000)
                    expect(page.locator("#sampling-numbers dd").first).to_have_text(some, timeout=120_000)
                    shot(page, "sampling", "light")
                    sampling.terminate()
                run(folder, "calibrate", "self", "--out", "runs/self.json")
                expect(page.locator("#run-name")).to_have_text("self.json")
                expect(page.locator("#run-state")).to_have_text("done")
                shot(page, "calibration", "dark")
                browser.close()
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
