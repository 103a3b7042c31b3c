"""Who may look, and what a page shows when connections, commands and files come and go."""

import re
import subprocess
import sys

import pytest
from needs import needs_chromium
from page_text import shows
from playwright.sync_api import expect

pytestmark = needs_chromium
START = "from lab_scripts.cli import main; main()"


@pytest.fixture(scope="session")
def hmc(recorded):
    return recorded("hmc", "--L", 2, "--configs", 1000, out="hmc.nc")


@pytest.fixture(scope="session")
def ai4s(recorded):
    return recorded("program", "AI4S", "--seed", 1, out="ai4s.nc")


def test_the_command_prints_an_address_that_opens_the_page(tmp_path, browser):
    command = [sys.executable, "-c", START, "dashboard", str(tmp_path), "--listen", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = re.search(r"http\S+", process.stdout.readline()).group()
        page = browser.new_page()
        page.goto(address)
        shows(page, "#link", "connected")
        shows(page, "#folder", str(tmp_path))
        # The token goes from the address, where others could read it.
        assert "#" not in page.url
        page.close()
        process.terminate()
        process.wait(timeout=20)


def test_a_wrong_token_is_refused_and_nothing_is_shown(desk, browser):
    page = browser.new_page()
    page.goto(f"{desk.place}#wrong")
    page.wait_for_selector("#login", state="visible")
    assert page.is_hidden("#main")
    page.fill("#token", "still wrong")
    page.click("#login button")
    shows(page, "#login-error", "That is not the token.")
    for place in ("report/x.nc", "reference?action=x"):
        assert page.request.get(desk.place + place).status == 403
    page.close()


def test_after_a_lost_connection_the_page_has_everything_once(desk, page, tell, ai4s):
    told = tell(ai4s)
    told.on(until=lambda line: line["kind"] == "read" and line["cycle"] == 5)
    expect(page.locator("#map")).to_have_attribute("data-reads", "5")
    desk.stop()
    shows(page, "#link", re.compile("^connection lost"))
    shows(page, "#run-name", "run.nc")
    expect(page.locator("#abort")).to_be_disabled()
    told.on(until=lambda line: line["kind"] == "read" and line["cycle"] == 9)
    again = type(desk)(desk.folder, port=desk.port)
    try:
        shows(page, "#link", "connected")
        expect(page.locator("#map")).to_have_attribute("data-reads", "9")
        told.on()
        shows(page, "#run-state", "done")
        assert page.locator("#reads tbody tr").count() == len(ai4s.of_kind("read")) + 1
    finally:
        again.stop()


def test_a_dashboard_that_was_started_anew_asks_for_its_new_token(desk, page):
    desk.stop()
    shows(page, "#link", re.compile("^connection lost"))
    again = type(desk)(desk.folder, token="another", port=desk.port)
    try:
        page.wait_for_selector("#login", state="visible")
        page.fill("#token", "another")
        page.keyboard.press("Enter")
        shows(page, "#link", "connected")
    finally:
        again.stop()


def test_two_browsers_see_the_same_and_one_that_comes_late_sees_all_of_it(desk, page, open_page, tell, ai4s):
    told = tell(ai4s)
    told.on(until=lambda line: line["kind"] == "read" and line["cycle"] == 5)
    expect(page.locator("#map")).to_have_attribute("data-reads", "5")
    late = open_page(desk)
    for each in (page, late):
        expect(each.locator("#map")).to_have_attribute("data-reads", "5")
    assert page.inner_text("#reads") == late.inner_text("#reads")
    # Each looks at a cell of its own.
    late.focus("#map")
    late.keyboard.press("ArrowDown")
    shows(late, "#history-title", "Cell SL 1, BL 0")
    shows(page, "#history-title", "Cell SL 0, BL 0")
    told.on()
    for each in (page, late):
        shows(each, "#run-state", "done")


def test_a_page_that_is_opened_after_the_end_lists_the_run_and_shows_what_was_told(desk, open_page, tell, hmc):
    page = open_page(desk)
    shows(page, "#run-name", "Nothing runs")
    tell(hmc).on()
    shows(page, "#run-state", "done")
    late = open_page(desk)
    shows(late, "#run-name", "run.nc")
    shows(late, "#run-state", "done")
    assert late.is_hidden("#abort")
    expect(late.locator("#finished-runs a")).to_have_count(1)
    # A dashboard that was started later knows the file alone.
    again = type(desk)(desk.folder)
    try:
        later = open_page(again)
        shows(later, "#finished-runs li", re.compile("run.nc"))
        answer = later.request.get(again.place + later.get_attribute("#finished-runs a", "href"))
        assert (answer.status, "run.nc" in answer.text()) == (200, True)
    finally:
        again.stop()


def test_the_next_run_is_followed_when_the_one_before_has_ended_and_no_earlier(page, tell, hmc):
    first, second = tell(hmc, "first.nc"), tell(hmc, "second.nc")
    shows(page, "#run-name", "first.nc")
    first.on()
    shows(page, "#run-state", "done")
    expect(page.locator("#live-runs button")).to_have_count(2)
    page.get_by_role("button", name="second.nc").click()
    shows(page, "#run-name", "second.nc")
    second.on()
    third = tell(hmc, "third.nc")
    shows(page, "#run-name", "third.nc")
    third.on()


def test_a_command_that_was_killed_is_shown_as_killed(page, tell, ai4s):
    told = tell(ai4s)
    told.on(until=lambda line: line["kind"] == "read" and line["cycle"] == 3)
    shows(page, "#run-state", "running")
    told.let_go()
    shows(page, "#run-state", "killed")
    expect(page.locator("#board-status")).to_contain_text("see the watchdog")


def test_a_broken_file_is_named_and_the_others_are_listed(desk, page, tell, hmc):
    (desk.folder / "broken.nc").write_bytes(b"\x89HDF\r\n\x1a\nand then nothing")
    tell(hmc, "whole.nc").on()
    expect(page.locator("#finished-runs li")).to_have_count(2)
    listed = page.locator("#finished-runs")
    expect(listed).to_contain_text("cannot be read")
    assert page.locator("#finished-runs a").count() == 1
    assert page.request.get(f"{desk.place}report/broken.nc").status == 404
    for name in ("../secret.nc", "absent.nc", "x.txt"):
        assert page.request.get(f"{desk.place}report/{name.replace('/', '%2F')}").status == 404


def test_a_name_of_a_run_is_text_and_nothing_else(desk, page, tell, hmc):
    name = "<img src=x onerror=document.title='taken'>.nc"
    tell(hmc, name).on()
    expect(page.locator("#finished-runs a")).to_have_count(1)
    shows(page, "#run-name", name)
    assert page.locator("#main img").count() == 0
    assert page.title() == "xbar dashboard"
    answer = page.request.get(desk.place + page.get_attribute("#finished-runs a", "href"))
    assert answer.status == 200
    assert "<img src=x" not in answer.text()
    assert "sandbox" in answer.headers["content-security-policy"]
