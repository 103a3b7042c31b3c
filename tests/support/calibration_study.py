"""Calibrations of many mock boards against what is true of them: how often intervals hold, and what products gain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from spread_boards import CONDUCTING, spread_board, truth

from calibration.board_calibration.bench import bench_calibration
from calibration.board_calibration.probes import Bench
from calibration.board_calibration.products import ProductCheck, compare
from calibration.board_calibration.reference import reference_calibration
from calibration.board_calibration.self_calibration import self_calibration
from drivers.connect import mock_bench, mock_board, open_crossbar
from drivers.crossbar import Crossbar
from drivers.instruments.dmm import open_dmm
from drivers.instruments.smu import open_smu
from firmware_bridge.mock.instruments import MockBench

SELF = ("adc.zero_code", "tia.offset_v", "bl.zero_code", "bl.volts_per_code", "adc.inl_bow_code", "adc.inl_ess_code")
VECTORS, REPEATS = 32, 16
RESISTOR_OHM, RESISTOR_EXPANDED_OHM = 1000.0, 0.2


@dataclass(frozen=True)
class Decade:
    """A resistor on the mock's bench that is not quite what its certificate says."""

    bench: MockBench
    true_ohm: float

    def connect_resistor(self, sl: int, bl: int, ohm: float) -> None:
        self.bench.connect_resistor(sl, bl, ohm if np.isinf(ohm) else self.true_ohm)


@dataclass
class BoardStudy:
    """One board. covered: share of true values inside their 95 % intervals, by method and quantity. before, after:
    products against the truth, without a record and with that of a bench."""

    seed: int
    covered: dict[str, float] = field(default_factory=dict)
    before: ProductCheck | None = None
    after: ProductCheck | None = None


def true_products(crossbar: Crossbar, volts: np.ndarray) -> ProductCheck:
    """Products against the currents that true volts at the array's edge would drive into its source lines."""
    board = mock_board(crossbar)
    assert board is not None
    crossbar.mvm(volts[:1])
    current = crossbar.mvm(np.tile(volts, (REPEATS, 1, 1)))
    # Telegraph noise included: what the cells are now.
    transfer = board.array._current.transfer_s  # type: ignore[union-attr]
    edge = transfer / (1 - board.array.wires.bl_source_ohm * transfer.sum(axis=0))
    return compare(current, volts @ edge.T, crossbar.board.adc.vref_v / crossbar.board.tia.rf_ohm)


def study(seeds: Iterable[int]) -> Iterator[BoardStudy]:
    """Calibrate the boards of these seeds, with arrays that conduct: alone, with a resistor, on a bench."""
    for seed in seeds:
        result = BoardStudy(seed)
        volts = np.random.default_rng(seed).uniform(-0.1, 0.1, (VECTORS, 32))

        def cover(method: str, estimates, true, names, result=result) -> None:  # type: ignore[no-untyped-def]
            for name in names:
                if name in estimates:
                    e = estimates[name]
                    result.covered[f"{method}: {name}"] = float(np.mean(np.abs(e.value - true[name]) <= e.half_width()))

        with open_crossbar("mock", seed=seed, mock=spread_board(**CONDUCTING)) as crossbar:
            board = mock_board(crossbar)
            true = truth(board)
            cover("self", self_calibration(crossbar).estimates, true, SELF)
            result.before = true_products(crossbar, volts)
            rng = np.random.default_rng([seed, 1])
            resistor_ohm = RESISTOR_OHM + RESISTOR_EXPANDED_OHM / 2 * rng.standard_normal()
            with mock_bench(crossbar, seed=seed) as there:
                decade = Decade(there, resistor_ohm)
                found = reference_calibration(crossbar, decade, RESISTOR_OHM, RESISTOR_EXPANDED_OHM)
                cover("reference", found.estimates, true, ("sl.amperes_per_code",))
                with open_dmm(there.address("dmm")) as dmm, open_smu(there.address("smu")) as smu:
                    bench = Bench(dmm, smu, there)
                    found = bench_calibration(crossbar, bench)
                    cover("bench", found.estimates, true, sorted(found.estimates.keys() & true.keys()))
                    crossbar.correct_by(found.record(crossbar, ("bench",), instruments=bench.used()))
            result.after = true_products(crossbar, volts)
        yield result
