"""Makes the pictures of docs/dashboard.md: python docs/images/dashboard.py (needs chromium)."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")
HERE = Path(__file__).parent
SIZE = {"width": 1280, "height": 720}


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
                page = browser.new_page(viewport=SIZE)
                page.goto(url)
                page.wait_for_selector("#main", state="visible")
                command = [*XBAR, "program", "AI4S", "--seed", "1", "--out", "runs/ai4s.nc"]
                subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
                expect(page.locator("#run-state")).to_have_text("done")
                page.locator("#map").click(position={"x": 200, "y": 120})
                for theme, view in (("light", "measured"), ("dark", "error")):
                    page.select_option("#theme", theme)
                    page.check(f"#views input[value={view}]", force=True)
                    page.wait_for_timeout(500)
                    page.screenshot(path=HERE / f"dashboard-{theme}.png")
                browser.close()
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
