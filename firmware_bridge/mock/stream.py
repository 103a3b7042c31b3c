"""Streams on the mock board, vectorised: codes to bit-line voltages, and bit-line voltages to codes.

Both halves are polynomials around two matrix products, worked out for `BLOCK` vectors at a time, so that what they
pass from step to step stays in the processor's cache. Constants are folded into the coefficients and repeated for
every row of a block: numpy is several times slower where it must start anew at each row of 32.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.isa import Mvm, mask_indices
from firmware_bridge.mock.ads8324 import CODE_MAX, CODE_MIN
from firmware_bridge.mock.array import Flips, Response, excess_voltage
from firmware_bridge.mock.nonlinearity import substitute

if TYPE_CHECKING:
    from firmware_bridge.mock.board import MockBoard

Volts = NDArray[np.float64]

LINEAR_V = 0.105
"""Cell voltage up to which the non-linear current, below 10⁻⁵ of the Ohmic one, is left out: 0.1 V with DAC error."""

BLOCK = 256


class _Rows:
    """Row vectors (k, m), each repeated for every row of a block."""

    def __init__(self, k: int, m: int) -> None:
        self._all = np.empty((k, BLOCK * m))
        self._views: dict[int, list[NDArray[np.float64]]] = {}

    def set(self, rows: NDArray[np.float64], columns: NDArray[np.intp] | slice = slice(None)) -> None:
        """New values (k, columns) in some columns of the vectors."""
        self._all.reshape(len(rows), BLOCK, -1)[:, :, columns] = rows[:, None]

    def first(self, size: int) -> list[NDArray[np.float64]]:
        """The first `size` elements of each repeated vector: k arrays. They show whatever is `set` later."""
        views = self._views.get(size)
        if views is None:
            views = self._views[size] = list(self._all[:, :size])
        return views


class Route:
    """What a stream's header means on this board: which chips, which lines, in which order."""

    def __init__(self, board: MockBoard, mvm: Mvm, inputs: tuple[int | None, ...], fixed_bits: int) -> None:
        chips = mask_indices(mvm.dac_mask)
        self.dacs = [board.dacs[d] for d in chips]
        self.others = [dac for dac in board.dacs if dac not in self.dacs]
        self.adcs, self.inputs, self.fixed_bits = tuple(mask_indices(mvm.adc_mask)), inputs, fixed_bits
        # Bit lines that their muxes hold at the common mode see nothing of the codes.
        on_vcm = board.wiring.bl_select.code(fixed_bits) == board.wiring.bl_inputs.vcm
        self._level_v = board.vcm_v if on_vcm else None
        self.converters = [board.adcs[a] for a in self.adcs]
        n = board.wiring.dac_channels
        self._columns = _positions(chips, board.wiring.bl_dac, n)
        self._in_order = np.array_equal(self._columns, np.arange(n * len(chips)))
        self._wl_columns = _positions([d for d in range(len(board.dacs)) if d not in chips], board.wiring.wl_dac, n)
        self._tables: list[NDArray[np.float64]] = []
        self._reference_v = np.nan
        self._poly = _Rows(4, len(board.wiring.bl_dac))
        self._settled: list[Volts] = []
        self._gates = np.empty(0)

    @classmethod
    def of(cls, board: MockBoard, mvm: Mvm) -> Route | None:
        """The route of a stream; None unless it loads all bit lines, no word line, and moves the ADCs' muxes alone."""
        wiring, select = board.wiring, board.wiring.adc_select
        n = wiring.dac_channels
        channels = {n * d + c for d in mask_indices(mvm.dac_mask) for c in range(n)}
        inputs = tuple(None if select.inhibited(word) else select.code(word) for word in mvm.positions)
        fixed = {word & ~board.adc_bits for word in mvm.positions}
        if (
            mvm.sr_bits != wiring.sr_bits
            or not mvm.adc_mask
            or not channels.issuperset(wiring.bl_dac)
            or not channels.isdisjoint(wiring.wl_dac)
            or len(fixed) != 1
            or wiring.bl_select.inhibited(min(fixed))
            or wiring.bl_select.code(min(fixed)) not in (wiring.bl_inputs.dac, wiring.bl_inputs.vcm)
        ):
            return None
        return cls(board, mvm, inputs, fixed.pop())

    def gates_v(self) -> Volts:
        """Settled voltages (n_sl,) of the word lines, V."""
        settled = [dac.settled_v for dac in self.others]
        if not _same(settled, self._settled):
            self._settled, self._gates = settled, np.concatenate(settled)[self._wl_columns]
        return self._gates

    def relative_v(self, mvm: Mvm, reference_v: float) -> Volts:
        """Settled bit-line voltages (n, n_bl) of the codes, relative to the reference, V. Not clipped to the rails."""
        if self._level_v is not None:
            return np.full((mvm.count, len(self._columns)), self._level_v - reference_v)
        tables = [dac.coefficients() for dac in self.dacs]
        if reference_v != self._reference_v or not _same(tables, self._tables):
            self._tables, self._reference_v = tables, reference_v
            poly = np.concatenate(tables)[self._columns].T
            poly[0] -= reference_v
            self._poly.set(poly)
        codes = mvm.codes.reshape(mvm.count, -1)
        if not self._in_order:
            codes = codes[:, self._columns]
        volts = np.empty(codes.shape)
        for a in range(0, len(codes), BLOCK):
            x = codes[a : a + BLOCK].astype(np.float64).reshape(-1)
            v = volts[a : a + BLOCK].reshape(-1)
            c0, c1, c2, c3 = self._poly.first(x.size)
            np.multiply(x, c3, out=v)
            v += c2
            v *= x
            v += c1
            v *= x
            v += c0
        return volts


