from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import BoardError, LimitError, ProtocolError, TimingViolation
from firmware_bridge.mock.dac80508 import Dac80508, DacParams, SpiTiming
from firmware_bridge.mock.dac80508_sheet import LIMITS, crc8
from firmware_bridge.mock.limits import Bound, Limit

WRITE = SpiTiming(10e-9, 10e-9, 13e-9, 10e-9, 15e-9, 5e-9, 10e-9, read=False)
READ = replace(WRITE, sclk_high_s=30e-9, sclk_low_s=30e-9, read=True)
RESET_VALUES = {
    "NOP": 0, "DEVICE_ID": 0x0814, "SYNC": 0xFF00, "CONFIG": 0, "GAIN": 0, "TRIGGER": 0, "BRDCAST": 0, "STATUS": 0,
    "DAC0": 0, "DAC1": 0, "DAC2": 0, "DAC3": 0, "DAC4": 0, "DAC5": 0, "DAC6": 0, "DAC7": 0,
}  # fmt: skip
LSB_V = 2.5 / 65536


class Host:
    """Sends frames 10 µs apart to one chip, beginning 1 ms after power-up."""

    def __init__(self, params: DacParams | None = None, seed: int = 0) -> None:
        self.dac = Dac80508(params or DacParams.ideal(), np.random.default_rng(seed))
        self.t_s = 1e-3

    def send(self, frame: int, bits: int = 24, timing: SpiTiming = WRITE) -> int:
        self.t_s += 10e-6
        return self.dac.transfer(frame, bits, self.t_s, timing)

    def write(self, address: int, data: int) -> int:
        return self.send(address << 16 | data)

    def read(self, address: int) -> int:
        self.send(0x80_0000 | address << 16, timing=READ)
        return self.send(0, timing=READ)

    def write_crc(self, address: int, data: int) -> int:
        body = address << 16 | data
        return self.send(body << 8 | crc8(body), bits=32)

    @property
    def volts(self) -> np.ndarray:
        return self.dac.output_v(self.t_s)


# ---- limits ----


def _frame(timing: SpiTiming, config: int = 0) -> None:
    host = Host()
    host.write(3, config)
    host.send(0, timing=timing)


def _soft_reset_then_frame(gap_s: float) -> None:
    host = Host()
    host.write(5, 0b1010)
    host.dac.transfer(0, 24, host.t_s + gap_s + WRITE.frame_s(24), WRITE)


def _power_up_then_frame(gap_s: float) -> None:
    Dac80508(DacParams(), np.random.default_rng(0)).transfer(0, 24, gap_s + WRITE.frame_s(24), WRITE)


