"""The mock board's netlist: chips, muxes, amplifiers and array, connected as the `Wiring` says.

Analog values are evaluated where a conversion or a pulse needs them. A floating ADC input or bit line sits at the
amplifiers' reference, where its bias resistor pulls it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.errors import ProtocolError
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import Codes, Mvm, mask_indices
from firmware_bridge.mock.ads8324 import AdcParams, AdcTiming, Ads8324
from firmware_bridge.mock.array import Array, Response
from firmware_bridge.mock.array_params import ArrayParams
from firmware_bridge.mock.cd4051b import Cd4051b, MuxParams
from firmware_bridge.mock.dac import SpiTiming
from firmware_bridge.mock.dac80508_sheet import DacParams
from firmware_bridge.mock.dac_chips import CHIPS, DEFAULT, AnyDacParams, dac_chip
from firmware_bridge.mock.faults.base import Faults
from firmware_bridge.mock.opa4322 import Opa4322Tia, TiaParams
from firmware_bridge.mock.sn74hc595 import ShiftTiming, Sn74hc595Chain
from firmware_bridge.mock.stream import Path, Route
from firmware_bridge.wiring import SelectBits, Wiring

READ_BIAS_V = 0.3
"""Bit-line bias up to which a connected line only reads; beyond, it is applied to the array as a programming pulse."""

Volts = NDArray[np.float64]


class ReferenceParams(BaseModel):
    """The two voltages that the board's muxes can give the amplifiers as their reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float = Field(default=0.0, ge=0, lt=0.1)
    """Common mode and forming level are each uniform within ± this share of their nominal value (assumed: trimmed)."""


