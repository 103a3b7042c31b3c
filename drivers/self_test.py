"""What a board can find out about itself: a self-test before anything is done, and a watch between batches of work.

Both go through the drivers alone, cost milliseconds of board time, and raise `SelfTestError` with the outputs safe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.crossbar import Crossbar
from drivers.line_control import ReadState
from firmware_bridge.errors import BoardError, LimitError, ProtocolError

Array = NDArray[np.float64]

ZERO_CODE = 64
"""Largest code of a converter with nothing at its input: thirty times the spread of its offset."""
LEAK_CODE = 64
"""Largest code with every cell off."""
RESPONDS_CODE = 100
"""Least code that a line's read moves an ADC by, for it to be judged."""
LINEAR = 0.05
"""How far half an input may be from half an output: cells are Ohmic, INL is a thousandth."""
BARELY_ON_V = 0.95
"""Gate above the forming level at which a cell passes microamperes, were the source lines held there (Vth 0.7 V)."""
OFFSET_A = 0.4e-6
"""Largest current at zero input, A: ten codes; the mean of `ZEROS` conversions scatters by a hundredth of it."""
ZEROS = 64
LINE_SIGMAS = 8.0
CELLS_S = 0.5e-6
"""Change that relaxation and telegraph noise may make besides what the first two reads showed, S rms over the cells."""
LINE_S = 0.5e-6
"""The same for the mean of a line."""


class SelfTestError(BoardError):
    """A part of the board does not do what it should; the outputs are safe.

    part: which. expected, measured, limit: in words with units. advice: what to do.
    """

    def __init__(self, part: str, expected: str, measured: str, limit: str, advice: str) -> None:
        self.part, self.expected, self.measured, self.limit, self.advice = part, expected, measured, limit, advice
        super().__init__(f"{part}: {measured}, expected {expected} ({limit}); outputs are safe; {advice}")


@dataclass(frozen=True)
class SelfTest:
    """A self-test that passed. cycles: what it took. tested: parts, and what was seen of each."""

    tested: dict[str, str]
    cycles: int
    board_time_s: float


def self_test(crossbar: Crossbar) -> SelfTest:
    """Converters, chain, muxes, amplifiers: all that can be told of a board without knowing what its array holds.

    The array is read as by `Crossbar.read_conductance`, and by nothing stronger: nothing is pulsed. An array that
    conducts nowhere, or alike everywhere, cannot tell muxes and converters apart; `tested` says so then.
    Raises `SelfTestError`.
    """
    before, tested = crossbar.cycles, {}
    check_registers(crossbar)
    tested["DACs"] = f"{crossbar.board.wiring.n_dacs} chips hold what they were sent, no reference alarm"
    try:
        tested |= _analog(crossbar)
    except LimitError as error:
        crossbar.safe()
        raise SelfTestError(
            "amplifiers and converters", "codes within range", str(error), "range of the ADC",
            "look for a short between a bit line and a source line, and at the reference of the amplifiers",
        ) from error  # fmt: skip
    except SelfTestError:
        crossbar.safe()
        raise
    cycles = crossbar.cycles - before
    return SelfTest(tested, cycles, cycles * crossbar.board.timing.period_s)


def check_registers(crossbar: Crossbar) -> None:
    """Read every register of every DAC back. Raises `SelfTestError`."""
    try:
        wrong = crossbar.wrong_registers()
    except ProtocolError as error:
        crossbar.safe()
        raise SelfTestError("DAC SDO", "an echo of each read", str(error), "exact", "check its wiring") from error
    if wrong:
        crossbar.safe()
        chip, name, expected, measured = wrong[0]
        raise SelfTestError(
            f"DAC {chip} register {name}", f"{expected:#06x}", f"{measured:#06x}",
            f"exact; {len(wrong)} registers differ",
            "its reference has no headroom: check its supply" if name == "STATUS" else "check its CS, SCLK and SDI",
        )  # fmt: skip


