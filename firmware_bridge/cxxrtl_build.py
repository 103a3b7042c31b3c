"""The gateware elaborated a second time, by yosys into CXXRTL, behind the same harness and chips.

Verilator and yosys read SystemVerilog with different front ends and turn it into C++ by different ways. Where words,
cycles and pins agree, neither has misread the sources. Needs the `pyosys` wheel. Slower than Verilator: for tests.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from firmware_bridge.rtl_build import SOURCES, TOP, shared_object
from firmware_bridge.synthesis import yosys

WRITE = ("opt_clean", "write_cxxrtl -O4 -g0 -header gateware.cc")
COMPILE = ("-std=c++17", "-O1", "-fPIC", "-shared")

# What the harness uses of Verilator's interface, over a CXXRTL design.
_VERILATED = """
#pragma once
struct VerilatedContext { void threads(int) {} };
struct Verilated { static void threadContextp(VerilatedContext*) {} };
"""
_TOP = """
#pragma once
#include "gateware.h"
#include "verilated.h"
template <class T> auto cxx_get(const T& v, int) -> decltype(v.curr, 0ull) {{ return v.curr.template get<uint64_t>(); }}
template <class T> uint64_t cxx_get(const T& v, long) {{ return v.template get<uint64_t>(); }}
template <class T> auto cxx_set(T& v, uint64_t x, int) -> decltype(v.next, void()) {{ v.next.set(x); }}
template <class T> void cxx_set(T& v, uint64_t x, long) {{ v.set(x); }}
struct V{top}___024root {{ uint64_t {internals}; }};
struct V{top} {{
    explicit V{top}(VerilatedContext*) {{}}
    uint32_t {ports};
    V{top}___024root* rootp = &root_;
    void eval() {{
        {drive}
        design_.step();
        design_.step();  // what follows from registers is worked out before they change
        {sense}
    }}
    void final() {{}}
private:
    V{top}___024root root_{{}};
    cxxrtl_design::p_{mangled} design_;
}};
"""


def build() -> Path:
    """The shared object, built if the cache does not have it. Raises `RtlUnavailable`."""
    harness = "".join(path.read_text() for path in SOURCES.glob("*.[ch]*"))
    internals = sorted(set(re.findall(rf"\b{TOP}__DOT__\w+", harness)))

    def elaborate(folder: Path) -> tuple[list[str], list[Path]]:
        # Wires that the harness looks at stay, under their names.
        kept = " ".join(f"w:{'.'.join(_path(name))}" for name in internals)
        yosys(folder, "flatten", f"setattr -set keep 1 {kept}", *WRITE)
        (folder / "verilated.h").write_text(_VERILATED)
        (folder / f"V{TOP}.h").write_text(_adapter((folder / "gateware.h").read_text(), internals))
        (folder / f"V{TOP}___024root.h").write_text("#pragma once\n")
        spec = find_spec("pyosys")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        runtime = Path(spec.submodule_search_locations[0]) / "share/include/backends/cxxrtl/runtime"
        return [f"-I{folder}", f"-I{runtime}"], [folder / "gateware.cc"]

    installed = version("pyosys") if find_spec("pyosys") else None
    return shared_object("cxxrtl", (WRITE, _VERILATED, _TOP, installed), COMPILE, elaborate)


def _adapter(header: str, internals: list[str]) -> str:
    """A class with the members that the harness knows, each copied to or from the design's."""
    inputs = _names(header, r"/\*input\*/ \w+<\d+> p_(\w+);")
    outputs = _names(header, r"/\*output\*/ \w+<\d+> p_(\w+);")
    sense = [f"{name} = cxx_get(design_.p_{_mangled(name)}, 0);" for name in outputs]
    for name in internals:
        wire = "_2e_".join(map(_mangled, _path(name)))
        sense.append(f"root_.{name} = cxx_get(design_.p_{wire}, 0);")
    return _TOP.format(
        top=TOP,
        mangled=_mangled(TOP),
        internals=", ".join(internals),
        ports=", ".join(f"{name} = 0" for name in (*inputs, *outputs)),
        drive="\n        ".join(f"cxx_set(design_.p_{_mangled(name)}, {name}, 0);" for name in inputs),
        sense="\n        ".join(sense),
    )


def _names(header: str, pattern: str) -> list[str]:
    return [name.replace("__", "_") for name in re.findall(pattern, header)]


def _path(internal: str) -> list[str]:
    """Instances and wire of a name in the harness, below the top."""
    return internal.split("__DOT__")[1:]


def _mangled(name: str) -> str:
    return name.replace("_", "__")
