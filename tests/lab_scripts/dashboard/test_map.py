"""The map of an array in a browser: what it shows is what the run file holds."""

import re

import numpy as np
import pytest
from needs import needs_chromium
from page_text import as_table, numbers, pairs, shows
from playwright.sync_api import expect

pytestmark = needs_chromium
AI4S = ("program", "AI4S", "--seed", 1)


@pytest.fixture(scope="session")
def ai4s(recorded):
    return recorded(*AI4S, out="ai4s.nc")


def look_at(page, view):
    page.check(f"#views input[value={view}]", force=True)
    shows(page, "#values caption", re.compile(f"^{view.capitalize()}"))
    return numbers(page, "#values")


def test_the_map_shows_what_was_programmed(page, tell, ai4s):
    tell(ai4s).on()
    run = ai4s.run
    shows(page, "#run-state", "done")
    as_table(page, "#as-table")
    assert look_at(page, "measured") == pytest.approx(run.g_read_s.to_numpy() * 1e6, abs=0.006)
    assert look_at(page, "target") == pytest.approx(run.g_target_s.to_numpy() * 1e6, abs=0.006)
    error = (run.g_read_s - run.g_target_s).to_numpy() * 1e6
    assert look_at(page, "error") == pytest.approx(error, abs=0.006)
    pulses = look_at(page, "pulses")
    assert pulses.sum() == ai4s.of_kind("read")[-1]["pulses"]
    page.check("#views input[value=state]", force=True)
    shows(page, "#values caption", re.compile("^State"))
    states = page.locator("#values tbody td").all_text_contents()
    failed = np.array([state not in ("done", "left alone") for state in states])
    np.testing.assert_array_equal(failed, run.failed.to_numpy().ravel())
    assert page.locator("#failure-list li").count() == int(run.failed.sum())


def test_a_click_and_keys_choose_a_cell_and_show_its_reads_and_pulses(page, tell, ai4s):
    tell(ai4s).on()
    run = ai4s.run
    shows(page, "#run-state", "done")
    size = page.evaluate("document.querySelector('#map').cellSize")
    page.click("#map", position={"x": 34 + 20.5 * size, "y": 8 + 5.5 * size})
    shows(page, "#history-title", "Cell SL 5, BL 20")
    assert page.locator("#reads tbody tr").count() == int(page.get_attribute("#map", "data-reads"))
    last = page.locator("#reads tbody tr").last.locator("td").first.text_content()
    assert float(last) == pytest.approx(float(run.g_read_s[5, 20]) * 1e6, abs=0.006)
    page.focus("#map")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowLeft")
    shows(page, "#history-title", "Cell SL 6, BL 12")
    assert pairs(page, "#cell")["target"] == f"{float(run.g_target_s[6, 12]) * 1e6:.2f}µS"


def test_while_it_is_programmed_the_newest_read_is_shown_and_the_slider_goes_back(page, tell, ai4s):
    told = tell(ai4s)
    told.on(until=lambda line: line["kind"] == "read" and line["cycle"] == 5)
    expect(page.locator("#map")).to_have_attribute("data-reads", "5")
    shows(page, "#run-state", "running")
    fifth = ai4s.of_kind("read")[4]
    assert pairs(page, "#numbers")["cells done"] == f"{fifth['done']}of {fifth['total']}"
    assert pairs(page, "#numbers")["pulses"] == str(fifth["pulses"])
    expect(page.locator("#tasks")).to_contain_text("left")
    page.focus("#cycle")
    page.keyboard.press("ArrowLeft")
    shows(page, "#cycle-shown", "4 of 5")
    told.on(until=lambda line: line["kind"] == "read" and line["cycle"] == 7)
    shows(page, "#cycle-shown", "4 of 7")
    page.click("#newest")
    shows(page, "#cycle-shown", "7 of 7")