class MockParams(BaseModel):
    """Every chip of the mock board and its non-idealities; `MockParams.ideal()` has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dac: AnyDacParams = DacParams()
    mux: MuxParams = MuxParams(level_shifter=True)
    tia: TiaParams = TiaParams()
    adc: AdcParams = AdcParams()
    reference: ReferenceParams = ReferenceParams()
    array: ArrayParams = ArrayParams()

    @classmethod
    def ideal(cls, dac: str = DEFAULT) -> MockParams:
        """Chips without error or noise; the array switches deterministically. dac: part of the DACs."""
        return cls(
            dac=CHIPS[dac][1].ideal(),
            mux=MuxParams.ideal(),
            tia=TiaParams.ideal(),
            adc=AdcParams.ideal(),
            array=ArrayParams.ideal(),
        )


class MockBoard:
    """Chips and array behind the sequencer's pins. Times `t_s` are board time in s and never go back.

    One seed makes one board: every chip's errors, the array's devices and all noise follow from it.

    Attributes
    ----------
    faults: what goes wrong at pins, lines and cells, if anything does.
    """

    def __init__(self, wiring: Wiring, params: MockParams | None = None, *, seed: int) -> None:
        self.wiring = wiring
        self.params = params or MockParams()
        dacs, muxes, tia, adcs, self_noise, chain, array, levels = np.random.SeedSequence(seed).spawn(8)
        self.dacs = [dac_chip(self.params.dac, np.random.default_rng(s)) for s in dacs.spawn(wiring.n_dacs)]
        if wiring.dac_channels != self.dacs[0].CHANNELS:
            raise ProtocolError(
                f"a {self.params.dac.part} has {self.dacs[0].CHANNELS} channels, the wiring is for DACs of "
                f"{wiring.dac_channels}"
            )
        self.chain = Sn74hc595Chain(wiring.sr_devices, np.random.default_rng(chain))
        bl, reference, adc = muxes.spawn(3)
        self.bl_mux = Cd4051b(self.params.mux, wiring.n_bl, np.random.default_rng(bl))
        self.reference_mux = Cd4051b(self.params.mux, 1, np.random.default_rng(reference))
        self.adc_mux = Cd4051b(self.params.mux, wiring.n_adcs, np.random.default_rng(adc))
        self.tia = Opa4322Tia(self.params.tia, wiring.n_sl, np.random.default_rng(tia))
        self.adcs = [Ads8324(self.params.adc, np.random.default_rng(s)) for s in adcs.spawn(wiring.n_adcs)]
        self.array = Array(self.params.array, seed=int(array.generate_state(1)[0]))
        if self.array.shape != (wiring.n_sl, wiring.n_bl):
            raise ProtocolError(
                f"the array has shape {self.array.shape}, the wiring has {(wiring.n_sl, wiring.n_bl)} lines"
            )
        off = self.params.reference.tolerance * np.random.default_rng(levels).uniform(-1, 1, 2)
        self.vcm_v, self.vform_v = wiring.vcm_v * (1 + float(off[0])), wiring.vform_v * (1 + float(off[1]))
        self._noise = np.random.Generator(np.random.SFC64(self_noise))
        self._bl = np.array(wiring.bl_dac)
        self._wl = np.array(wiring.wl_dac)
        self._sl_at = {(a, m): sl for sl, (a, m) in enumerate(zip(wiring.sl_adc, wiring.sl_mux, strict=True))}
        # From outside into each source line, A: see `inject`.
        self.injected_a: Volts = np.zeros(wiring.n_sl)
        # Resistors between bit and source lines, beside the array, S: see `bridge_lines`.
        self.bridged_s: Volts = np.zeros(self.array.shape)
        self.faults = Faults(self)
        self.gate = False
        self._gate_s = self._biased_s = 0.0
        self._quiet = False  # known: the bit lines, connected or not, stand at a read voltage
        self._paths: dict[tuple[tuple[int, ...], tuple[int | None, ...]], Path] = {}
        self._routes: dict[tuple[int, int, tuple[int, ...], int], Route | None] = {}
        self._sl_v: dict[float, Volts] = {}
        self.adc_bits = sum(1 << b for b in wiring.adc_select.bits())

    def power_up(self, t_s: float) -> None:
        """Converters and registers as after power-up; the array keeps its state."""
        self.set_gate(False, t_s)
        self.set_oe_n(True, t_s)
        self._quiet = False
        for dac in self.dacs:
            dac.power_up(t_s)
        for adc in self.adcs:
            adc.power_up(t_s)
        self.chain.power_up()

    # -- pins ------------------------------------------------------------------------------------------------------
    def spi(self, dac: int, frame: int, bits: int, t_s: float, timing: SpiTiming) -> int:
        """One frame to DAC `dac`, whose chip select rises at `t_s`; returns what it shifted out."""
        self._apply_bias(t_s)
        self._quiet = False
        arriving = self.faults.sdi(dac, frame, bits, t_s)
        if arriving == frame:
            answer = self.dacs[dac].transfer(frame, bits, t_s, timing)
        else:
            answer = 0
            # What its datasheet does not allow a part ignores (assumed). Nobody up there is told.
            with suppress(ProtocolError):
                if arriving is not None:
                    answer = self.dacs[dac].transfer(arriving, bits, t_s, timing)
        return self.faults.sdo(dac, answer, bits)

    def sdo(self, dac: int, bits: int) -> int:
        """What the sequencer will receive from DAC `dac` in its next frame, if that has `bits` bits."""
        return self.faults.sdo(dac, self.dacs[dac].sdo_word(bits), bits)

    def shift(self, word: int, bits: int, t_s: float, timing: ShiftTiming) -> None:
        """Shift a word into the chain and latch it at `t_s`."""
        self._apply_bias(t_s)
        before = self._outputs()
        self.chain.shift(word, bits, timing)
        self.chain.latch(timing)
        after = self._outputs()
        if before == after:
            return
        if before is None or after is None or (before ^ after) & ~self.adc_bits:
            self._quiet = False
        self.select(t_s)

    def set_oe_n(self, level: bool, t_s: float) -> None:
        """The chain's output-enable pin."""
        if level == self.chain.oe_n:
            return
        self._apply_bias(t_s)
        self._quiet = False
        self.chain.set_oe_n(level, t_s)
        self.select(t_s)

    def set_gate(self, connect: bool, t_s: float) -> None:
        """The pulse gate: INH of every bit-line mux."""
        if connect == self.gate:
            return
        self._apply_bias(t_s)
        self.gate, self._gate_s = connect, t_s
        _drive(self.bl_mux, self.wiring.bl_select, self._outputs(), not connect, t_s)

    def _outputs(self) -> int | None:
        return self.faults.chain(self.chain.outputs())

    def select(self, t_s: float) -> None:
        """Let all muxes follow the chain."""
        outputs = self._outputs()
        _drive(self.bl_mux, self.wiring.bl_select, outputs, not self.gate, t_s)
        _drive(self.reference_mux, self.wiring.reference_select, outputs, False, t_s)
        _drive(self.adc_mux, self.wiring.adc_select, outputs, False, t_s)

    # -- analog ------------------------------------------------------------------------------------------------------
    def _dac_outputs(self, t_s: float) -> Volts:
        return np.concatenate([dac.output_v(t_s) for dac in self.dacs])

    def reference_v(self, t_s: float) -> float:
        """Reference of the amplifiers, V; the common mode while its mux is inhibited (bias resistor)."""
        form = self.reference_mux.channel(t_s) == self.wiring.reference_inputs.form
        return self.vform_v if form else self.vcm_v

    def lines_v(self, t_s: float) -> tuple[Volts, Volts, Volts]:
        """Voltages of BLs (NaN: floating), WLs and SLs at `t_s`, V."""
        outputs = self._dac_outputs(t_s)
        channel = self.bl_mux.channel(t_s)
        inputs = self.wiring.bl_inputs
        if channel == inputs.dac:
            bl = outputs[self._bl]
        elif channel == inputs.vcm:
            bl = np.full(self.wiring.n_bl, self.vcm_v)
        elif channel == inputs.gnd:
            bl = np.zeros(self.wiring.n_bl)
        else:
            bl = np.full(self.wiring.n_bl, np.nan)
        return (
            self.faults.bit_lines(bl),
            self.faults.word_lines(outputs[self._wl]),
            self.tia.sl_voltage_v(self.reference_v(t_s)),
        )

    def _apply_bias(self, t_s: float) -> None:
        """Bit lines that stay connected above a read voltage program the array; called before anything changes."""
        self.faults.advance(t_s)
        if self.gate and not self._quiet and t_s > self._biased_s:
            bl, wl, sl = self.lines_v(t_s)
            if not np.isnan(bl).all() and np.nanmax(np.abs(bl - self.reference_v(t_s))) > READ_BIAS_V:
                self.array.pulse(bl, wl, sl, t_s - self._biased_s, self._biased_s)
        self._biased_s = t_s

    def pulse(self, width_s: float, t_s: float) -> None:
        """Connect the bit lines from `t_s` for `width_s`."""
        self.set_gate(True, t_s)
        bl, wl, sl = self.lines_v(max(t_s, self.bl_mux.settled_at_s))
        self.array.pulse(bl, wl, sl, width_s, t_s)
        self._biased_s = t_s + width_s
        self.set_gate(False, t_s + width_s)

    def convert(self, adcs: list[int], start_s: float, sample_s: float, timing: AdcTiming) -> NDArray[np.int16]:
        """Start a conversion on `adcs` at `start_s`; the window closes at `sample_s`. Returns codes, one per ADC."""
        if not adcs:
            return np.empty(0, np.int16)
        Ads8324.start_together([self.adcs[a] for a in adcs], (start_s,), timing)
        self._apply_bias(sample_s)
        bl, wl, _ = self.lines_v(sample_s)
        reference = self.reference_v(sample_s)
        relative = np.where(np.isnan(bl), 0.0, bl - reference)
        # A line that has just been connected comes up with the amplifier's time constant.
        if self.gate and self.tia.tau_s and (since := sample_s - self._gate_s) < self.tia.settling_s:
            relative = relative * -np.expm1(-since / self.tia.tau_s)
        position = self.adc_mux.channel(sample_s)
        response = self.array.response(sample_s, wl, self._sl_at_v(reference))
        codes = np.empty((1, len(adcs)), np.int16)
        path = self._path(tuple(adcs), (position,), response, reference)
        path.codes(relative[None], float(np.abs(relative).max()), self._normals(1, len(adcs)), codes)
        return self.faults.codes(tuple(adcs), codes)[0]

    def inject(self, current_a: Volts) -> None:
        """Let currents (n_sl,) A flow from outside into the source lines, from the next conversion on; see `probe`."""
        self.injected_a = np.asarray(current_a, float)
        self._paths.clear()

    def bridge_lines(self, bridged_s: Volts) -> None:
        """Put conductances (n_sl, n_bl) S between test points of bit and source lines, from the next conversion on."""
        self.bridged_s = np.asarray(bridged_s, float)
        self._paths.clear()

    def _sl_at_v(self, reference_v: float) -> Volts:
        """Every source line at the reference; its amplifier's offset acts through `Path`."""
        if reference_v not in self._sl_v:
            self._sl_v[reference_v] = np.full(self.wiring.n_sl, reference_v)
        return self._sl_v[reference_v]

    def _normals(self, n: int, outputs: int) -> NDArray[np.float32]:
        """Noise of `n` rows of conversions, in the order in which they happen: every way of cutting a stream agrees."""
        return self._noise.standard_normal((n, outputs), np.float32)

    def _path(
        self, adcs: tuple[int, ...], inputs: tuple[int | None, ...], response: Response, reference_v: float
    ) -> Path:
        path = self._paths.get((adcs, inputs))
        if path is None or not path.follow(response, reference_v):
            connected = [(a, self.faults.adc_input(a, i)) for i in inputs for a in adcs]
            lines = [-1 if i is None else self._sl_at.get((a, i), -1) for a, i in connected]
            path = Path(self, np.array(lines), np.array(adcs * len(inputs)), response, reference_v)
            self._paths[adcs, inputs] = path
        return path

    def forget(self) -> None:
        """Work everything out anew that was kept for the next conversion."""
        self._paths.clear()
        self._quiet = False

    # -- streams ------------------------------------------------------------------------------------------------------
    def undisturbed(self, from_s: float, until_s: float) -> bool:
        """Whether a stream from `from_s` to `until_s` may be worked out at once."""
        self.faults.advance(from_s)
        return self.faults.quiet(from_s, until_s)

    def ready_to_load(self, dac_mask: int) -> bool:
        """Whether the DACs of the mask take a vector by buffered writes and LDAC, outside CRC mode."""
        return all(self.dacs[d].buffered for d in mask_indices(dac_mask))

    def load(self, dac_mask: int, codes: Codes, t_s: float) -> None:
        """A vector (DACs in mask, channels) becomes active at `t_s`."""
        self._apply_bias(t_s)
        self._quiet = False
        for dac, row in zip(mask_indices(dac_mask), codes, strict=True):
            self.dacs[dac].load_all(row, t_s)

    def settled_stream(self, mvm: Mvm, active_s: float, rest_s: float, window_s: float) -> SettledStream | None:
        """What a stream drives, or None where only its single instructions will do. Changes nothing.

        The first vector becomes active at `active_s`, each rests `rest_s` before it is sampled for `window_s`. The
        vectorised path is for bit lines that are connected to buffered DACs, all else at rest, every sample settled.
        """
        key = (mvm.dac_mask, mvm.adc_mask, mvm.positions, mvm.sr_bits)
        if key not in self._routes:
            self._routes[key] = Route.of(self, mvm)
        route = self._routes[key]
        outputs = self._outputs()
        if (
            route is None
            or outputs is None
            or not self.gate
            or outputs & ~self.adc_bits != route.fixed_bits
            or active_s < self.bl_mux.settled_at_s
            or active_s < self.reference_mux.settled_at_s
            or active_s < self._gate_s + self.tia.settling_s
            or rest_s < route.dacs[0].full_settling_s
            or self.adc_mux.switching_s > window_s
        ):
            return None
        for dac in route.others:
            if active_s < dac.settled_at_s:
                return None
        for dac in route.dacs:
            if not dac.buffered:
                return None
        reference_v = self.reference_v(active_s)
        if not self._quiet:
            # What the lines carry until the first vector is active may be a programming pulse.
            before, _, _ = self.lines_v(active_s)
            if not (np.abs(before - reference_v) <= READ_BIAS_V).all():
                return None
        relative = self.faults.bit_lines(route.relative_v(mvm, reference_v))
        low, high = extremes(relative)
        reach_v = max(high, -low)
        # Within this reach neither rail of the DACs is, which `relative_v` leaves out.
        if reach_v > min(READ_BIAS_V, reference_v, min(dac.vdd_v for dac in route.dacs) - reference_v):
            return None
        return SettledStream(route, relative, reach_v, reference_v)

    def convert_stream(self, stream: SettledStream, sample_s: Volts) -> NDArray[np.int16]:
        """Codes (n, positions · ADCs) of a whole stream whose sampling windows close at `sample_s` (n, positions)."""
        route, relative, reach_v, reference_v = stream
        gates, sl = self.faults.word_lines(route.gates_v()), self._sl_at_v(reference_v)
        n_adcs, n = len(route.adcs), len(relative)
        out = np.empty((n, sample_s.shape[1] * n_adcs), np.int16)
        k, last_s = 0, float(sample_s[-1, -1])
        while k < n:
            first_s = float(sample_s[k, 0])
            response = self.array.response(first_s, gates, sl)
            # Vectors whose every conversion falls within the validity of this response.
            whole = last_s < response.until_s
            stop = n if whole else k + int(sample_s[k:, -1].searchsorted(response.until_s))
            if stop > k:
                path = self._path(route.adcs, route.inputs, response, reference_v)
                flips = self.array.flips(first_s, last_s if whole else float(sample_s[stop - 1, -1]))
                normals = self._normals(stop - k, out.shape[1])
                path.codes(relative[k:stop], reach_v, normals, out[k:stop], flips, sample_s[k:stop])
                k = stop
                continue
            for p, channel in enumerate(route.inputs):  # a refresh falls between the conversions of this vector
                response = self.array.response(float(sample_s[k, p]), gates, sl)
                path = self._path(route.adcs, (channel,), response, reference_v)
                part = out[k : k + 1, p * n_adcs : (p + 1) * n_adcs]
                path.codes(relative[k : k + 1], reach_v, self._normals(1, n_adcs), part)
            k += 1
        return self.faults.codes(route.adcs, out)

    def finish_stream(self, route: Route, mvm: Mvm, active_s: float, shift_s: float, timing: ShiftTiming) -> None:
        """Leave the chips as the stream does: last vector on the DACs since `active_s`, last word on the chain."""
        self._quiet, self._biased_s = True, active_s
        for dac, row in zip(route.dacs, mvm.codes[-1], strict=True):
            dac.load_all(row, active_s)
        self.shift(mvm.positions[-1], mvm.sr_bits, shift_s, timing)


def _drive(mux: Cd4051b, bits: SelectBits, outputs: int | None, gated: bool, t_s: float) -> None:
    """What the chain's outputs (None: released) and the gate do to a group of muxes."""
    if outputs is None:
        mux.select(None, True, t_s)
    else:
        mux.select(bits.code(outputs), gated or bits.inhibited(outputs), t_s)


class SettledStream(NamedTuple):
    """Bit-line voltages of a stream that takes the vectorised path."""

    route: Route
    relative_v: Volts
    """(n, n_bl), relative to the reference."""
    reach_v: float
    """Largest magnitude of `relative_v`."""
    reference_v: float