DRIVE: dict[str, Callable[[float], object]] = {
    "fSCLK (write)": lambda f: _frame(replace(WRITE, sclk_high_s=0.5 / f, sclk_low_s=0.5 / f)),
    "fSCLK (read, FSDO = 0)": lambda f: _frame(replace(READ, sclk_high_s=0.5 / f, sclk_low_s=0.5 / f)),
    "fSCLK (read, FSDO = 1)": lambda f: _frame(replace(READ, sclk_high_s=0.5 / f, sclk_low_s=0.5 / f), config=1 << 10),
    "tSCLKHIGH": lambda s: _frame(replace(WRITE, sclk_high_s=s, sclk_low_s=20e-9)),
    "tSCLKLOW": lambda s: _frame(replace(WRITE, sclk_low_s=s, sclk_high_s=20e-9)),
    "tSDIS": lambda s: _frame(replace(WRITE, sdi_setup_s=s)),
    "tSDIH": lambda s: _frame(replace(WRITE, sdi_hold_s=s)),
    "tCSS": lambda s: _frame(replace(WRITE, cs_setup_s=s)),
    "tCSH": lambda s: _frame(replace(WRITE, cs_hold_s=s)),
    "tCSHIGH": lambda s: _frame(replace(WRITE, cs_high_s=s)),
    "SOFT-RESET wait": _soft_reset_then_frame,
    "power-on reset wait": _power_up_then_frame,
    "VDD": lambda v: Dac80508(DacParams(vdd_v=v), np.random.default_rng(0)),
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
    assert (error.parameter, error.limit, error.unit) == (f"DAC80508 {limit.symbol}", value, limit.unit)
    assert error.value == pytest.approx(beyond, rel=1e-8)


def test_a_write_clock_is_too_fast_for_reading_and_is_refused_only_while_sdo_is_captured() -> None:
    _frame(WRITE)
    with pytest.raises(TimingViolation, match=r"fSCLK \(read, FSDO = 0\)"):
        _frame(replace(WRITE, read=True))


def test_load_all_too_waits_for_the_power_on_reset() -> None:
    dac = Dac80508(DacParams(), np.random.default_rng(0))
    with pytest.raises(TimingViolation, match="power-on reset wait"):
        dac.load_all(np.zeros(8, dtype=int), 249e-6)


# ---- registers ----


@pytest.mark.parametrize(("variant", "device_id", "code"), [("Z", 0x0814, 0), ("M", 0x0894, 0x8000)])
def test_registers_power_up_at_their_reset_values(variant: Literal["Z", "M"], device_id: int, code: int) -> None:
    dac = Dac80508(DacParams.ideal(variant), np.random.default_rng(0))
    assert dac.registers == RESET_VALUES | {"DEVICE_ID": device_id} | {f"DAC{n}": code for n in range(8)}
    assert np.array_equal(dac.output_v(0.0), np.full(8, code * LSB_V))


def test_a_soft_reset_restores_every_register_and_the_outputs() -> None:
    host = Host(DacParams.ideal("M"))
    for address, data in [(2, 0x0000), (3, 0x0407), (4, 0x01FF), (6, 0x1111), (8, 0xFFFF), (15, 0x1234)]:
        host.write(address, data)
    host.write(5, 0b1010)
    host.t_s += 250e-6
    assert host.dac.registers == RESET_VALUES | {"DEVICE_ID": 0x0894} | {f"DAC{n}": 0x8000 for n in range(8)}
    assert np.array_equal(host.volts, np.full(8, 1.25))


def test_a_reset_takes_gain_from_the_parameter_because_the_datasheet_contradicts_itself() -> None:
    host = Host(DacParams.ideal("M").model_copy(update={"gain_reset_code": 0x00FF}))
    assert host.read(4) == 0x8400FF
    assert np.array_equal(host.volts, np.full(8, 2.5))


@given(address=st.sampled_from([2, 6, *range(8, 16)]), data=st.integers(0, 0xFFFF))
def test_what_is_written_reads_back_with_its_address_in_the_next_frame(address: int, data: int) -> None:
    host = Host()
    host.write(address, data)
    assert host.read(address) == 0x80_0000 | address << 16 | data


def test_sdo_is_zero_after_writes_and_answers_each_read_exactly_once() -> None:
    host = Host()
    assert host.write(8, 0xABCD) == 0
    assert host.send(0x880000, timing=READ) == 0
    assert host.send(0x810000, timing=READ) == 0x88ABCD
    assert host.send(0, timing=READ) == 0x810814
    assert host.send(0, timing=READ) == 0


@pytest.mark.parametrize(
    ("frame", "register"),
    [
        (0x000001, "NOP"), (0x010000, "DEVICE_ID"), (0x034000, "CONFIG"), (0x038000, "CONFIG"), (0x040200, "GAIN"),
        (0x050020, "TRIGGER"), (0x050001, "TRIGGER"), (0x070000, "STATUS"),
        (0x180000, "DAC0"), (0x2F0000, "DAC7"), (0x420000, "SYNC"),
    ],
)  # fmt: skip
def test_reserved_bits_and_read_only_registers_are_refused_by_name(frame: int, register: str) -> None:
    host = Host()
    before = host.dac.registers
    with pytest.raises(ProtocolError, match=register):
        host.send(frame)
    assert host.dac.registers == before


def test_a_frame_wider_than_its_bits_and_time_going_back_are_refused() -> None:
    host = Host()
    with pytest.raises(ProtocolError, match="does not fit"):
        host.send(1 << 24)
    host.send(0)
    with pytest.raises(ProtocolError, match="went back"):
        host.dac.transfer(0, 24, host.t_s - 1e-6, WRITE)
    with pytest.raises(ProtocolError, match="went back"):
        host.dac.output_v(host.t_s - 1e-6)


@given(bits=st.integers(1, 23))
def test_a_short_frame_is_ignored(bits: int) -> None:
    host = Host()
    host.send((1 << bits) - 1, bits=bits)
    assert host.dac.registers == RESET_VALUES


def test_of_a_long_frame_the_last_24_bits_count_and_sdo_leads_with_the_answer() -> None:
    host = Host()
    host.send(0x810000)
    assert host.send(0x0F_08BEEF, bits=28) == 0x810814 << 4
    assert host.dac.registers["DAC0"] == 0xBEEF


# ---- update modes ----


def test_without_sync_en_an_output_follows_its_register_at_cs_rise() -> None:
    host = Host()
    host.write(8 + 3, 0x4000)
    assert host.volts.tolist() == [0, 0, 0, 0.625, 0, 0, 0, 0]


def test_with_sync_en_outputs_wait_for_ldac_and_then_change_together() -> None:
    host = Host()
    host.write(2, 0xFF00 | 0b11)
    for n in range(3):
        host.write(8 + n, 0x8000)
    assert host.volts.tolist() == [0, 0, 1.25, 0, 0, 0, 0, 0]
    assert host.dac.registers["DAC0"] == 0x8000
    host.write(5, 1 << 4)
    assert host.volts.tolist() == [1.25, 1.25, 1.25, 0, 0, 0, 0, 0]


def test_broadcast_reaches_enabled_channels_only_and_respects_sync_en() -> None:
    host = Host()
    host.write(2, 0x0F00 | 0b0001)
    host.write(6, 0x8000)
    assert [host.dac.registers[f"DAC{n}"] for n in range(8)] == [0x8000] * 4 + [0] * 4
    assert host.volts.tolist() == [0, 1.25, 1.25, 1.25, 0, 0, 0, 0]
    host.write(5, 1 << 4)
    assert host.volts.tolist() == [1.25, 1.25, 1.25, 1.25, 0, 0, 0, 0]


@given(codes=st.lists(st.integers(0, 0xFFFF), min_size=8, max_size=8), before=st.integers(0, 0xFFFF))
def test_load_all_equals_eight_frames_and_ldac(codes: list[int], before: int) -> None:
    by_frames, by_shortcut = Host(DacParams(), seed=5), Host(DacParams(), seed=5)
    for host in (by_frames, by_shortcut):
        host.write(6, before)
        host.write(2, 0xFFFF)
    for n, code in enumerate(codes):
        by_frames.write(8 + n, code)
    by_frames.write(5, 1 << 4)
    by_shortcut.dac.load_all(np.array(codes), by_frames.t_s)
    assert by_frames.dac.registers == by_shortcut.dac.registers
    assert np.array_equal(by_frames.dac.active_code, by_shortcut.dac.active_code)
    assert by_frames.dac.settled_at_s == by_shortcut.dac.settled_at_s
    for wait_s in (0.0, 0.3e-6, 2e-6, 50e-6):
        t_s = by_frames.t_s + wait_s
        assert np.array_equal(by_frames.dac.output_v(t_s), by_shortcut.dac.output_v(t_s))


@given(
    loads=st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(10e-9, 30e-6)), min_size=1, max_size=6),
    look_s=st.floats(0.0, 20e-6),
)
def test_a_stream_of_loads_leaves_the_same_outputs_whether_or_not_anyone_looked_in_between(
    loads: list[tuple[int, float]], look_s: float
) -> None:
    watched, unwatched = Host(DacParams(), seed=6), Host(DacParams(), seed=6)
    t_s = watched.t_s
    for code, gap_s in loads:
        t_s += gap_s
        for host in (watched, unwatched):
            host.dac.load_all(np.full(8, code), t_s)
        watched.dac.output_v(t_s)
    assert np.allclose(
        watched.dac.output_v(t_s + look_s), unwatched.dac.output_v(t_s + look_s), rtol=0, atol=1e-3 * LSB_V
    )
    settled_s = max(t_s, watched.dac.settled_at_s, unwatched.dac.settled_at_s)
    assert np.array_equal(watched.dac.output_v(settled_s), unwatched.dac.output_v(settled_s))
    assert watched.dac.registers == unwatched.dac.registers


