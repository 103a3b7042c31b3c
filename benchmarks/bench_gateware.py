"""The gateware's board time beside the bounds that the converters set, and the speed of its model and of the mock.

Board time is exact: it is counted in clock cycles. CPU time is that of this process, the smallest of several
repetitions.
``--check`` fails if a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from drivers.board import Board, load_board
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from firmware_bridge.rtl_bridge import RtlBridge

BATCH = 1024
SHARE_LIMIT = 0.95
READ_LIMIT_S = 2.7e-3
RTL_LIMIT_HZ = 3e6
MOCK_LIMIT = 1000.0
CONVERSIONS_PER_S = 50e3
"""ADS8324: 24 DCLOCKs of 1.2 MHz."""
RTL_VECTORS, REPETITIONS = 32, 5


def wide_board() -> Board:
    """The board of the paper with an ADC on each source line, so that nothing is multiplexed."""
    board = load_board()
    n_sl = board.wiring.n_sl
    wiring = board.wiring.model_copy(update={"sl_adc": tuple(range(n_sl)), "sl_mux": (0,) * n_sl})
    return board.model_copy(update={"wiring": wiring})


def throughput(board: Board) -> tuple[float, float]:
    """Products per second of board time in one streamed batch, and the bound that the board's ADCs set."""
    volts = np.random.default_rng(0).uniform(-0.1, 0.1, (BATCH, board.shape[1]))
    with open_crossbar("mock", board=board, seed=1) as crossbar:
        crossbar.measure(volts)  # zero-input offsets, rows on
        board_time_s = crossbar.measure(volts).board_time_s
    return BATCH / board_time_s, CONVERSIONS_PER_S * board.wiring.n_adcs / board.shape[0]


def least(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest repetition."""
    times = []
    for _ in range(REPETITIONS):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)


def speeds(board: Board) -> tuple[float, float]:
    """Clock cycles simulated per CPU second by the model of the gateware, one by one, and by the mock."""
    volts = np.random.default_rng(0).uniform(-0.1, 0.1, (BATCH, board.shape[1]))

    def cycles_of(crossbar: Crossbar, vectors: np.ndarray) -> int:
        return crossbar.measure(vectors).cycles

    with open_crossbar("rtl", board=board, seed=1) as rtl:
        bridge = rtl._lines.interlock.bridge
        assert isinstance(bridge, RtlBridge)
        few = volts[:RTL_VECTORS]
        cycles_of(rtl, few)
        before = bridge.model.ticks
        cycles_of(rtl, few)
        ticks = bridge.model.ticks - before
        rtl_hz = ticks / least(lambda: cycles_of(rtl, few))
    with open_crossbar("mock", board=board, seed=1) as mock:
        cycles_of(mock, volts)
        cycles = cycles_of(mock, volts)
        mock_hz = cycles / least(lambda: cycles_of(mock, volts))
    return rtl_hz, mock_hz


def read_time_s(board: Board) -> float:
    """Board time of one read of the whole array."""
    with open_crossbar("mock", board=board, seed=1) as crossbar:
        crossbar.read_conductance()
        before = crossbar.board_time_s
        crossbar.read_conductance()
        return crossbar.board_time_s - before


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    arguments = parser.parse_args()
    missed = False

    def row(what: str, value: str, limit: str, good: bool) -> None:
        nonlocal missed
        missed |= not good
        print(f"{what:42} {value:>28}   {limit} {'ok' if good else 'MISSED'}")

    paper = load_board()
    for board in (paper, wide_board()):
        rate, bound = throughput(board)
        share = rate / bound
        row(
            f"products/s, {board.wiring.n_adcs} ADCs, batch {BATCH}",
            f"{rate:.0f} of {bound:.0f}, {100 * share:.1f} %",
            f"≥ {100 * SHARE_LIMIT:g} % of the ADCs' bound",
            share >= SHARE_LIMIT,
        )
    n_sl, n_bl = paper.shape
    bound_s = n_bl * n_sl / paper.wiring.n_adcs / CONVERSIONS_PER_S
    read_s = read_time_s(paper)
    row(
        f"read of {n_sl * n_bl} cells, board time",
        f"{read_s * 1e3:.3f} ms, ADCs {bound_s * 1e3:.3f} ms",
        f"≤ {READ_LIMIT_S * 1e3:g} ms",
        read_s <= READ_LIMIT_S,
    )
    rtl_hz, mock_hz = speeds(paper)
    row("rtl, chips attached", f"{rtl_hz / 1e6:.2f} M cycles/s", f"≥ {RTL_LIMIT_HZ / 1e6:g} M", rtl_hz >= RTL_LIMIT_HZ)
    row(
        f"mock, batch {BATCH}",
        f"{mock_hz / 1e6:.0f} M cycles/s, {mock_hz / rtl_hz:.0f} × rtl",
        f"≥ {MOCK_LIMIT:g} × rtl",
        mock_hz >= MOCK_LIMIT * rtl_hz,
    )
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