class Path:
    """Everything between the bit lines and the codes of a fixed set of conversions, as arrays over those conversions.

    ``I = T v`` and what is injected, ``V = offset − Rf I``, code = polynomial(V) + noise: one matrix product for the
    current, one for its variance.
    """

    def __init__(
        self, board: MockBoard, lines: NDArray[np.intp], adcs: NDArray[np.intp], response: Response, reference_v: float
    ) -> None:
        """`lines` (outputs,): source line of each conversion, −1 for none; `adcs` (outputs,): its converter."""
        self._lines, self._reference_v = lines, reference_v
        closed = lines >= 0
        self._outputs_of = {int(line): np.flatnonzero(lines == line) for line in set(lines) if line >= 0}
        self._rf = board.tia.rf_ohm[lines] * closed
        self._offset = board.tia.v_os_v[lines] * closed
        self._injected_a, self._bridged_s = board.injected_a[lines], board.bridged_s[lines]
        low, high = board.tia.output_range_v
        self._low, self._high = low - reference_v, high - reference_v
        self._adc_poly = np.stack([board.adcs[a].coefficients() for a in adcs])
        # Codes per ampere, to first order: what the matrix product yields.
        self._scale = -self._rf * self._adc_poly[:, 1]
        lsb_v = np.array([board.adcs[a].lsb_v for a in adcs])
        scale = self._rf / lsb_v
        # Variances in codes²: cells per V², and what does not depend on the input. DAC noise is taken as independent
        # from one conversion to the next and from line to line, which it is not quite: lines sampled together share
        # it.
        self._cells = np.ascontiguousarray((response.noise_s[lines] * scale[:, None]).T ** 2)
        floor = (
            np.array([board.adcs[a].params.noise_lsb_rms for a in adcs]) ** 2
            + (board.tia.output_noise_v_rms * closed / lsb_v) ** 2
            + (board.params.dac.noise_v_rms * scale) ** 2
            * ((response.mean_transfer_s[lines] + self._bridged_s) ** 2).sum(axis=1)
        )
        self._floor, self._poly = _Rows(1, len(lines)), _Rows(4, len(lines))
        self._floor.set(floor[None])
        self._zero = np.full(len(lines), np.nan)
        self._scratch = np.empty((3, BLOCK, len(lines)))
        self._square = np.empty((BLOCK, response.transfer_s.shape[1]))
        self._mean_transfer_s = response.mean_transfer_s
        self._take_over(response)

    def follow(self, response: Response, reference_v: float) -> bool:
        """Take over a response that differs by telegraph states only; False if it differs by more."""
        if response is self._response:
            return True
        if response.mean_transfer_s is not self._mean_transfer_s or reference_v != self._reference_v:
            return False
        self._take_over(response)
        return True

    def _take_over(self, response: Response) -> None:
        self._response = response
        transfer = response.transfer_s[self._lines] + self._bridged_s
        self._gain = np.ascontiguousarray((transfer * self._scale[:, None]).T)  # (n_bl, outputs): codes per V
        swing = self._rf * transfer.sum(axis=1)
        zero = self._offset * (1.0 + swing) - self._rf * self._injected_a
        slope = self._adc_poly[:, 1]
        # How far the amplifiers' rails are from zero input, and what an input of 1 V moves: in the unit of the product.
        self._room = np.minimum(zero - self._low, self._high - zero) * slope
        self._swing = swing * slope
        # Inputs up to this need no look at the rails, unless a transition comes on top.
        self._free_v = min(LINEAR_V, float((self._room / np.maximum(self._swing, 1e-300)).min()))
        # The converters' polynomials of V = zero + product / slope, expanded: neither offset nor slope costs a pass.
        new = np.flatnonzero(zero != self._zero)
        zero, slope = zero[new], slope[new]
        self._zero[new] = zero
        self._poly.set(substitute(self._adc_poly[new], zero, 1.0 / slope).T, new)

    def codes(
        self,
        relative: Volts,
        reach_v: float,
        normals: NDArray[np.float32],
        out: NDArray[np.int16],
        flips: Flips | None = None,
        sample_s: Volts | None = None,
    ) -> None:
        """Codes (n, outputs) for bit lines (n, n_bl) relative to the reference, V, none beyond ±`reach_v`.

        `normals` (n, outputs) is the noise. `flips` are telegraph transitions after the response was taken; they act
        from the first of the samples (n, positions) at or after them.
        """
        jumps = [] if flips is None or sample_s is None else self._jumps(relative, reach_v, flips, sample_s)
        # Whether the amplifiers' rails are in reach; beyond the Ohmic range nobody works the bound out.
        clips = reach_v > self._free_v
        if jumps and not clips:
            clips = bool((self._swing * reach_v + sum(jump.bound for jump in jumps) > self._room).any())
        for a in range(0, len(relative), BLOCK):
            part = slice(a, a + BLOCK)
            v = relative[part]
            n = len(v)
            level, variance, cubic = self._scratch[:, :n]
            np.matmul(v, self._gain, out=level)
            if reach_v > LINEAR_V:
                cells = self._response.transfer_s[self._lines] * self._scale[:, None]
                level += _excess(v) @ (cells * self._response.nonlinear[self._lines]).T
            for jump in jumps:
                if (after := jump.first - a) < n:
                    level[max(after, 0) :, jump.output] += jump.product[max(-after, 0) : n - after]
            np.matmul(np.square(v, out=self._square[:n]), self._cells, out=variance)
            x, sigma, code = level.reshape(-1), variance.reshape(-1), cubic.reshape(-1)
            if clips:
                slope = self._adc_poly[:, 1]
                np.clip(level, (self._low - self._zero) * slope, (self._high - self._zero) * slope, out=level)
            c0, c1, c2, c3 = self._poly.first(x.size)
            sigma += self._floor.first(x.size)[0]
            np.sqrt(sigma, out=sigma)
            sigma *= normals[part].reshape(-1)
            np.multiply(x, c3, out=code)
            code += c2
            code *= x
            code += c1
            code *= x
            code += c0
            code += sigma
            np.rint(code, out=code)
            np.maximum(code, CODE_MIN, out=code)
            np.minimum(code, CODE_MAX, out=code)
            out[part] = cubic

    def _jumps(self, relative: Volts, reach_v: float, flips: Flips, sample_s: Volts) -> list[_Jump]:
        """What telegraph transitions add to the products."""
        jumps = []
        n_adcs = len(self._lines) // sample_s.shape[1]
        excess = _excess(relative) if reach_v > LINEAR_V else None
        for t_s, row, column, delta_s in zip(flips.t_s, flips.row, flips.col, flips.delta_s, strict=True):
            for output in self._outputs_of.get(int(row), ()):
                k = int(sample_s[:, output // n_adcs].searchsorted(t_s))
                cell_v = relative[k:, column] - self._offset[output]
                if excess is not None:
                    cell_v += self._response.nonlinear[row, column] * excess[k:, column]
                step = self._scale[output] * delta_s
                jumps.append(_Jump(k, int(output), step * cell_v, abs(step) * (reach_v + abs(self._offset[output]))))
        return jumps


class _Jump(NamedTuple):
    """A telegraph transition as one output sees it."""

    first: int
    """First vector that it acts on."""
    output: int
    product: Volts
    """(n - first,) what it adds to the products, none beyond `bound` while the cell is Ohmic."""
    bound: float


def _excess(relative: Volts) -> Volts:
    return excess_voltage(relative) * (np.abs(relative) > LINEAR_V)


def _positions(chips: list[int], channels: tuple[int, ...], n: int) -> NDArray[np.intp]:
    """Where flat channels stand in the codes of the given chips, of `n` channels each."""
    return np.array([n * chips.index(c // n) + c % n for c in channels], np.intp)


def _same(a: list[NDArray[np.float64]], b: list[NDArray[np.float64]]) -> bool:
    """Whether two lists hold the same (read-only or replaced, never changed) arrays."""
    return len(a) == len(b) and all(map(is_, a, b))
