"""The dashboard in a browser: what it shows is what the run file holds, and abort makes a board safe."""

import re
import threading
import time

import numpy as np
import pytest
import xarray as xr
from dying_hosts import is_safe
from needs import needs_chromium
from playwright.sync_api import expect

from drivers.board import load_board
from drivers.bridges import open_bridge
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server
from lab_scripts.dashboard.watch import Watch

pytestmark = needs_chromium


def numbers(page, table):
    """A table of the page as numbers, without its first column."""
    cells = page.locator(f"{table} tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td')].map(c => c.textContent.replace('−', '-')))"
    )
    return np.array(cells, float)


def shows(page, selector, text):
    """Wait until an element says just that."""
    expect(page.locator(selector)).to_have_text(text)


def programmed(desk, page, name="ai4s.nc", *more):
    command = desk.run("program", "AI4S", "--seed", 1, "--out", name, *more)
    shows(page, "#run-name", name)
    shows(page, "#run-state", "done")
    assert command.wait(timeout=30) == 0, command.stderr.read()
    return xr.load_dataset(desk.folder / name, engine="h5netcdf")


def test_the_map_shows_what_was_programmed_and_a_cell_its_history(desk, page):
    run = programmed(desk, page)
    page.click("#as-table summary")
    page.wait_for_selector("#values tbody tr")
    assert numbers(page, "#values") == pytest.approx(run.g_read_s.to_numpy() * 1e6, abs=0.006)
    page.check("#views input[value=target]", force=True)
    shows(page, "#values caption", re.compile("^Target"))
    assert numbers(page, "#values") == pytest.approx(run.g_target_s.to_numpy() * 1e6, abs=0.006)
    page.check("#views input[value=error]", force=True)
    shows(page, "#values caption", re.compile("^Error"))
    error = (run.g_read_s - run.g_target_s).to_numpy() * 1e6
    assert numbers(page, "#values") == pytest.approx(error, abs=0.006)
    assert page.locator("#failure-list li").count() == int(run.failed.sum())

    # A click chooses the cell that is under it.
    size = page.evaluate("document.querySelector('#map').cellSize")
    page.click("#map", position={"x": 34 + 20.5 * size, "y": 8 + 5.5 * size})
    shows(page, "#history-title", "Cell SL 5, BL 20")
    assert page.locator("#reads tbody tr").count() == int(page.get_attribute("#map", "data-reads"))
    last = page.locator("#reads tbody tr").last.locator("td").first.text_content()
    assert float(last) == pytest.approx(float(run.g_read_s[5, 20]) * 1e6, abs=0.006)
    # And so do keys.
    page.focus("#map")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowLeft")
    shows(page, "#history-title", "Cell SL 6, BL 12")
    assert f"{float(run.g_target_s[6, 12]) * 1e6:.2f}" in page.inner_text("#cell")


def test_after_a_lost_connection_the_page_has_everything_once(desk, page):
    programmed(desk, page, "before.nc")
    desk.stop()
    shows(page, "#link", re.compile("^connection lost"))
    assert page.inner_text("#run-name") == "before.nc"
    again = type(desk)(desk.folder, f"tcp://{desk.place.removeprefix('http://').rstrip('/')}")
    try:
        # Started anew it has drawn another token: the page asks for it.
        page.wait_for_selector("#login", state="visible")
        page.fill("#token", again.token)
        page.click("#login button")
        shows(page, "#link", "connected")
        run = programmed(again, page, "after.nc")
        page.click("#as-table summary")
        page.wait_for_selector("#values tbody tr")
        assert numbers(page, "#values") == pytest.approx(run.g_read_s.to_numpy() * 1e6, abs=0.006)
    finally:
        again.stop()


def test_a_wrong_token_is_refused_and_nothing_is_shown(desk, browser):
    page = browser.new_page()
    page.goto(f"{desk.place}#wrong")
    page.wait_for_selector("#login", state="visible")
    assert page.is_hidden("#main")
    page.fill("#token", "still wrong")
    page.click("#login button")
    shows(page, "#login-error", "That is not the token.")
    assert page.request.get(f"{desk.place}report/x.nc").status == 403
    page.close()


def test_a_name_of_a_run_is_text_and_nothing_else(desk, page):
    name = "<img src=x onerror=document.title='taken'>.nc"
    programmed(desk, page, name)
    expect(page.locator("#finished-runs a")).to_have_count(1)
    assert page.locator("#main img").count() == 0
    assert page.title() == "xbar dashboard"
    assert name in page.inner_text("#finished-runs")
    answer = page.request.get(desk.place + page.get_attribute("#finished-runs a", "href"))
    assert answer.status == 200
    assert "<img src=x" not in answer.text()
    assert "sandbox" in answer.headers["content-security-policy"]


class Held:
    """A bridge that holds up the program after `programs` others until it may go on."""

    def __init__(self, inner, programs):
        self.inner, self.left, self.held, self.go_on = inner, programs, threading.Event(), threading.Event()

    def run(self, program):
        self.left -= 1
        if self.left == 0:
            self.held.set()
            assert self.go_on.wait(30)
        return self.inner.run(program)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_abort_ends_the_command_by_its_own_signal_path_and_the_chips_are_safe(desk, page):
    bridge = Held(open_bridge("mock", board=load_board(), seed=1), 24)
    over = threading.Event()
    with Server(bridge, Address.parse("tcp://127.0.0.1:0")) as server:
        serving = threading.Thread(target=server.serve, args=(over.is_set,))
        serving.start()
        try:
            command = desk.run("program", "AI4S", "--backend", server.address, "--out", "aborted.nc")
            assert bridge.held.wait(30)
            chips = bridge.inner.board
            page.wait_for_selector("#abort", state="visible")
            expect(page.locator("#map")).to_have_attribute("data-reads", re.compile("^[2-9]|^[1-9][0-9]"))
            assert not is_safe(chips)
            page.click("#abort")
            shows(page, "#run-state", "aborting")
            bridge.go_on.set()
            assert command.wait(timeout=30) == 130
            assert "xbar resume" in command.stderr.read()
            shows(page, "#run-state", "interrupted, outputs safe")
            assert page.is_hidden("#abort")
            # The command has closed its session, and the server is idle.
            for _ in range(100):
                if is_safe(chips):
                    break
                time.sleep(0.05)
            assert is_safe(chips)
        finally:
            bridge.go_on.set()
            over.set()
            serving.join()
    assert not (desk.folder / "aborted.nc").exists()


def test_a_command_that_was_killed_is_shown_as_killed(desk, page):
    bridge = Held(open_bridge("mock", board=load_board(), seed=1), 10)
    over = threading.Event()
    with Server(bridge, Address.parse("tcp://127.0.0.1:0")) as server:
        serving = threading.Thread(target=server.serve, args=(over.is_set,))
        serving.start()
        try:
            command = desk.run("program", "AI4S", "--backend", server.address, "--out", "killed.nc")
            assert bridge.held.wait(30)
            command.kill()
            command.communicate()
            shows(page, "#run-state", "killed")
        finally:
            bridge.go_on.set()
            over.set()
            serving.join()
    watch = Watch(desk.folder)
    watch.poll()
    assert [run.out.name for run in watch.runs] == ["killed.nc"]
