"""The mock board's netlist: chips, muxes, amplifiers and array, connected as the `Wiring` says.

Analog values are evaluated where a conversion or a pulse needs them. A floating ADC input or bit line sits at the amplifiers'
reference, where its bias resistor pulls it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from firmware_bridge.errors import ProtocolError
from firmware_bridge.isa import DAC_CHANNELS, Codes, Mvm, mask_indices
from firmware_bridge.mock.ads8324 import CODE_MAX, CODE_MIN, AdcParams, AdcTiming, Ads8324
from firmware_bridge.mock.array import Array, Flips, Response, excess_voltage
from firmware_bridge.mock.array_params import ArrayParams
from firmware_bridge.mock.cd4051b import Cd4051b, MuxParams
from firmware_bridge.mock.dac80508 import Dac80508, DacParams, SpiTiming
from firmware_bridge.mock.opa4322 import Opa4322Tia, TiaParams
from firmware_bridge.mock.sn74hc595 import ShiftTiming, Sn74hc595Chain
from firmware_bridge.wiring import Wiring

LINEAR_V = 0.105
READ_BIAS_V = 0.3
"""Bit-line bias below which a connected line only reads; above it, it is applied to the array as a programming pulse."""

Volts = NDArray[np.float64]


class MockParams(BaseModel):
    """Every chip of the mock board and its non-idealities; `MockParams.ideal()` has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dac: DacParams = DacParams()
    mux: MuxParams = MuxParams(level_shifter=True)
    tia: TiaParams = TiaParams()
    adc: AdcParams = AdcParams()
    array: ArrayParams = ArrayParams()

    @classmethod
    def ideal(cls) -> MockParams:
        """Chips without error or noise; the array switches deterministically."""
        return cls(
            dac=DacParams.ideal(), mux=MuxParams.ideal(), tia=TiaParams.ideal(), adc=AdcParams.ideal(), array=ArrayParams.ideal()
        )


