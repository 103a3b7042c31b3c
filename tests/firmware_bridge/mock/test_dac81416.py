from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from firmware_bridge.errors import LimitError, ProtocolError, TimingViolation
from firmware_bridge.mock.dac import SpiTiming
from firmware_bridge.mock.dac81416 import Dac81416
from firmware_bridge.mock.dac81416_sheet import LIMITS, REGISTER_NAMES, Dac81416Params
from firmware_bridge.mock.limits import Bound, Limit

WRITE = SpiTiming(10e-9, 10e-9, 15e-9, 5e-9, 25e-9, 5e-9, 5e-9, read=False)
READ = replace(WRITE, sclk_high_s=30e-9, sclk_low_s=30e-9, read=True)
RESET_VALUES = dict.fromkeys(REGISTER_NAMES, 0) | {
    "DEVICEID": 0x0A70, "SPICONFIG": 0x0AA4, "GENCONFIG": 0x7F00, "BRDCONFIG": 0xFFFF, "DACPWDWN": 0xFFFF,
}  # fmt: skip
DEVICEID, SPICONFIG, GENCONFIG, BRDCONFIG, SYNCCONFIG, DACPWDWN, DACRANGE0, TRIGGER, BRDCAST, DAC0 = (
    1, 3, 4, 5, 6, 9, 0xA, 0xE, 0xF, 0x10,
)  # fmt: skip


class Host:
    """Sends frames 10 µs apart to one chip, beginning 2 ms after power-up."""

    def __init__(self, params: Dac81416Params | None = None) -> None:
        self.dac = Dac81416(params or Dac81416Params.ideal(), np.random.default_rng(0))
        self.t_s = 2e-3

    def send(self, frame: int, bits: int = 24, timing: SpiTiming = WRITE) -> int:
        self.t_s += 10e-6
        return self.dac.transfer(frame, bits, self.t_s, timing)

    def write(self, address: int, data: int) -> int:
        return self.send(address << 16 | data)

    def read(self, address: int) -> int:
        self.send(0x80_0000 | address << 16, timing=READ)
        return self.send(0, timing=READ)

    def on(self) -> Host:
        """Device, reference and outputs on."""
        self.write(SPICONFIG, 0x0A84)
        self.write(GENCONFIG, 0x3F00)
        self.write(DACPWDWN, 0)
        return self

    @property
    def volts(self) -> list[float]:
        return self.dac.output_v(self.t_s).tolist()


# ---- limits ----


def _frame(timing: SpiTiming, fsdo: int = 0) -> None:
    host = Host()
    host.write(SPICONFIG, 0x0AA4 | fsdo)
    host.send(0, timing=timing)


def _two_channels(gap_s: float) -> None:
    host = Host().on()
    host.write(DAC0, 1)
    host.dac.transfer(DAC0 + 1 << 16, 24, host.t_s + gap_s + WRITE.frame_s(24), WRITE)


def _soft_reset_then_frame(gap_s: float) -> None:
    host = Host()
    host.write(TRIGGER, 0b1010)
    host.dac.transfer(0, 24, host.t_s + gap_s + WRITE.frame_s(24), WRITE)


def _power_up_then_frame(gap_s: float) -> None:
    Dac81416(Dac81416Params(), np.random.default_rng(0)).transfer(0, 24, gap_s + WRITE.frame_s(24), WRITE)


DRIVE: dict[str, Callable[[float], object]] = {
    "fSCLK (write)": lambda f: _frame(replace(WRITE, sclk_high_s=0.5 / f, sclk_low_s=0.5 / f)),
    "fSCLK (read, FSDO = 0)": lambda f: _frame(replace(READ, sclk_high_s=0.5 / f, sclk_low_s=0.5 / f)),
    "fSCLK (read, FSDO = 1)": lambda f: _frame(replace(READ, sclk_high_s=0.5 / f, sclk_low_s=0.5 / f), fsdo=2),
    "tSCLKHIGH": lambda s: _frame(replace(WRITE, sclk_high_s=s, sclk_low_s=20e-9)),
    "tSCLKLOW": lambda s: _frame(replace(WRITE, sclk_low_s=s, sclk_high_s=20e-9)),
    "tSDIS": lambda s: _frame(replace(WRITE, sdi_setup_s=s)),
    "tSDIH": lambda s: _frame(replace(WRITE, sdi_hold_s=s)),
    "tCSS": lambda s: _frame(replace(WRITE, cs_setup_s=s)),
    "tCSH": lambda s: _frame(replace(WRITE, cs_hold_s=s)),
    "tCSHIGH": lambda s: _frame(replace(WRITE, cs_high_s=s)),
    "tDACWAIT": _two_channels,
    "SOFT-RESET wait": _soft_reset_then_frame,
    "power-on reset wait": _power_up_then_frame,
    "VCC": lambda v: Dac81416(Dac81416Params(vdd_v=v), np.random.default_rng(0)),
}
CASES = [
    pytest.param(limit, bound, value, id=f"{limit.symbol}-{bound}")
    for limit in LIMITS
    for bound, value in limit.bounds()
]


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_at_the_limit_passes(limit: Limit, bound: Bound, value: float) -> None:
    DRIVE[limit.symbol](value)


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_beyond_the_limit_is_refused(limit: Limit, bound: Bound, value: float) -> None:
    beyond = value * (1 - 1e-6 if bound == "minimum" else 1 + 1e-6)
    with pytest.raises(limit.error) as caught:
        DRIVE[limit.symbol](beyond)
    error = caught.value
    assert isinstance(error, LimitError)
    assert (error.parameter, error.limit, error.unit) == (f"DAC81416 {limit.symbol}", value, limit.unit)
    assert error.value == pytest.approx(beyond, rel=1e-7)


