"""The gateware mapped to the 7 series by yosys."""

import importlib.util

import pytest

from firmware_bridge import synthesis
from firmware_bridge.gateware import PROGRAM_WORDS, RESULT_WORDS
from firmware_bridge.rtl_build import RtlUnavailable
from firmware_bridge.synthesis import SHARE, XC7Z045, Utilisation, synthesise

needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="needs the pyosys wheel (pip install 'xbar[rtl]')"
)
LATCH = "module top(input logic c, d, output logic q); always_latch if (c) q = d; endmodule"
MISSING = "module top(input logic d, output logic q); nowhere u(.d, .q); endmodule"
TWICE = "module top(input logic a, b, output wire q); assign q = a; assign q = b; endmodule"


@needs_yosys
def test_the_gateware_takes_a_tenth_of_the_part_at_most_and_its_memories_are_block_ram():
    used = synthesise()
    assert {name: used.used(name) <= SHARE * there for name, there in XC7Z045.items()} == dict.fromkeys(XC7Z045, True)
    # 36 kbit hold 1024 words of 32 bits.
    assert used.used("BRAM36") == (PROGRAM_WORDS + RESULT_WORDS) / 1024


@needs_yosys
@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (LATCH, ValueError, "latches.*'LD"),
        (MISSING, RtlUnavailable, "unknown module 'nowhere'"),
        (TWICE, RtlUnavailable, "multiple"),
    ],
)
def test_what_cannot_be_synthesised_is_found(source, error, message, tmp_path, monkeypatch):
    (tmp_path / "top.sv").write_text(source)
    monkeypatch.setattr(synthesis, "sources", lambda: [tmp_path / "top.sv"])
    monkeypatch.setattr(synthesis, "TOP", "top")
    monkeypatch.setenv("XBAR_RTL_CACHE", str(tmp_path))
    with pytest.raises(error, match=message):
        synthesise()


def test_resources_are_counted_as_the_part_counts_them():
    used = Utilisation(
        {"LUT1": 3, "LUT6": 2, "RAM64M": 1, "FDRE": 5, "FDSE": 1, "RAMB36E1": 2, "RAMB18E1": 3, "INV": 9}
    )
    assert [used.used(name) for name in ("LUT", "FF", "BRAM36")] == [9, 6, 3.5]


@pytest.mark.parametrize("cell", ["LDCE", "$dlatch", "some_module"])
def test_a_cell_that_is_none_of_the_part_is_refused(cell):
    with pytest.raises(ValueError, match="latches, black boxes or cells left unmapped"):
        Utilisation({"LUT1": 1, cell: 2})