@pytest.mark.parametrize("codes", [np.zeros(7, dtype=int), np.zeros(8), np.full(8, 65536), np.full(8, -1)])
def test_load_all_refuses_anything_but_eight_integer_codes(codes: np.ndarray) -> None:
    with pytest.raises(ProtocolError, match="load_all"):
        Host().dac.load_all(codes, 1e-3)


# ---- CRC mode ----


def test_crc8_gives_the_published_examples_and_leaves_remainder_zero() -> None:
    # Frames of the sibling DAC81416 on TI's support forum: a write and a read of address 6.
    assert (crc8(0x060000), crc8(0x860000)) == (0x7D, 0x76)
    assert crc8(0) == 0


def test_in_crc_mode_a_good_frame_is_executed_and_echoed_with_its_crc() -> None:
    host = Host()
    host.write(3, 1 << 11)
    host.write_crc(8, 0xBEEF)
    assert host.dac.registers["DAC0"] == 0xBEEF
    assert host.write_crc(0, 0) == 0x08BEEF << 8 | crc8(0x08BEEF)


def test_in_crc_mode_a_read_answers_32_bits() -> None:
    host = Host()
    host.write(3, 1 << 11)
    host.send(0x810000 << 8 | crc8(0x810000), bits=32, timing=READ)
    assert host.send(0, bits=32, timing=READ) == 0x810814 << 8 | crc8(0x810814)