class MockBoard:
    """Chips and array behind the sequencer's pins. Times `t_s` are board time in s and never go back.

    One seed makes one board: every chip's errors, the array's devices and all noise follow from it.
    """

    def __init__(self, wiring: Wiring, params: MockParams | None = None, *, seed: int) -> None:
        self.wiring = wiring
        self.params = params or MockParams()
        dacs, muxes, tia, adcs, self_noise, chain, array = np.random.SeedSequence(seed).spawn(7)
        self.dacs = [Dac80508(self.params.dac, np.random.default_rng(s)) for s in dacs.spawn(wiring.n_dacs)]
        self.chain = Sn74hc595Chain(wiring.sr_devices, np.random.default_rng(chain))
        bl, reference, adc = muxes.spawn(3)
        self.bl_mux = Cd4051b(self.params.mux, wiring.n_bl, np.random.default_rng(bl))
        self.reference_mux = Cd4051b(self.params.mux, 1, np.random.default_rng(reference))
        self.adc_mux = Cd4051b(self.params.mux, wiring.n_adcs, np.random.default_rng(adc))
        self.tia = Opa4322Tia(self.params.tia, wiring.n_sl, np.random.default_rng(tia))
        self.adcs = [Ads8324(self.params.adc, np.random.default_rng(s)) for s in adcs.spawn(wiring.n_adcs)]
        self.array = Array(self.params.array, seed=int(array.generate_state(1)[0]))
        if self.array.shape != (wiring.n_sl, wiring.n_bl):
            raise ProtocolError(f"the array has shape {self.array.shape}, the wiring has {(wiring.n_sl, wiring.n_bl)} lines")
        self._noise = np.random.Generator(np.random.SFC64(self_noise))
        self._bl = np.array(wiring.bl_dac)
        self._wl = np.array(wiring.wl_dac)
        self._sl_at = {(a, m): sl for sl, (a, m) in enumerate(zip(wiring.sl_adc, wiring.sl_mux, strict=True))}
        self.gate = False
        self._gate_s = self._biased_s = 0.0
        self._quiet = False  # known: the bit lines, connected or not, stand at a read voltage
        self._paths: dict[tuple[tuple[int, ...], tuple[int | None, ...]], _Path] = {}
        self._routes: dict[tuple[int, int, tuple[int, ...], int], _Route | None] = {}
        self._adc_bits = sum(1 << b for b in wiring.adc_select.bits())
        self.set_oe_n(True, 0.0)
        self.set_gate(False, 0.0)

    def power_up(self, t_s: float) -> None:
        """Converters and registers as after power-up; the array keeps its state."""
        self.set_gate(False, t_s)
        for dac in self.dacs:
            dac.power_up(t_s)
        self.chain.power_up()
        self.set_oe_n(True, t_s)

    # -- pins ------------------------------------------------------------------------------------------------------
    def spi(self, dac: int, frame: int, bits: int, t_s: float, timing: SpiTiming) -> int:
        """One frame to DAC `dac`, whose chip select rises at `t_s`; returns what it shifted out."""
        self._apply_bias(t_s)
        self._quiet = False
        return self.dacs[dac].transfer(frame, bits, t_s, timing)

    def shift(self, word: int, bits: int, t_s: float, timing: ShiftTiming) -> None:
        """Shift a word into the chain and latch it at `t_s`."""
        self._apply_bias(t_s)
        before = self.chain.outputs()
        self.chain.shift(word, bits, timing)
        self.chain.latch(timing)
        if before is None or (before ^ word) & ~self._adc_bits:
            self._quiet = False
        self._select(t_s)

    def set_oe_n(self, level: bool, t_s: float) -> None:
        """The chain's output-enable pin."""
        self._apply_bias(t_s)
        self._quiet = False
        self.chain.set_oe_n(level, t_s)
        self._select(t_s)

    def set_gate(self, connect: bool, t_s: float) -> None:
        """The pulse gate: INH of every bit-line mux."""
        self._apply_bias(t_s)
        self.gate, self._gate_s = connect, t_s
        self._select(t_s)

    def _select(self, t_s: float) -> None:
        outputs = None if self.chain.oe_n else self.chain.outputs()
        for mux, bits, gated in (
            (self.bl_mux, self.wiring.bl_select, not self.gate),
            (self.reference_mux, self.wiring.reference_select, False),
            (self.adc_mux, self.wiring.adc_select, False),
        ):
            if outputs is None:
                mux.select(None, True, t_s)
            else:
                mux.select(bits.code(outputs), gated or bits.inhibited(outputs), t_s)

    # -- analog ------------------------------------------------------------------------------------------------------
    def _dac_outputs(self, t_s: float) -> Volts:
        return np.concatenate([dac.output_v(t_s) for dac in self.dacs])

    def reference_v(self, t_s: float) -> float:
        """Reference of the amplifiers, V; the common mode while its mux is inhibited (bias resistor)."""
        form = self.reference_mux.channel(t_s) == self.wiring.reference_inputs["form"]
        return self.wiring.vform_v if form else self.wiring.vcm_v

    def lines_v(self, t_s: float) -> tuple[Volts, Volts, Volts]:
        """Voltages of BLs (NaN: floating), WLs and SLs at `t_s`, V."""
        outputs = self._dac_outputs(t_s)
        channel = self.bl_mux.channel(t_s)
        inputs = self.wiring.bl_inputs
        if channel == inputs["dac"]:
            bl = outputs[self._bl]
        elif channel == inputs["vcm"]:
            bl = np.full(self.wiring.n_bl, self.wiring.vcm_v)
        elif channel == inputs["gnd"]:
            bl = np.zeros(self.wiring.n_bl)
        else:
            bl = np.full(self.wiring.n_bl, np.nan)
        return bl, outputs[self._wl], self.tia.sl_voltage_v(self.reference_v(t_s))

    def _apply_bias(self, t_s: float) -> None:
        """Bit lines that stay connected above a read voltage program the array; called before anything changes."""
        if self.gate and not self._quiet and t_s > self._biased_s:
            bl, wl, sl = self.lines_v(t_s)
            if not np.isnan(bl).all() and np.nanmax(np.abs(bl - self.reference_v(t_s))) > READ_BIAS_V:
                self.array.pulse(bl, wl, sl, t_s - self._biased_s, self._biased_s)
        self._biased_s = t_s

    def pulse(self, width_s: float, t_s: float) -> None:
        """Connect the bit lines from `t_s` for `width_s`."""
        self.set_gate(True, t_s)
        bl, wl, sl = self.lines_v(self.bl_mux.settled_at_s)
        self.array.pulse(bl, wl, sl, width_s, t_s)
        self._biased_s = t_s + width_s
        self.set_gate(False, t_s + width_s)

    def convert(self, adcs: list[int], start_s: float, sample_s: float, timing: AdcTiming) -> NDArray[np.int16]:
        """Start a conversion on `adcs` at `start_s`; the window closes at `sample_s`. Returns codes, one per ADC."""
        for adc in adcs:
            self.adcs[adc].start(start_s, timing)
        self._apply_bias(sample_s)
        bl, wl, _ = self.lines_v(sample_s)
        reference = self.reference_v(sample_s)
        relative = np.where(np.isnan(bl), 0.0, bl - reference)
        # A line that has just been connected comes up with the amplifier's time constant.
        if self.gate and self.tia.tau_s and (since := sample_s - self._gate_s) < self.tia.settling_s:
            relative = relative * -np.expm1(-since / self.tia.tau_s)
        position = self.adc_mux.channel(sample_s)
        response = self.array.response(sample_s, wl, np.full(self.wiring.n_sl, reference))
        codes = np.empty((1, len(adcs)), np.int16)
        self._path(tuple(adcs), (position,), response, reference).codes(relative[None], self._normals(1, len(adcs)), codes)
        return codes[0]

    def _normals(self, n: int, outputs: int) -> NDArray[np.float32]:
        """Noise of `n` rows of conversions, drawn in the order in which they happen, so that every way of cutting a stream agrees."""
        return self._noise.standard_normal((n, outputs), np.float32)

    def _path(
        self, adcs: tuple[int, ...], inputs: tuple[int | None, ...], response: Response, reference_v: float
    ) -> _Path:
        path = self._paths.get((adcs, inputs))
        if path is None or not path.follow(response, reference_v):
            lines = [-1 if i is None else self._sl_at.get((a, i), -1) for i in inputs for a in adcs]
            path = _Path(self, np.array(lines), np.array(adcs * len(inputs)), response, reference_v)
            self._paths[adcs, inputs] = path
        return path

    # -- streams ------------------------------------------------------------------------------------------------------
    def ready_to_load(self, dac_mask: int) -> bool:
        """Whether the DACs of the mask take a vector by eight buffered writes and LDAC, outside CRC mode."""
        return all(self.dacs[d].buffered for d in mask_indices(dac_mask))

    def load(self, dac_mask: int, codes: Codes, t_s: float) -> None:
        """A vector (DACs in mask, 8) becomes active at `t_s`."""
        self._apply_bias(t_s)
        self._quiet = False
        for dac, row in zip(mask_indices(dac_mask), codes, strict=True):
            self.dacs[dac].load_all(row, t_s)

    def stream(self, mvm: Mvm, active_s: Volts, sample_s: Volts, window_s: float) -> NDArray[np.int16] | None:
        """Codes (n, positions · ADCs) of a whole stream at once, or None where only its single instructions will do.

        `active_s` (n,): when each vector becomes active; `sample_s` (n, positions): when each sampling window closes, `window_s` long.
        The vectorised path is for bit lines that are connected to buffered DACs, all else at rest, every sample settled.
        """
        route = self._route(mvm)
        outputs = None if self.chain.oe_n else self.chain.outputs()
        if route is None or outputs is None or not self.gate or outputs & ~self._adc_bits != route.fixed_bits:
            return None
        if not all(dac.buffered for dac in route.dacs):
            return None
        first_s = active_s[0]
        rest_s = max(
            *[dac.settled_at_s for dac in route.others], self.bl_mux.settled_at_s, self.reference_mux.settled_at_s,
            self._gate_s + self.tia.settling_s,
        )  # fmt: skip
        reference = self.reference_v(first_s)
        relative = route.volts(mvm)
        relative -= reference
        reach_v = max(float(relative.max()), -float(relative.min()))
        if (
            reach_v > READ_BIAS_V
            or first_s < rest_s
            or float((sample_s[:, 0] - active_s).min()) < route.dacs[0].full_settling_s
            or self.adc_mux.switching_s > window_s
        ):
            return None
        gates = np.concatenate([dac.settled_v for dac in route.others])[route.wl_columns]
        sl = np.full(self.wiring.n_sl, reference)
        adcs, inputs = route.adcs, route.inputs
        n_adcs = len(adcs)
        out = np.empty((mvm.count, len(inputs) * n_adcs), np.int16)
        k = 0
        while k < mvm.count:
            response = self.array.response(sample_s[k, 0], gates, sl)
            # Vectors whose every conversion falls within the validity of this response.
            stop = k + int(sample_s[k:, -1].searchsorted(response.until_s))
            if stop > k:
                path = self._path(adcs, inputs, response, reference)
                flips = self.array.flips(sample_s[k, 0], sample_s[stop - 1, -1])
                normals = self._normals(stop - k, out.shape[1])
                path.codes(relative[k:stop], normals, out[k:stop], flips, sample_s[k:stop])
                k = stop
                continue
            for p, channel in enumerate(inputs):  # a refresh falls between the conversions of this vector
                response = self.array.response(sample_s[k, p], gates, sl)
                path = self._path(adcs, (channel,), response, reference)
                path.codes(relative[k : k + 1], self._normals(1, n_adcs), out[k : k + 1, p * n_adcs : (p + 1) * n_adcs])
            k += 1
        return out

    def finish_stream(self, mvm: Mvm, active_s: float, last_shift_s: float, timing: ShiftTiming) -> None:
        """Leave the chips as the stream does: its last vector on the DACs, its last word on the chain."""
        self._quiet, self._biased_s = True, active_s
        for dac, row in zip(mask_indices(mvm.dac_mask), mvm.codes[-1], strict=True):
            self.dacs[dac].load_all(row, active_s)
        self.shift(mvm.positions[-1], mvm.sr_bits, last_shift_s, timing)

    def _route(self, mvm: Mvm) -> _Route | None:
        key = (mvm.dac_mask, mvm.adc_mask, mvm.positions, mvm.sr_bits)
        if key not in self._routes:
            self._routes[key] = _Route.of(self, mvm)
        return self._routes[key]