def test_a_stream_must_leave_the_wait_between_all_of_its_frames() -> None:
    host = Host().on()
    host.dac.check_stream(host.t_s, replace(WRITE, cs_high_s=2.4e-6))
    with pytest.raises(TimingViolation, match="tDACWAIT"):
        host.dac.check_stream(host.t_s, replace(WRITE, cs_high_s=2.3e-6))


def test_other_registers_need_no_wait() -> None:
    host = Host().on()
    host.write(DAC0, 1)
    host.dac.transfer(SYNCCONFIG << 16, 24, host.t_s + 30e-9 + WRITE.frame_s(24), WRITE)


# ---- registers ----


def test_registers_power_up_at_their_reset_values_with_all_outputs_at_ground() -> None:
    dac = Dac81416(Dac81416Params(), np.random.default_rng(0))
    assert dac.registers == RESET_VALUES
    assert not dac.output_v(0.0).any()


def test_a_soft_reset_restores_every_register_and_grounds_the_outputs() -> None:
    host = Host().on()
    host.write(DAC0, 0x8000)
    assert host.volts[0] == 2.5
    host.write(TRIGGER, 0b1010)
    assert host.dac.registers == RESET_VALUES
    assert host.volts == [0.0] * 16


def test_what_is_written_reads_back_with_its_address_in_the_next_frame() -> None:
    host = Host()
    host.write(SYNCCONFIG, 0x1234)
    assert host.read(SYNCCONFIG) == 0x861234
    assert host.send(0, timing=READ) == 0


@pytest.mark.parametrize("address", [DACRANGE0, TRIGGER, BRDCAST, DAC0, DAC0 + 15])
def test_ranges_and_channels_read_as_zero(address: int) -> None:
    host = Host().on()
    host.write(address, 0x0000 if address == TRIGGER else 0x1111)
    assert host.read(address) == 0x80_0000 | address << 16


def test_of_a_long_frame_the_first_24_bits_count_and_a_short_one_is_ignored() -> None:
    host = Host()
    host.send(0x061234F, bits=28)
    assert host.dac.registers["SYNCCONFIG"] == 0x1234
    host.send(0x060000 >> 1, bits=23)
    assert host.dac.registers["SYNCCONFIG"] == 0x1234


def test_bit_22_is_of_no_effect() -> None:
    host = Host()
    host.send(0x46_1234)
    assert host.dac.registers["SYNCCONFIG"] == 0x1234


def test_without_sdo_en_the_line_floats_to_ones() -> None:
    host = Host()
    host.write(SPICONFIG, 0x0AA0)
    assert host.read(SYNCCONFIG) == 0xFFFFFF


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (0x010000, "DEVICEID is read-only"),
        (0x030A94, "SPICONFIG .*CRC-EN, STR-EN and SOFTTOGGLE-EN are not modelled"),
        (0x043F01, "GENCONFIG .*differential outputs are not modelled"),
        (0x070001, "TOGGCONFIG0 .*toggling are not modelled"),
        (0x0E0020, "TRIGGER .*toggling are not modelled"),
        (0x0E0005, "SOFT-RESET = 0b0101 is reserved"),
        (0x0A0009, "DACRANGE0 = 0x0009 asks for range 0b1001, which is bipolar or reserved"),
        (0x200000, "register 0x20 is not modelled"),
        (0x000001, "to NOP changes bits 0x0001"),
    ],
)
def test_what_the_model_does_not_know_is_refused_and_changes_nothing(frame: int, message: str) -> None:
    host = Host()
    before = host.dac.registers
    with pytest.raises(ProtocolError, match=message):
        host.send(frame)
    assert host.dac.registers == before


# ---- outputs ----


def test_without_sync_en_an_output_follows_its_register_at_cs_rise() -> None:
    host = Host().on()
    host.write(DAC0 + 3, 0x4000)
    assert host.volts == [0, 0, 0, 1.25, *[0] * 12]