def _analog(crossbar: Crossbar) -> dict[str, str]:
    board, wiring = crossbar.board, crossbar.board.wiring
    n_sl, n_bl = crossbar.shape
    rest = np.full((8, n_bl), round(wiring.vcm_v / board.dac.span_v * 65536), np.uint16)
    # Were the source lines held at the forming level, these gates would let cells pass a little; at Vcm they are off.
    probe = ReadState(gate_v=wiring.vform_v + BARELY_ON_V)
    adc = np.array(wiring.sl_adc)
    for part, state, limit, advice in (
        ("ADC zero", ReadState(rows=(), adc_inputs="open"), ZERO_CODE, "check its DOUT, reference and mux"),
        ("reference mux", probe, LEAK_CODE, "its 595 bits are stuck: do not connect the bit lines"),
    ):
        mean = crossbar.convert(rest, state).mean(axis=0)
        worst = int(np.abs(mean).argmax())
        if abs(mean[worst]) > limit:
            raise SelfTestError(
                f"{part}, SL {worst} on ADC {adc[worst]}", "code 0", f"code {mean[worst]:.0f}", f"±{limit}", advice
            )
    patterns = crossbar.patterns
    step = board.levels.verify_v / board.dac.span_v * 65536
    codes = {
        share: crossbar.convert(np.rint(rest[0] + share * step * patterns.signs).astype(np.uint16)).astype(float)
        for share in (1.0, 0.5)
    }
    full, half = (np.abs(c - c.mean(axis=0)) for c in (codes[1.0], codes[0.5]))
    moved = full.max(axis=0)
    responds = moved > RESPONDS_CODE
    tested = {"ADC zero": f"within ±{ZERO_CODE} codes", "reference mux": "on the common mode"}
    if responds.mean() < 0.5:
        return tested | {"ADC span, muxes": "not tested: the array conducts too little"}
    for a in range(wiring.n_adcs):
        lines = adc == a
        if not responds[lines].any():
            raise SelfTestError(
                f"ADC {a}", f"codes that move by more than {RESPONDS_CODE}", f"{moved[lines].max():.0f}",
                f"others move by {np.median(moved):.0f}", "check its DOUT, DCLOCK and CS, and the mux before it",
            )  # fmt: skip
    ratio = half.max(axis=0)[responds] / moved[responds]
    worst = int(np.abs(ratio - 0.5).argmax())
    if abs(ratio[worst] - 0.5) > 0.5 * LINEAR + 8 / moved[responds][worst]:
        line = int(np.flatnonzero(responds)[worst])
        raise SelfTestError(
            f"ADC {adc[line]}, SL {line}", "half the code at half the input", f"{ratio[worst]:.3f} of it",
            f"±{LINEAR:.0%}", "it saturates early: check its reference and supply",
        )  # fmt: skip
    cells = patterns.solution @ codes[1.0]
    apart = np.sqrt(((cells[:, :, None] - cells[:, None, :]) ** 2).mean(axis=0))
    other = adc[:, None] != adc[None, :]
    usual = float(np.median(apart[other]))
    # Of two reads of one line: white noise of the solution, two codes.
    tested["ADC span"] = f"linear to {LINEAR:.0%}"
    if usual < 20.0 / np.sqrt(len(patterns.signs)):
        return tested | {"muxes, lines": "not tested: rows are alike"}
    same = np.where(other | np.eye(n_sl, dtype=bool), np.inf, apart)
    i, j = np.unravel_index(int(same.argmin()), same.shape)
    if same[i, j] < 0.1 * usual:
        raise SelfTestError(
            f"mux before ADC {adc[i]}", f"SL {i} and SL {j} to differ as others do", f"{same[i, j]:.2g} codes",
            f"others differ by {usual:.2g}", "it does not switch: check its select lines and the 595 chain",
        )  # fmt: skip
    apart = np.sqrt(((cells[:, None] - cells[None]) ** 2).mean(axis=2)) + np.diag(np.full(n_bl, np.inf))
    i, j = np.unravel_index(int(apart.argmin()), apart.shape)
    if apart[i, j] < 0.1 * np.median(apart):
        raise SelfTestError(
            f"BL {i} and BL {j}", "to differ as others do", f"{apart[i, j]:.2g} codes",
            f"others differ by {np.median(apart):.2g}", "they are joined: look for a short",
        )  # fmt: skip
    _rows(crossbar, rest, np.rint(rest[0] + step * patterns.signs[:4]).astype(np.uint16))
    return tested | {"muxes, lines": f"{n_sl} source and {n_bl} bit lines, all different; each word line alone"}