class _Route:
    """What a stream's header means on this board: which chips, which lines, in which order."""

    def __init__(self, board: MockBoard, dacs: list[int], adcs: list[int], inputs: list[int | None], fixed_bits: int) -> None:
        self.dacs = [board.dacs[d] for d in dacs]
        self.others = [dac for i, dac in enumerate(board.dacs) if i not in dacs]
        self.adcs, self.inputs, self.fixed_bits = tuple(adcs), tuple(inputs), fixed_bits
        position = {DAC_CHANNELS * d + c: DAC_CHANNELS * i + c for i, d in enumerate(dacs) for c in range(DAC_CHANNELS)}
        self._columns = np.array([position[c] for c in board.wiring.bl_dac])
        self._in_order = np.array_equal(self._columns, np.arange(len(position)))
        other = [i for i in range(len(board.dacs)) if i not in dacs]
        column = {DAC_CHANNELS * d + c: DAC_CHANNELS * i + c for i, d in enumerate(other) for c in range(DAC_CHANNELS)}
        self.wl_columns = np.array([column[c] for c in board.wiring.wl_dac])
        self._of: list[Volts] = []
        self._poly = np.empty((4, 0))
        self._vdd_v = board.params.dac.vdd_v

    @classmethod
    def of(cls, board: MockBoard, mvm: Mvm) -> _Route | None:
        """The route of a stream, or None if it leaves the vectorised path: other lines than all bit lines, other muxes than the ADCs'."""
        wiring, select = board.wiring, board.wiring.adc_select
        dacs, adcs = mask_indices(mvm.dac_mask), mask_indices(mvm.adc_mask)
        channels = {DAC_CHANNELS * d + c for d in dacs for c in range(DAC_CHANNELS)}
        inputs = [None if select.inhibited(word) else select.code(word) for word in mvm.positions]
        fixed = {word & ~board._adc_bits for word in mvm.positions}
        if (
            mvm.sr_bits != wiring.sr_bits
            or not channels.issuperset(wiring.bl_dac)
            or not channels.isdisjoint(wiring.wl_dac)
            or len(fixed) != 1
            or wiring.bl_select.code(min(fixed)) != wiring.bl_inputs["dac"]
        ):
            return None
        return cls(board, dacs, adcs, inputs, fixed.pop())

    def volts(self, mvm: Mvm) -> Volts:
        """Settled bit-line voltages (n, n_bl) of the codes, V: a fresh array."""
        codes = mvm.codes.reshape(mvm.count, -1)
        if not self._in_order:
            codes = codes[:, self._columns]
        tables = [dac.coefficients() for dac in self.dacs]
        if len(tables) != len(self._of) or any(a is not b for a, b in zip(tables, self._of, strict=True)):
            self._of, self._poly = tables, np.ascontiguousarray(np.concatenate(tables)[self._columns].T)
        c0, c1, c2, c3 = self._poly
        x = codes.astype(np.float64)
        volts = x * c3
        volts += c2
        volts *= x
        volts += c1
        volts *= x
        volts += c0
        return np.clip(volts, 0.0, self._vdd_v, out=volts)


