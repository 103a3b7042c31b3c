"""Pin plan, constraints and build script of the bitstream: as much as can be known without Vivado."""

import re
import shutil
import subprocess
from typing import Any

import pytest
from needs import needs_verilator

from drivers.board import load_board
from firmware_bridge.errors import LimitError
from firmware_bridge.overlay import pins
from firmware_bridge.rtl_build import MODULES, SOURCES
from firmware_bridge.zc706_bridge import BITSTREAM, VLNV

OVERLAY = BITSTREAM.parent
INSIDE = ("aclk", "aresetn", "clock_hz", "irq")


def top_ports():
    """(direction, width) by name, of all ports of the top module."""
    text = (SOURCES / "xbar_top.v").read_text().split(");\n")[0]
    found = re.findall(r"^ +(input|output) +wire +(?:\[ *(\d+):0\])? *(\w+)", text, re.MULTILINE)
    return {name: (direction[:-3], int(high or 0) + 1) for direction, high, name in found}


def outside():
    """The same of those that leave the fabric, bit by bit."""
    return {
        name if width == 1 else f"{name}[{bit}]": direction
        for name, (direction, width) in top_ports().items()
        if name not in INSIDE and not name.startswith(("s_axi_", "m_axi_"))
        for bit in range(width)
    }


def test_every_port_that_leaves_the_fabric_has_one_pin_and_no_pin_two():
    plan = pins.plan()
    assert {port.name: port.direction for port in plan} == outside()
    assert len(plan) == len(outside())
    assert len({site.pin for site in plan.values()}) == len(plan)
    assert set(plan.values()) <= set(pins.sites())


def test_the_connectors_have_34_pairs_each_and_no_pin_stands_on_both():
    sites = pins.sites()
    assert [site.signal for site in sites] == [f"LA{i:02}_{side}" for i in range(34) for side in "PN"] * 2
    assert len({site.pin for site in sites}) == 2 * 68
    # Rows and columns of a package of 30 × 30 balls; I, O, Q, S, X, Z are not used.
    assert all(re.fullmatch(r"(A?[A-HJ-NPRT-WY])([1-9]|[12]\d|30)", site.pin) for site in sites)


def test_a_chip_stands_on_one_connector_and_the_board_of_the_paper_on_the_hpc_alone():
    plan = pins.plan()
    for chip in pins.chips():
        assert len({plan[port].connector for port in chip}) == 1
    wiring = load_board().wiring
    used = pins.chips()[: wiring.n_dacs + 1 + wiring.n_adcs]
    assert {plan[port].connector for chip in used for port in chip} == {"HPC"}


def test_the_constraints_are_what_the_plan_prints():
    found = (OVERLAY / "xbar.xdc").read_text()
    assert found == pins.xdc(), "python -m firmware_bridge.overlay.pins > firmware_bridge/overlay/xbar.xdc"


STUBS = """
set calls {}
proc unknown {name args} { lappend ::calls [concat $name $args]; return [list $name {*}$args] }
proc get_property {name args} {
    switch -- $name {
        CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ { return $::actual_mhz }
        PROGRESS { return 100% }
        STATS.WNS { return $::slack }
    }
}
proc file {what args} {
    if {$what eq "copy"} { lappend ::calls [concat file copy $args]; return }
    return [::tcl_file $what {*}$args]
}
"""


def run_build(tmp_path, actual_mhz="100.000000", slack="0.3"):
    """build.tcl with Vivado's commands noted instead of done."""
    script = tmp_path / "run.tcl"
    script.write_text(
        f"rename file tcl_file\nset actual_mhz {actual_mhz}\nset slack {slack}\n{STUBS}\n"
        f"source {{{OVERLAY / 'build.tcl'}}}\nforeach call $calls {{ puts $call }}\n"
    )
    return subprocess.run(["tclsh", str(script)], capture_output=True, text=True, check=False)


needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="needs tclsh (apt-get install tcl)")


@needs_tcl
def test_the_build_script_connects_every_port_of_the_top_module(tmp_path):
    done = run_build(tmp_path)
    assert done.returncode == 0, done.stderr
    connected = set(re.findall(r"\bxbar_0/(\w+)", done.stdout))
    interfaces = {name.split("_axi_")[0] + "_axi" for name in top_ports() if "_axi_" in name}
    assert connected == {name for name in top_ports() if "_axi_" not in name} | interfaces
    made = re.findall(r"^create_bd_port -dir ([IO])(?: -from (\d+) -to 0)? (\w+)$", done.stdout, re.MULTILINE)
    ports = {
        name if not high else f"{name}[{bit}]": {"I": "in", "O": "out"}[direction]
        for direction, high, name in made
        for bit in range(int(high or 0) + 1)
    }
    assert ports == outside()
    assert all(re.search(rf"/{re.escape(name)}\b", done.stdout) for name in MODULES)
    assert f"-reference {VLNV.split(':')[2]} " in done.stdout


@needs_tcl
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"actual_mhz": "95.238098"}, "would run at 95.238098 MHz, not 100"),
        ({"slack": "-0.012"}, "timing is not met: worst slack -0.012 ns"),
    ],
)
def test_the_build_script_stops_at_a_wrong_clock_and_at_timing_that_is_not_met(tmp_path, values, message):
    done = run_build(tmp_path, **values)
    assert done.returncode != 0
    assert message in done.stderr


@needs_verilator
def test_the_programs_of_the_bring_up_run_on_the_gateware():
    (code,) = re.findall(r"```python\n(.*?)```", (OVERLAY / "README.md").read_text(), re.DOTALL)
    assert "zc706?loaded" in code
    rehearsal = code.replace("zc706?loaded", "rtl").replace("100_000", "2")
    namespace: dict[str, Any] = {}
    exec(rehearsal, namespace)
    bridge = namespace["bridge"]
    assert bridge.board.gate
    exec("bridge.run(Program([Gate(False), Pulse(100)]))", namespace)
    with pytest.raises(LimitError, match="width of a PULSE"):
        exec("bridge.run(Program([Gate(False), Pulse(2)]))", namespace)
    bridge.close()
    assert bridge.board.chain.outputs() is None