@given(body=st.integers(0, 0xFFFF).map(lambda data: 0x080000 | data), error=st.integers(1, 0xFFFFFFFF))
def test_in_crc_mode_a_wrong_crc_is_ignored_and_flagged_in_the_next_frame(body: int, error: int) -> None:
    host = Host()
    host.write(3, 1 << 11)
    word = (body << 8 | crc8(body)) ^ error
    if crc8(word >> 8) == word & 0xFF:
        return  # the error pattern is itself a code word: no CRC-8 can see it
    before = host.dac.registers
    host.send(word, bits=32)
    assert host.dac.registers == before
    echo = word >> 8 | 1 << 22
    assert host.write_crc(0, 0) == echo << 8 | crc8(echo)
    assert host.write_crc(0, 0) == 0, "the error is reported once"


@given(body=st.integers(0, (1 << 24) - 1), pattern=st.integers(1, 0xFF), first=st.integers(0, 24))
def test_the_crc_detects_every_burst_of_up_to_eight_bits(body: int, pattern: int, first: int) -> None:
    word = (body << 8 | crc8(body)) ^ pattern << first
    assert crc8(word >> 8) != word & 0xFF


def test_a_24_bit_frame_is_too_short_in_crc_mode() -> None:
    host = Host()
    host.write(3, 1 << 11)
    host.write(8, 0xBEEF)
    assert host.dac.registers["DAC0"] == 0


def test_leaving_crc_mode_returns_to_24_bit_frames() -> None:
    host = Host()
    host.write(3, 1 << 11)
    host.write_crc(3, 0)
    assert host.read(1) == 0x810814


