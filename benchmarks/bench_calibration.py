"""Calibrations of a mock board whose array conducts: board time and CPU time, each beside its limit.

``python benchmarks/bench_calibration.py`` ends with 1 if a limit is missed. CPU time is that of this process, the
simulated instruments' included.
"""

from __future__ import annotations

import os
import sys
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from calibration.board_calibration.bench import bench_calibration
from calibration.board_calibration.probes import Bench
from calibration.board_calibration.reference import reference_calibration
from calibration.board_calibration.self_calibration import self_calibration
from drivers.connect import mock_bench, open_crossbar
from drivers.instruments.dmm import open_dmm
from drivers.instruments.smu import open_smu
from firmware_bridge.mock.array_params import ArrayParams, InitialParams
from firmware_bridge.mock.board import MockParams

BOARD_LIMIT_S, CPU_LIMIT_S = 60.0, 60.0


def main() -> int:
    params = MockParams(array=ArrayParams(initial=InitialParams(g_median_s=50e-6)))
    failed = False
    with (
        open_crossbar("mock", seed=1, mock=params) as crossbar,
        mock_bench(crossbar) as there,
        open_dmm(there.address("dmm")) as dmm,
        open_smu(there.address("smu")) as smu,
    ):
        for name, calibrate in (
            ("self", lambda: self_calibration(crossbar)),
            ("reference", lambda: reference_calibration(crossbar, there, 1000.0, 0.2)),
            ("bench", lambda: bench_calibration(crossbar, Bench(dmm, smu, there))),
        ):
            board_s, cpu_s = crossbar.board_time_s, process_time()
            findings = calibrate()
            board_s, cpu_s = crossbar.board_time_s - board_s, process_time() - cpu_s
            failed |= board_s > BOARD_LIMIT_S or cpu_s > CPU_LIMIT_S
            print(
                f"{name:10s} {len(findings.estimates):3d} quantities, board time {board_s:5.2f} s (limit "
                f"{BOARD_LIMIT_S:g} s), CPU {cpu_s:5.2f} s (limit {CPU_LIMIT_S:g} s)"
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