class _Path:
    """Everything between the bit lines and the codes of a fixed set of conversions, as arrays over those conversions.

    ``I = T v``, ``V = offset − Rf I``, code = polynomial(V) + noise: one matrix product for the current, one for its variance.
    """

    def __init__(
        self, board: MockBoard, lines: NDArray[np.intp], adcs: NDArray[np.intp], response: Response, reference_v: float
    ) -> None:
        self._lines, self._reference_v = lines, reference_v
        self._closed = (lines >= 0).astype(np.float64)
        self._outputs_of = {int(line): np.flatnonzero(lines == line) for line in set(lines) if line >= 0}
        self._rf = board.tia.rf_ohm[lines] * self._closed
        self._offset = board.tia.v_os_v[lines] * self._closed
        low, high = board.tia.output_range_v
        self._low, self._high = low - reference_v, high - reference_v
        self._poly = np.ascontiguousarray(np.stack([board.adcs[a].coefficients() for a in adcs]).T)
        scale = self._rf / np.array([board.adcs[a].lsb_v for a in adcs])
        # Variances in codes²: cells per V², and what does not depend on the input. DAC noise is taken as independent from one
        # conversion to the next and from line to line, which it is not quite: lines sampled together share it.
        self._cells = np.ascontiguousarray((response.noise_s[lines] * scale[:, None]).T ** 2)
        self._floor = (
            np.array([board.adcs[a].params.noise_lsb_rms for a in adcs]) ** 2
            + (board.tia.output_noise_v_rms * self._closed / np.array([board.adcs[a].lsb_v for a in adcs])) ** 2
            + (board.params.dac.noise_v_rms * scale) ** 2 * (response.transfer_s[lines] ** 2).sum(axis=1)
        )
        self._noise_of: NDArray[np.float64] | None = None
        self._response: Response | None = None
        self._noise_of = response.noise_s
        self.follow(response, reference_v)

    def follow(self, response: Response, reference_v: float) -> bool:
        """Take over a response that differs by telegraph states only; False if it differs by more."""
        if response is self._response:
            return True
        if response.noise_s is not self._noise_of or reference_v != self._reference_v:
            return False
        self._response = response
        transfer = response.transfer_s[self._lines]
        gain = transfer * -self._rf[:, None]
        self._gain = np.ascontiguousarray(gain.T)  # (n_bl, outputs): V at the ADC per V on the bit line
        self._zero = self._offset * (1.0 - gain.sum(axis=1))
        return True

    def codes(
        self,
        relative: Volts,
        normals: NDArray[np.float32],
        out: NDArray[np.int16],
        flips: Flips | None = None,
        sample_s: Volts | None = None,
    ) -> None:
        """Codes (n, outputs) for bit lines (n, n_bl) in V relative to the reference; `normals` (n, outputs).

        `flips` are telegraph transitions after the response was taken; they act from the first sample at or after them.
        """
        assert self._response is not None
        level = relative @ self._gain
        if relative.max() > LINEAR_V or relative.min() < -LINEAR_V:
            level += excess_voltage(relative) @ (self._gain * self._response.nonlinear[self._lines].T)
        level += self._zero
        if flips is not None:
            assert sample_s is not None
            self._add_flips(level, relative, flips, sample_s)
        np.clip(level, self._low, self._high, out=level)
        c0, c1, c2, c3 = self._poly
        volts = level.copy()
        level *= c3
        level += c2
        level *= volts
        level += c1
        level *= volts
        level += c0
        sigma = np.square(relative) @ self._cells
        sigma += self._floor
        np.sqrt(sigma, out=sigma)
        sigma *= normals
        level += sigma
        np.rint(level, out=level)
        np.clip(level, CODE_MIN, CODE_MAX, out=level)
        out[...] = level

    def _add_flips(self, volts: Volts, relative: Volts, flips: Flips, sample_s: Volts) -> None:
        n_adcs = volts.shape[1] // sample_s.shape[1]
        for t_s, row, column, delta_s in zip(flips.t_s, flips.row, flips.col, flips.delta_s, strict=True):
            for output in self._outputs_of.get(int(row), ()):
                k = int(sample_s[:, output // n_adcs].searchsorted(t_s))
                volts[k:, output] -= self._rf[output] * delta_s * (relative[k:, column] - self._offset[output])