# ---- SDO pin ----


def test_a_disabled_sdo_floats_to_ones() -> None:
    host = Host()
    host.write(3, 1 << 9)
    assert host.read(1) == 0xFFFFFF


def test_the_alarm_pin_reports_a_crc_error_until_the_next_good_frame() -> None:
    host = Host()
    host.write(3, 1 << 12 | 1 << 11)
    host.send(0x080000FF, bits=32)
    assert host.dac.alarm
    assert host.write_crc(0, 0) == 0
    assert not host.dac.alarm
    assert host.write_crc(0, 0) == 0xFFFFFFFF


def test_ref_alm_reports_a_supply_too_low_for_the_reference_and_grounds_the_outputs() -> None:
    host = Host(DacParams.ideal("M").model_copy(update={"vdd_v": 2.7, "ref_headroom_v": 0.3}))
    assert host.read(7) == 0x870001
    assert not host.volts.any()
    host.write(3, 1 << 13 | 1 << 12)
    assert host.dac.alarm
    host.write(4, 1 << 8)
    assert host.dac.registers["STATUS"] == 0
    assert not host.dac.alarm
    assert np.array_equal(host.volts, np.full(8, 0.625))


# ---- analog side ----


@pytest.mark.parametrize(("gain", "span_v"), [(0x000, 2.5), (0x0FF, 5.0), (0x100, 1.25), (0x1FF, 2.5)])
def test_gain_and_refdiv_set_the_span(gain: int, span_v: float) -> None:
    host = Host()
    host.write(4, gain)
    host.write(6, 0xFFFF)
    assert np.array_equal(host.volts, np.full(8, 65535 * span_v / 65536))


def test_gain_is_set_channel_by_channel() -> None:
    host = Host()
    host.write(6, 0x8000)
    host.write(4, 0b0000_0110)
    assert host.volts.tolist() == [1.25, 2.5, 2.5, 1.25, 1.25, 1.25, 1.25, 1.25]


def test_a_powered_down_channel_is_at_ground_and_returns_to_its_code() -> None:
    host = Host()
    host.write(6, 0x8000)
    host.write(3, 0b1000_0001)
    assert host.volts.tolist() == [0, 1.25, 1.25, 1.25, 1.25, 1.25, 1.25, 0]
    host.write(3, 0)
    assert np.array_equal(host.volts, np.full(8, 1.25))


def test_without_its_reference_every_output_is_at_ground() -> None:
    host = Host()
    host.write(6, 0x8000)
    host.write(3, 1 << 8)
    assert not host.volts.any()


def test_outputs_are_unipolar_and_stay_below_the_supply() -> None:
    host = Host(DacParams(vdd_v=4.9, offset_sigma_v=10.0, gain_sigma=0, inl_lsb=0), seed=1)
    offsets = host.dac.coefficients()[:, 0]
    assert set(offsets) == {-1.5e-3, 1.5e-3}, "the seed draws both signs"
    host.t_s += 1e-3
    assert np.array_equal(host.volts, np.clip(offsets, 0.0, None))
    host.write(4, 0xFF)
    host.write(6, 0xFFFF)
    host.t_s += 1e-3
    assert np.array_equal(host.volts, np.full(8, 4.9))


def test_coefficients_reproduce_static_and_settled_outputs_exactly() -> None:
    host = Host(DacParams(), seed=2)
    codes = np.random.default_rng(0).integers(1000, 65536, 8)
    host.write(4, 0b1010_0101)
    host.dac.load_all(codes, host.t_s)
    c = host.dac.coefficients()
    expected = ((c[:, 3] * codes + c[:, 2]) * codes + c[:, 1]) * codes + c[:, 0]
    assert np.array_equal(host.dac.static_v(codes), expected)
    assert np.array_equal(host.dac.output_v(host.dac.settled_at_s), expected)


