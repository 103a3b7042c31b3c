"""Whoever looks can read it: contrast of text, every control by keyboard, scales of even steps, nothing cut off."""

import numpy as np
import pytest
from needs import needs_chromium
from page_text import shows
from playwright.sync_api import expect

pytestmark = needs_chromium

RATIOS = """colours => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.tagName === "OPTION" || e.disabled) continue;
    const style = getComputedStyle(e);
    const colour = e.closest("svg") ? style.fill : style.color;
    found.push([`${e.tagName} ${e.id} ${e.textContent.slice(0, 20)}`, ratio(colour, ground(e))]);
  }
  return found;
}"""
LIGHTNESS = """async () => {
  const { ramps } = await import("./colours.js");
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const y = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const lightness = (c) => (y(c) > 0.008856 ? 116 * Math.cbrt(y(c)) - 16 : 903.3 * y(c));
  return Object.fromEntries(Object.entries(ramps).map(([name, ramp]) => [name, ramp.map(lightness)]));
}"""


@pytest.fixture(scope="session")
def runs(recorded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seen")
    np.save(folder / "w.npy", np.full((6, 8), 60e-6))
    np.save(folder / "x.npy", np.full((10, 8), 0.05))
    return {
        "program": recorded("program", "AI4S", "--seed", 1, out="ai4s.nc"),
        "mvm": recorded("mvm", "--weights", folder / "w.npy", "--inputs", folder / "x.npy", out="mvm.nc"),
        "sample": recorded("sample", "--configs", 1000, out="sample.nc"),
    }


def all_told(page, tell, runs):
    for name, run in runs.items():
        tell(run, f"{name}.nc").on()
        shows(page, "#run-name", f"{name}.nc")
        shows(page, "#run-state", "done")
        yield name


def test_text_has_the_contrast_that_wcag_aa_asks_for_in_light_and_dark(page, tell, runs):
    for _ in all_told(page, tell, runs):
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        for theme in ("light", "dark"):
            page.select_option("#theme", theme)
            expect(page.locator("html")).to_have_attribute("data-theme", theme)
            ratios = page.evaluate(RATIOS)
            assert len(ratios) > 60
            assert [(theme, *each) for each in ratios if each[1] < 4.5] == []


def test_nothing_is_wider_than_a_projector_or_a_phone(page, tell, runs):
    for name in all_told(page, tell, runs):
        for width, height in ((1280, 720), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            cut = page.evaluate(
                "[...document.querySelectorAll('dd, dt, h2, .task span')].filter(e => e.checkVisibility() && "
                "e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline').map(e => e.textContent)"
            )
            assert cut == [], (name, width)


def test_the_tab_key_reaches_every_control(page, tell, runs):
    tell(runs["program"]).on(until=lambda line: line["kind"] == "programmed")
    page.wait_for_selector("#failure-list button")
    controls = (
        "[...document.querySelectorAll('button, select, input, a[href], summary, [tabindex=\"0\"]')]"
        ".filter(e => e.checkVisibility() && !e.disabled && (e.type !== 'radio' || e.checked))"
    )
    left = page.evaluate(f"(window.left = new Set({controls})).size")
    assert left > 12
    page.focus("#theme")
    for _ in range(3 * left):
        page.evaluate("window.left.delete(document.activeElement)")
        page.keyboard.press("Tab")
    assert page.evaluate("[...window.left].map(e => e.outerHTML)") == []
    # What a person sees of it: an outline.
    page.focus("#newest")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_scales_step_evenly_in_lightness(page):
    scales = page.evaluate(LIGHTNESS)
    # Sixteenths of the scale: a single step is as small as the rounding of a colour.
    rises = np.diff(scales["viridis"][::16])
    assert rises.min() > 0.5 * rises.mean()
    assert rises.max() < 1.5 * rises.mean()
    # The middle of a diverging scale is the lightest on light ground, the darkest on dark; the ends are alike.
    for name, sign in (("light", 1), ("dark", -1)):
        values = [sign * v for v in scales[name]]
        assert abs(values.index(max(values)) - 127.5) < 6
        assert abs(values[0] - values[-1]) < 10
