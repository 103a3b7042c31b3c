"""What the gateware takes of a Zynq-7045's fabric: ``python -m firmware_bridge.synthesis``.

yosys maps it to cells of the 7 series. This says that the sources can be synthesised and how large they are, not how
fast: timing closure is Vivado's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from firmware_bridge.rtl_build import TOP, RtlUnavailable, cache_folder, sources

XC7Z045 = {"LUT": 218_600, "FF": 437_200, "BRAM36": 545}
"""Resources of the part on the ZC706 (DS190)."""
SHARE = 0.1
"""Of each resource the gateware takes no more."""
_CELLS = {
    "LUT": {f"LUT{n}": 1.0 for n in range(1, 7)} | {"RAM32M": 4.0, "RAM64M": 4.0, "SRL16E": 1.0, "SRLC32E": 1.0},
    "FF": dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE"), 1.0),
    "BRAM36": {"RAMB36E1": 1.0, "RAMB18E1": 0.5},
}
_OTHER = {"BUFG", "CARRY4", "DSP48E1", "IBUF", "OBUF", "INV", "MUXF7", "MUXF8"}
"""Cells that have no limit here: clock and pin buffers, carry chains, multipliers, and what LUTs absorb."""


@dataclass(frozen=True)
class Utilisation:
    """Cells of a mapped design by type. Raises `ValueError` for latches and for cells that no 7 series part has."""

    cells: Mapping[str, int]

    def __post_init__(self) -> None:
        known = _OTHER.union(*_CELLS.values())
        if strange := {name: n for name, n in self.cells.items() if name not in known}:
            raise ValueError(f"the design holds latches, black boxes or cells left unmapped: {strange}")

    def used(self, resource: str) -> float:
        """LUT, FF or BRAM36 taken."""
        return sum(weight * self.cells.get(cell, 0) for cell, weight in _CELLS[resource].items())

    def table(self) -> str:
        """Each resource beside its limit."""
        rows = [
            f"{name:7} {self.used(name):8g} of {n:7} {100 * self.used(name) / n:6.2f} %   limit {100 * SHARE:g} %"
            for name, n in XC7Z045.items()
        ]
        return "\n".join(rows) + f"\nDSP48  {self.cells.get('DSP48E1', 0):8}"


def yosys(folder: Path, *commands: str) -> None:
    """Elaborate the gateware and run commands of yosys on it, in `folder`, with the sources copied there.

    Everything must be defined, and driven once. In a process of its own, which an error ends: raises `RtlUnavailable`
    with what yosys had to say.
    """
    if find_spec("pyosys") is None:
        raise RtlUnavailable("synthesis needs the pyosys wheel; pip install 'xbar[rtl]'")
    script = "import sys\nfrom pyosys import libyosys\ndesign = libyosys.Design()\n"
    script += "for command in sys.stdin.read().splitlines():\n    libyosys.run_pass(command, design)\n"
    for path in sources():
        shutil.copy(path, folder)
    names = " ".join(path.name for path in sources())
    elaborate = (f"read_slang --top {TOP} {names}", f"hierarchy -check -top {TOP}", "proc", "check -assert")
    done = subprocess.run(
        [sys.executable, "-c", script], input="\n".join((*elaborate, *commands)),
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RtlUnavailable(f"yosys failed:\n{(done.stdout + done.stderr)[-4000:]}")


def synthesise() -> Utilisation:
    """Map the gateware to the 7 series, once for each content of its sources.

    Raises `RtlUnavailable` if yosys is not there or refuses a source.
    """
    digest = hashlib.sha256(f"{TOP} {version('pyosys') if find_spec('pyosys') else None}".encode())
    for path in (Path(__file__), *sources()):
        digest.update(path.read_bytes())
    report = cache_folder() / f"synthesis-{digest.hexdigest()[:20]}.json"
    if not report.exists():
        report.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=report.parent) as name:
            yosys(Path(name), f"synth_xilinx -family xc7 -top {TOP}", "tee -q -o report.json stat -json -tech xilinx")
            os.replace(Path(name) / "report.json", report)
    cells = json.loads(report.read_text())["design"]["num_cells_by_type"]
    return Utilisation({name.lstrip("\\"): n for name, n in cells.items()})


if __name__ == "__main__":
    print(synthesise().table())
