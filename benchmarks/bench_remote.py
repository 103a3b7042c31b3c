"""What a board server on the same machine adds to a program, beside its limits.

The same mock board is driven directly and through a server in another process, in turn, one thread each; the smallest
of many repetitions counts. A batch of 1024 products takes a board 82 ms, whatever the mock needs to compute it: that
is the time its limit refers to. The mock's own wall time is printed too.
``--check`` fails if a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from drivers.connect import open_crossbar
from firmware_bridge.isa import Nop
from firmware_bridge.program import Program

PROGRAM_LIMIT_S = 1e-3
BATCH_LIMIT = 0.10
BATCH = 1024
REPETITIONS = 400


def shortest(local: Callable[[], object], remote: Callable[[], object]) -> tuple[float, float]:
    """Wall times in s of two calls, made in turn."""
    best = [np.inf, np.inf]
    for _ in range(REPETITIONS):
        for k, call in enumerate((local, remote)):
            start = perf_counter()
            call()
            best[k] = min(best[k], perf_counter() - start)
    return best[0], best[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    check = parser.parse_args().check
    command = [sys.executable, "-m", "drivers.serve", "--listen", "tcp://127.0.0.1:0", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip().partition(" at ")[2]
        try:
            with open_crossbar("mock", seed=1) as local, open_crossbar(address) as remote:
                volts = np.random.default_rng(0).uniform(-0.1, 0.1, (BATCH, local.shape[1]))
                assert np.array_equal(local.mvm(volts), remote.mvm(volts))
                empty = Program([Nop()])
                here, there = shortest(lambda: local._lines.run(empty), lambda: remote._lines.run(empty))
                program_s = there - here
                here, there = shortest(lambda: local.mvm(volts), lambda: remote.mvm(volts))
                batch_s, board_s = there - here, local.measure(volts).board_time_s
        finally:
            server.terminate()
    print(f"per program     {program_s * 1e3:7.3f} ms   limit {PROGRAM_LIMIT_S * 1e3:g} ms")
    print(f"batch of {BATCH}   {batch_s * 1e3:7.3f} ms   limit {PROGRAM_LIMIT_S * 1e3:g} ms")
    of = f"of {board_s * 1e3:.1f} ms on a board ({100 * batch_s / here:.0f} % of the mock's {here * 1e3:.2f} ms)"
    print(f"batch of {BATCH}   {100 * batch_s / board_s:7.2f} %    limit {100 * BATCH_LIMIT:g} %   {of}")
    missed = max(program_s, batch_s) > PROGRAM_LIMIT_S or batch_s > BATCH_LIMIT * board_s
    return int(check and missed)


if __name__ == "__main__":
    sys.exit(main())
