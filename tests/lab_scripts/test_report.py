"""`xbar report`: every kind of run as one page that needs nothing else."""

import hashlib
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lab_scripts.figure import CALCULATED, panel_of
from lab_scripts.run_store import RUN_COMMANDS

RUNS = {
    "program": ("program", "AI4S"),
    "compare-write-verify": (
        "compare-write-verify",
        "--chips",
        1,
        "--variant",
        "one pass",
        "--variant",
        "single reads",
    ),
    "mvm": ("mvm", "--weights", "w.npy", "--inputs", "x.npy"),
    "characterise": ("characterise", "set-curve", "--points", 3, "--shots", 2),
    "figure": ("figure", "3g"),
    "hmc": ("hmc", "--L", 2, "--configs", 1000, "--chains", 10),
    "sample": ("sample", "--configs", 500, "--lam", 5.5),
    "demo": ("demo", "--lam", 5, "--configs", 200, "--tune-steps", 1),
}
"""A command of each kind that writes runs."""


def page_of(xbar, command, name="run"):
    out = f"{name}.pdf" if command[0] == "figure" else f"{name}.nc"
    made = xbar(*command, "--out", out)
    assert made.exit_code in (0, 1), made.stderr
    result = xbar("report", f"{name}.nc")
    assert result.exit_code == 0, result.stderr
    return Path(f"{name}.html").read_text()


def test_every_kind_of_run_has_a_report_here():
    assert RUNS.keys() == RUN_COMMANDS


@pytest.mark.parametrize("kind", RUNS)
def test_a_page_has_command_configuration_pictures_and_variables_and_loads_nothing(xbar, kind):
    np.save("w.npy", np.linspace(30e-6, 90e-6, 15).reshape(3, 5))
    np.save("x.npy", np.full((4, 5), 0.05))
    page = page_of(xbar, RUNS[kind])
    run = xr.open_dataset("run.nc", engine="h5netcdf")
    text = html.unescape(page)
    assert run.attrs["command"] in text
    for name, value in json.loads(run.attrs["configuration"]).items():
        if name not in ("out", "figure", "force", "json_output"):
            shown = f"{value:.6g}" if isinstance(value, float) else str(value)
            assert f">{name}</th><td>{shown}</td>" in text, name
    for name in run.variables:
        assert f"<td>{name}</td>" in text
    assert page.count("<img ") >= 1
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page))
    assert not re.search(r"<script|<link|@import|url\(|https?://", page)
    run.close()


def test_observables_stand_with_errors_and_exact_values(xbar, xbar_json):
    printed = xbar_json(*RUNS["sample"], "--out", "s.nc")["observables"]["virial"]
    assert xbar("report", "s.nc").exit_code == 0
    row = re.search(r"<td>virial</td>(.*)</tr>", Path("s.html").read_text()).group(1)
    value, tau_int, _, exact, pull = re.findall(r">([^<]*)</td>", row)
    assert value.startswith(f"{printed['value']:.2f}"[:4])
    assert (tau_int, exact) == (f"{printed['tau_int']:.2f}", "1")
    assert pull.endswith("σ")


def test_files_that_a_run_was_made_from_are_listed_with_their_digests(xbar):
    np.save("w.npy", np.linspace(30e-6, 90e-6, 15).reshape(3, 5))
    np.save("x.npy", np.full((4, 5), 0.05))
    page = page_of(xbar, RUNS["mvm"])
    for name in ("w.npy", "x.npy"):
        digest = hashlib.sha256(Path(name).read_bytes()).hexdigest()
        assert re.search(rf"<td>{name}</td><td[^>]*>{Path(name).stat().st_size}</td><td[^>]*>{digest}</td>", page)


def test_a_sampling_run_with_several_segments_or_stopped_says_why(xbar):
    page = page_of(xbar, RUNS["sample"])
    assert "Segments" not in page
    with xr.open_dataset("run.nc", engine="h5netcdf") as run:
        stopped = run.load()
    segments = [{"number": 0, "proposals": 512, "dropped": 88, "ended_by": "array 0: changed by 3 µS"}]
    stopped.attrs |= {"segments": json.dumps(segments), "incomplete": "array 0: changed by 3 µS"}
    stopped.to_netcdf("stopped.nc", engine="h5netcdf")
    assert xbar("report", "stopped.nc").exit_code == 0
    page = Path("stopped.html").read_text()
    assert re.search(r"<td>0</td><td[^>]*>512</td><td[^>]*>88</td><td[^>]*>array 0: changed by 3 µS</td>", page)
    assert "This run ended early: array 0: changed by 3 µS" in page


def test_what_a_reader_must_know_first_is_a_warning(xbar):
    page = page_of(xbar, RUNS["program"])
    failed = int(xr.load_dataset("run.nc", engine="h5netcdf").failed.sum())
    warnings = page[page.index('class="warnings"') : page.index("</ul>")]
    assert f"{failed} cells could not be programmed." in warnings


def test_text_of_a_run_is_never_markup(xbar):
    run = xr.Dataset(
        {"x": ("<b>", [1.0, 2.0], {"long_name": "<script>alert(1)</script>"})},
        attrs={"command": "xbar <script>", "configuration": "{}", "problems": "<i>all</i>"},
    )
    run.to_netcdf("odd.nc", engine="h5netcdf")
    assert xbar("report", "odd.nc").exit_code == 0
    page = Path("odd.html").read_text()
    assert "<script" not in page
    assert "<i>" not in page
    assert "&lt;i&gt;all&lt;/i&gt;" in page


def test_a_page_is_not_replaced_without_force_and_what_is_no_run_is_refused(xbar):
    page_of(xbar, RUNS["hmc"])
    assert xbar("report", "run.nc").exit_code == 4
    assert xbar("report", "run.nc", "--force").exit_code == 0
    xr.Dataset({"x": 1}).to_netcdf("other.nc", engine="h5netcdf")
    result = xbar("report", "other.nc")
    assert (result.exit_code, "not a run file" in result.stderr) == (4, True)
    assert not Path("other.html").exists()


def test_a_run_of_every_panel_finds_its_panel():
    for known in CALCULATED.values():
        run = xr.Dataset(attrs={"characterisation": known.panel.name})
        assert panel_of(run).name == known.panel.name
    assert panel_of(xr.Dataset(attrs={"configuration": '{"command": "mvm"}'})).name == "mvm"
    assert panel_of(xr.Dataset(attrs={"configuration": '{"command": "hmc"}'})) is None


def test_a_sampling_run_shows_its_magnetisation_and_how_long_it_remembers(xbar, xbar_json):
    printed = xbar_json(*RUNS["sample"], "--out", "s.nc")["observables"]["abs_M"]
    assert xbar("report", "s.nc").exit_code == 0
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", Path("s.html").read_text())
    assert captions[0] == "magnetisation of the draws"
    assert captions[1].startswith(f"autocorrelation of |M|: τ_int = {printed['tau_int']:.2f} ± ")
    # Numbers of proposals are no quantities.
    assert not [caption for caption in captions if caption.startswith(("state", "segment"))]