def test_with_sync_en_outputs_wait_for_ldac_and_then_change_together() -> None:
    host = Host().on()
    host.write(SYNCCONFIG, 0x8001)
    for channel in (0, 1, 15):
        host.write(DAC0 + channel, 0x8000)
    assert host.volts == [0, 2.5, *[0] * 14]
    host.write(TRIGGER, 1 << 4)
    assert host.volts == [2.5, 2.5, *[0] * 13, 2.5]


def test_broadcast_reaches_enabled_channels_only() -> None:
    host = Host().on()
    host.write(BRDCONFIG, 0x0101)
    host.write(BRDCAST, 0x8000)
    assert host.volts == [2.5, *[0] * 7, 2.5, *[0] * 7]


@pytest.mark.parametrize(("register", "bits", "channel"), [(0xA, 12, 15), (0xA, 0, 12), (0xD, 12, 3), (0xD, 0, 0)])
def test_each_channel_has_four_bits_of_range(register: int, bits: int, channel: int) -> None:
    host = Host().on()
    host.write(BRDCAST, 0x4000)
    host.write(register, 0b0001 << bits)
    expected = [1.25] * 16
    expected[channel] = 2.5
    assert host.volts == expected


def test_outputs_stop_at_the_supply() -> None:
    host = Host().on()
    host.write(DAC0, 0xFFFF)
    host.write(0xD, 0b0100)
    assert host.volts[0] == 12.0


@pytest.mark.parametrize(
    ("address", "data", "off"),
    [(DACPWDWN, 0x0002, [1]), (GENCONFIG, 0x7F00, range(16)), (SPICONFIG, 0x0AA4, range(16))],
)
def test_what_is_powered_down_is_at_ground_and_returns_to_its_code(address: int, data: int, off: list[int]) -> None:
    host = Host().on()
    host.write(BRDCAST, 0x8000)
    host.write(address, data)
    assert host.volts == [0.0 if channel in off else 2.5 for channel in range(16)]
    host.on()
    assert host.volts == [2.5] * 16


def test_load_all_equals_sixteen_frames_and_ldac() -> None:
    codes = np.arange(16) * 4000
    by_frames, by_shortcut = (Host(Dac81416Params()).on() for _ in range(2))
    for host in (by_frames, by_shortcut):
        host.write(SYNCCONFIG, 0xFFFF)
        assert host.dac.buffered
    for channel, code in enumerate(codes):
        by_frames.write(DAC0 + channel, int(code))
    by_frames.write(TRIGGER, 1 << 4)
    by_shortcut.dac.load_all(codes, by_frames.t_s)
    assert by_frames.dac.registers == by_shortcut.dac.registers
    assert np.array_equal(by_frames.dac.active_code, by_shortcut.dac.active_code)
    for after_s in (0.0, 1e-6, 5e-6, 1e-3):
        t_s = by_frames.t_s + after_s
        assert np.array_equal(by_frames.dac.output_v(t_s), by_shortcut.dac.output_v(t_s))


def test_a_half_scale_step_settles_to_two_codes_in_the_settling_time() -> None:
    params = Dac81416Params.ideal().model_copy(update={"settling_s": 12e-6})
    host = Host(params).on()
    host.write(DAC0, 0x8000)
    lsb_v = 5.0 / 65536
    assert host.dac.output_v(host.t_s + 12e-6)[0] == pytest.approx(2.5 - 2 * lsb_v, abs=1e-3 * lsb_v)


def test_errors_keep_within_their_maxima() -> None:
    params = Dac81416Params()
    dac = Dac81416(params, np.random.default_rng(7))
    dac.power_up(0.0)
    host = Host(params)
    host.dac = dac
    host.on()
    for channel in range(16):
        host.write(DAC0 + channel, 0x8000)
    off = np.abs(dac.settled_v - 2.5)
    assert off.any()
    assert off.max() <= params.offset_max_v + 2.5 * params.gain_max + 5.0 / 65536


@pytest.mark.parametrize(("bits", "seen"), [(24, 0x810A70), (32, 0x810A7000), (16, 0x810A), (25, 0x810A70 << 1)])
def test_an_answer_begins_with_its_first_bit_however_many_are_shifted(bits, seen):
    host = Host().on()
    host.send(0x80_0000 | DEVICEID << 16, timing=READ)
    assert host.dac.sdo_word(bits) == seen


@pytest.mark.parametrize(("bits", "extra"), [(32, 8), (25, 1)])
def test_of_a_longer_frame_the_first_24_bits_count(bits, extra):
    host = Host().on()
    host.send((BRDCONFIG << 16 | 0x5AC3) << extra | 1, bits)
    assert host.read(BRDCONFIG) & 0xFFFF == 0x5AC3


def test_a_frame_must_fit_into_its_bits():
    with pytest.raises(ProtocolError, match="frame 0x1000000 does not fit into 24 bits"):
        Host().on().send(1 << 24)