def test_inl_is_zero_at_both_ends_and_peaks_at_the_stated_lsb_in_every_span() -> None:
    host = Host(DacParams(offset_sigma_v=0, gain_sigma=0, inl_lsb=1.0), seed=3)
    codes = np.arange(65536)[:, None]
    for gain in (0x000, 0x0FF, 0x100):
        host.write(4, gain)
        lsb_v = LSB_V * (2 if gain & 0xFF else 1) / (2 if gain >> 8 else 1)
        c = host.dac.coefficients()
        error_lsb = (((c[:, 3] * codes + c[:, 2]) * codes + c[:, 1]) * codes + c[:, 0]) / lsb_v - codes
        assert np.allclose(error_lsb[[0, -1]], 0, atol=1e-9)
        assert np.allclose(np.abs(error_lsb).max(axis=0), 1.0, atol=1e-6)


def test_offset_and_gain_errors_stay_within_the_datasheet_maximum() -> None:
    for seed in range(50):
        c = Dac80508(
            DacParams(offset_sigma_v=5e-3, gain_sigma=5e-3, inl_lsb=0), np.random.default_rng(seed)
        ).coefficients()
        assert np.abs(c[:, 0]).max() <= 1.5e-3
        assert np.abs(c[:, 1] / LSB_V - 1).max() <= 1e-3 * (1 + 1e-9)


def test_a_step_settles_exponentially_and_then_sits_exactly_on_its_value() -> None:
    params = DacParams.ideal().model_copy(update={"settling_s": 5e-6})
    host = Host(params)
    host.write(8, 0x8000)
    tau_s, start_s = params.tau_s, host.t_s
    assert tau_s == pytest.approx(5e-6 / np.log(16384))
    for wait_s in (0.0, tau_s, 5 * tau_s):
        assert host.dac.output_v(start_s + wait_s)[0] == pytest.approx(1.25 * (1 - np.exp(-wait_s / tau_s)), rel=1e-9)
    assert abs(host.dac.output_v(start_s + 5e-6)[0] - 1.25) == pytest.approx(2 * LSB_V)
    settled_s = host.dac.settled_at_s
    just_before_v = host.dac.output_v(settled_s - 1e-12)[0]
    assert 0 < (1.25 - just_before_v) < 1e-3 * LSB_V
    assert host.dac.output_v(settled_s)[0] == 1.25


def test_a_step_in_mid_flight_starts_from_where_the_output_is() -> None:
    host = Host(DacParams.ideal().model_copy(update={"settling_s": 5e-6}))
    host.write(8, 0xFFFF)
    turn_s = host.t_s + 0.5e-6
    reached_v = host.dac.output_v(turn_s)[0]
    host.dac.load_all(np.zeros(8, dtype=int), turn_s)
    assert host.dac.output_v(turn_s)[0] == pytest.approx(reached_v, rel=1e-12)
    assert host.dac.output_v(host.dac.settled_at_s)[0] == 0


def test_rewriting_the_same_code_does_not_disturb_settling() -> None:
    host = Host(DacParams.ideal().model_copy(update={"settling_s": 50e-6}))
    host.write(8, 0x8000)
    settled_s = host.dac.settled_at_s
    host.write(8, 0x8000)
    assert host.dac.settled_at_s == settled_s


def test_the_seed_makes_the_chip_and_power_cycling_keeps_it() -> None:
    first, again, other = (Dac80508(DacParams(), np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first.coefficients(), again.coefficients())
    assert not np.array_equal(first.coefficients(), other.coefficients())
    first.power_up(1.0)
    assert np.array_equal(first.coefficients(), again.coefficients())
    with pytest.raises(BoardError, match="power-on reset wait"):
        first.transfer(0, 24, 1.0001, WRITE)


def test_parameters_refuse_unknown_names() -> None:
    with pytest.raises(ValueError, match="inl_bits"):
        DacParams(inl_bits=3)  # type: ignore[call-arg]
