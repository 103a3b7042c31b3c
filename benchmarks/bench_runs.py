"""Run files: a folder of 10 000 listed through its index, and 1 GB opened; each beside its limit.

python benchmarks/bench_runs.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from lab_scripts.run_store import INDEX, open_run, summaries

RUNS, LIMIT_LIST_S, LIMIT_OPEN_S = 10_000, 1.0, 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="how many; the limit is for the default")
    n = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = folder / "run0.nc"
        made = {"command": "xbar hmc", "created": "2026-01-01T00:00:00+00:00", "acceptance": 0.9}
        xr.Dataset({"phi": ("x", np.zeros(4))}, attrs=made).to_netcdf(first, engine="h5netcdf")
        for i in range(1, n):
            if i % 50_000 == 0:  # a file has no more names than that
                first = shutil.copy(first, folder / f"run{i}.nc")
            else:
                os.link(first, folder / f"run{i}.nc")
        began = time.perf_counter()
        summaries(folder)
        index_s = time.perf_counter() - began
        began = time.perf_counter()
        found = summaries(folder)
        list_s = time.perf_counter() - began
        assert len(found) == n
        index_bytes = (folder / INDEX).stat().st_size
        large = folder / "large.nc"
        xr.Dataset({"phi": (("draw", "site"), np.zeros((1 << 17, 1024)))}, attrs=made).to_netcdf(
            large, engine="h5netcdf"
        )
        began = time.perf_counter()
        with open_run(large) as run:
            assert run["phi"].nbytes == 1 << 30
            value = float(run["phi"][1000, 5])
        open_s = time.perf_counter() - began
        assert value == 0
    print(f"list {n} runs: {list_s:.2f} s (limit {LIMIT_LIST_S:g} s for {RUNS})")
    print(f"making their index, once: {index_s:.1f} s, {index_bytes / 1e6:.1f} MB")
    print(f"open a run of 1 GB and read a value: {open_s:.2f} s (limit {LIMIT_OPEN_S:g} s)")
    return int((list_s > LIMIT_LIST_S and n <= RUNS) or open_s > LIMIT_OPEN_S)


if __name__ == "__main__":
    sys.exit(main())
