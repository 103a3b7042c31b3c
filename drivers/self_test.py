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
PASSES = 4
"""Reads of the array, for the noise of its mean."""
JOINED = 2.0
"""Squared difference of two lines, in that of one line read twice, below which they are one: 0.5 to 1.1 for lines that
are joined, above 3 for lines that were programmed alike."""
DISTINCT = 50.0
"""Variance of the cells of a line, in that of their noise, from which it can be told from others."""
NOT_TESTED = "not tested"
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

    @property
    def untested(self) -> dict[str, str]:
        """Parts of which something could not be tested, and why."""
        return {part: found for part, found in self.tested.items() if NOT_TESTED in found}


def self_test(crossbar: Crossbar) -> SelfTest:
    """Converters, chain, muxes, amplifiers: all that can be told of a board without knowing what its array holds.

    The array is read as by `Crossbar.read_conductance`, and by nothing stronger: nothing is pulsed. Lines that conduct
    too little, or all alike, cannot be told apart, and nothing is known of them; `tested` says so then.
    Raises `SelfTestError`.
    """
    before, tested = crossbar.cycles, {}
    check_registers(crossbar)
    dac = crossbar.board.dac
    but = "" if dac.CODES_READ_BACK else f", but for codes, which no {dac.part} tells"
    tested["DACs"] = f"{crossbar.board.wiring.n_dacs} chips hold what they were sent{but}; no alarm"
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
            "it raises an alarm: check its supply and reference" if name == "STATUS" else "check its CS, SCLK and SDI",
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
    full, half = (
        crossbar.convert(np.tile(np.rint(rest[0] + v * patterns.signs).astype(np.uint16), (n, 1))).astype(float)
        for v, n in ((step, PASSES), (step / 2, 1))
    )
    passes = full.reshape(PASSES, len(patterns.signs), n_sl)
    full = passes.mean(axis=0)
    changes = np.ptp(passes.reshape(-1, n_sl), axis=0)
    if np.median(changes) > 0 and not changes.all():
        line = int(changes.argmin())
        raise SelfTestError(
            f"ADC {adc[line]}, SL {line}", "codes that have noise", f"code {full[0, line]:.0f} each time",
            f"others change by {np.median(changes):.0f}", "check its DOUT, DCLOCK and CS, and the mux before it",
        )  # fmt: skip
    moved = np.abs(full - full.mean(axis=0)).max(axis=0)
    ratio = np.abs(half - half.mean(axis=0)).max(axis=0) / np.maximum(moved, 1.0)
    responds = moved > RESPONDS_CODE
    nonlinear = np.where(responds, np.abs(ratio - 0.5) - 8 / np.maximum(moved, 1.0), -np.inf)
    line = int(nonlinear.argmax())
    if nonlinear[line] > 0.5 * LINEAR:
        raise SelfTestError(
            f"ADC {adc[line]}, SL {line}", "half the code at half the input", f"{ratio[line]:.3f} of it",
            f"±{LINEAR:.0%}", "it saturates early: check its reference and supply",
        )  # fmt: skip
    cells = np.einsum("bp,kps->ksb", patterns.solution, passes)
    mean, noise = cells.mean(axis=0), cells.var(axis=0, ddof=1) / PASSES
    told_sl = _refuse_joined(
        mean, noise, "SL", adc[:, None] == adc[None, :],
        "their mux does not switch, or they are joined: check its select lines and the 595 chain, look for a short",
    )  # fmt: skip
    told_bl = _refuse_joined(mean.T, noise.T, "BL", np.ones((n_bl, n_bl), bool), "they are joined: look for a short")
    told_wl = _rows(crossbar, rest, np.rint(rest[0] + step * patterns.signs[:4]).astype(np.uint16))
    return {
        "ADC zero": f"within ±{ZERO_CODE} codes",
        "reference mux": "on the common mode",
        "ADC span": _share(f"linear to {LINEAR:.0%}", "SL", responds, "conduct too little"),
        "muxes": _share("all different", "SL", told_sl, "are too much like others of one ADC"),
        "bit lines": _share("all different", "BL", told_bl, "are too much alike"),
        "word lines": _share("each alone", "WL", told_wl, "conduct too little"),
    }


def _share(found: str, kind: str, tested: NDArray[np.bool_], why: str) -> str:
    """What was found, and of which lines nothing could be."""
    if tested.all():
        return found
    if not tested.any():
        return f"{NOT_TESTED}: all {kind}s {why}"
    return f"{found}; {NOT_TESTED}: {int((~tested).sum())} of {len(tested)} {kind}s, which {why}"


def _refuse_joined(cells: Array, noise: Array, kind: str, pairs: NDArray[np.bool_], advice: str) -> NDArray[np.bool_]:
    """Raises `SelfTestError` for two lines of `pairs` that differ by no more than the noise of one and the same line.

    cells, noise: (n, cells of a line), codes, and the variance of that mean. Returns (n,) which lines could be judged:
    of lines whose cells are alike to the noise, or of a board without any, nobody can say. Lines that are programmed
    alike differ by more, since what write-verify leaves is no smaller than the noise of its reads.
    """
    own, noise = cells.var(axis=1), noise.mean(axis=1)
    judged = (own > DISTINCT * noise) & (noise > 0)
    both = np.where(judged, noise, 1.0)[:, None] + np.where(judged, noise, 1.0)[None, :]
    # Line by line: an array of all pairs and cells may be large.
    apart = np.stack([((cells - one) ** 2).mean(axis=1) for one in cells]) / both
    apart = np.where(pairs & judged[:, None] & judged[None, :] & ~np.eye(len(cells), dtype=bool), apart, np.inf)
    i, j = np.unravel_index(int(apart.argmin()), apart.shape)
    if apart[i, j] < JOINED:
        raise SelfTestError(
            f"{kind} {i} and {kind} {j}", "cells that differ", f"{np.sqrt(apart[i, j] * both[i, j]):.2g} codes apart",
            f"noise alone makes {np.sqrt(both[i, j]):.2g}, cells of a line differ by {np.sqrt(own[i]):.2g}", advice,
        )  # fmt: skip
    return judged


def _rows(crossbar: Crossbar, rest: NDArray[np.uint16], drive: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Every two word lines differ in some bit of their number: with the rows of one value of a bit on, all of them must
    conduct as they do together, and no other. Returns (n_sl,) which of them conduct enough for that to be seen."""
    n_sl = crossbar.shape[0]
    together = crossbar.convert(drive) - crossbar.convert(rest).mean(axis=0)
    limit = LEAK_CODE + LINEAR * np.abs(together).max()
    for bit in range((n_sl - 1).bit_length()):
        for value in (0, 1):
            on = np.array([i >> bit & 1 == value for i in range(n_sl)])
            if not on.any():
                continue
            state = ReadState(rows=tuple(np.flatnonzero(on)))
            seen = crossbar.convert(drive, state) - crossbar.convert(rest, state).mean(axis=0)
            off = np.abs(seen - together * on).max(axis=0)
            line = int(off.argmax())
            if off[line] > limit:
                raise SelfTestError(
                    f"WL {line}", "as with all rows on" if on[line] else "off", f"{off[line]:.0f} codes away",
                    f"±{limit:.0f}", "its driver is stuck, or it is joined with another word line",
                )  # fmt: skip
    return np.abs(together).max(axis=0) > limit


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
