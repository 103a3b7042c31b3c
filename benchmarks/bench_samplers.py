"""Every sampler on the paper's lattices: `xbar figure samplers`; and the paper's claim on the signed M, from `xbar
figure 3b`, as ratios in one run. ``--check`` fails if one is missed.

The first time takes some ten minutes; runs are kept in ``runs`` and not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CLAIMS = {4: 9.9 / 2.1, 24: 23.34 / 2.8}
"""τ_int of the signed M, HMC over co-design (paper, Fig. 3b), by side."""
XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")


def figure(panel: str, folder: Path) -> dict[str, float | None]:
    """The numbers of a panel by name; None for what there is not."""
    command = [*XBAR, "figure", panel, "--out", str(folder / f"{panel}.pdf"), "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {number["name"]: number["value"] for number in json.loads(found)["numbers"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, value in figure("samplers", Path(folder)).items():
            print(f"{name:<78} {'' if value is None else f'{value:.4g}'}")
        numbers = figure("3b", Path(folder))
    good = {}
    for L, claim in CLAIMS.items():
        ratio = numbers.get(f"phi4 {L}×{L}, λ = 5: τ_int of M, HMC over flow")
        shown = "no flow is shipped" if ratio is None else f"{ratio:.1f}"
        good[f"L = {L}: τ_int of M, HMC over flow: {shown} ≥ {claim:.1f}"] = ratio is not None and ratio >= claim
    for text, ok in good.items():
        print(f"{text}  {'ok' if ok else 'MISSED'}")
    return int(arguments.check and not all(good.values()))


if __name__ == "__main__":
    sys.exit(main())