def _rows(crossbar: Crossbar, rest: NDArray[np.uint16], drive: NDArray[np.uint16]) -> None:
    """Every two word lines differ in some bit of their number: with the rows of one value of a bit on, all of them must
    conduct as they do together, and no other."""
    n_sl = crossbar.shape[0]
    together = crossbar.convert(drive).astype(float)
    for bit in range((n_sl - 1).bit_length()):
        for value in (0, 1):
            on = np.array([i >> bit & 1 == value for i in range(n_sl)])
            if not on.any():
                continue
            state = ReadState(rows=tuple(np.flatnonzero(on)))
            seen = crossbar.convert(drive, state) - crossbar.convert(rest, state).mean(axis=0)
            expected = (together - crossbar.convert(rest).mean(axis=0)) * on
            off = np.abs(seen - expected).max(axis=0)
            line = int(off.argmax())
            if off[line] > LEAK_CODE + LINEAR * np.abs(together).max():
                raise SelfTestError(
                    f"WL {line}", "as with all rows on" if on[line] else "off", f"{off[line]:.0f} codes away",
                    f"±{LEAK_CODE + LINEAR * np.abs(together).max():.0f}",
                    "its driver is stuck, or it is joined with another word line",
                )  # fmt: skip


class Watch:
    """Looks between batches of work whether a board is still what it was: DACs, offsets, known conductances.

    Attributes
    ----------
    cycles, looks: clock cycles spent on looking, and how often.
    """

    def __init__(self, crossbar: Crossbar) -> None:
        """Take the array as it is for known. Raises `SelfTestError`."""
        self.crossbar = crossbar
        self.cycles = self.looks = 0
        check_registers(crossbar)
        crossbar.mvm(np.zeros((1, crossbar.shape[1])))  # zero-input offsets are known from here on
        self._known_s = crossbar.read_conductance(repeats=8)
        scatter = crossbar.read_conductance() - self._known_s
        self._cells_s = float(np.sqrt(np.mean(scatter**2)))

    def look(self) -> None:
        """Raises `SelfTestError` if anything has moved further than noise, telegraph steps and relaxation do."""
        before = self.crossbar.cycles
        try:
            self._look()
        except LimitError as error:
            self.crossbar.safe()
            raise SelfTestError(
                "amplifiers and converters", "codes within range", str(error), "range of the ADC",
                "a short, or another reference than before; run the self-test",
            ) from error  # fmt: skip
        except SelfTestError:
            self.crossbar.safe()
            raise
        self.cycles += self.crossbar.cycles - before
        self.looks += 1

    def _look(self) -> None:
        check_registers(self.crossbar)
        zero_a = self.crossbar.mvm(np.zeros((ZEROS, self.crossbar.shape[1]))).mean(axis=0)
        worst = int(np.abs(zero_a).argmax())
        if abs(zero_a[worst]) > OFFSET_A:
            raise SelfTestError(
                f"offset of SL {worst}", "0 µA at zero input", f"{zero_a[worst] * 1e6:.2f} µA",
                f"±{OFFSET_A * 1e6:.2g} µA", "the reference, the common mode or an amplifier moved: calibrate anew",
            )  # fmt: skip
        change_s = self.crossbar.read_conductance() - self._known_s
        for kind, axis in (("SL", 1), ("BL", 0)):
            mean_s = change_s.mean(axis=axis)
            limit_s = LINE_S + LINE_SIGMAS * self._cells_s / np.sqrt(change_s.shape[axis])
            worst = int(np.abs(mean_s).argmax())
            if abs(mean_s[worst]) > limit_s:
                raise SelfTestError(
                    f"mean conductance of {kind} {worst}", "no change", f"{mean_s[worst] * 1e6:+.2f} µS",
                    f"±{limit_s * 1e6:.2f} µS", "a line, its driver, a mux or a converter failed: run the self-test",
                )  # fmt: skip
        cells_s, limit_s = float(np.sqrt(np.mean(change_s**2))), 2 * self._cells_s + CELLS_S
        if cells_s > limit_s:
            raise SelfTestError(
                "conductances", f"{self._cells_s * 1e6:.2f} µS of scatter", f"{cells_s * 1e6:.2f} µS rms of change",
                f"{limit_s * 1e6:.2f} µS", "cells have drifted: read them again and tune, or program anew",
            )  # fmt: skip
