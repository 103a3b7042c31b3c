"""Programs drawn by hypothesis: any that can be encoded, and such as a small board can be given."""

import numpy as np
from hypothesis import strategies as st
from small_board import CRC_EN, GAIN_2, LDAC, READY, RESET, SYNC_ALL, WIDE_WIRING, WIRING

from firmware_bridge.isa import (
    Collect,
    Gate,
    Mvm,
    Nop,
    OutputEnable,
    Pulse,
    Pulses,
    Sample,
    Shift,
    SpiRead,
    SpiWrite,
    Wait,
)
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

any_frames = st.integers(0, 0xFFFFFF)

# -- any program that can be encoded ----------------------------------------------------------------------------------
any_timings = st.builds(
    SequencerTiming,
    spi_write_half_cycles=st.integers(1, 5),
    spi_read_half_cycles=st.integers(1, 5),
    spi_cs_setup_cycles=st.integers(1, 4),
    spi_cs_hold_cycles=st.integers(1, 4),
    spi_cs_high_cycles=st.integers(1, 4),
    sr_half_cycles=st.integers(1, 6),
    sr_latch_cycles=st.integers(1, 6),
    adc_half_cycles=st.integers(1, 50),
    adc_window_clocks=st.integers(1, 8),
    adc_clocks=st.integers(20, 30),
)
all_dacs, all_adcs = st.integers(0, 0xFF), st.integers(0, (1 << 32) - 1)


@st.composite
def any_spi(draw, cls):
    mask = draw(all_dacs)
    n = mask.bit_count()
    return cls(mask, tuple(draw(st.lists(any_frames, min_size=n, max_size=n))), draw(st.booleans()))


@st.composite
def any_shifts(draw):
    bits = draw(st.integers(1, 255))
    return Shift(bits, draw(st.integers(0, (1 << bits) - 1)))


@st.composite
def any_codes(draw, mask, max_count):
    count, channels = draw(st.integers(0, max_count)), draw(st.sampled_from([8, 16]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    return rng.integers(0, 1 << 16, (count, mask.bit_count(), channels), dtype=np.uint16)


@st.composite
def any_mvms(draw, max_count=5):
    mask, bits = draw(all_dacs), draw(st.integers(1, 70))
    return Mvm(
        codes=draw(any_codes(mask, max_count)),
        dac_mask=mask,
        ldac_frame=draw(any_frames),
        settle=draw(st.integers(0, 3000)),
        positions=tuple(draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=6))),
        sr_bits=bits,
        adc_mask=draw(all_adcs),
        mux_settle=draw(st.integers(0, 3000)),
        crc=draw(st.booleans()),
    )


@st.composite
def any_pulse_tables(draw, max_count=5):
    mask = draw(all_dacs)
    codes = draw(any_codes(mask, max_count))
    widths = draw(st.lists(st.integers(1, (1 << 24) - 1), min_size=len(codes), max_size=len(codes)))
    return Pulses(
        codes, mask, draw(any_frames), draw(st.integers(0, 3000)), np.array(widths, np.uint32), draw(st.booleans())
    )


any_instructions = st.one_of(
    st.just(Nop()),
    st.builds(Wait, st.integers(0, (1 << 56) - 1)),
    any_spi(SpiWrite),
    any_spi(SpiRead),
    any_shifts(),
    st.builds(OutputEnable, st.booleans()),
    st.builds(Gate, st.booleans()),
    st.builds(Pulse, st.integers(1, (1 << 24) - 1)),
    st.builds(Sample, all_adcs),
    st.just(Collect()),
    any_mvms(),
    any_pulse_tables(),
)
any_programs = st.builds(Program, st.lists(any_instructions, max_size=12))


# -- programs for `small_board` ---------------------------------------------------------------------------------------
# Frames that a DAC80508 takes, those that change its mode (CRC, soft reset) apart.
words16 = st.integers(0, 0xFFFF)
legal_frames = st.one_of(
    st.builds(lambda channel, code: 8 + channel << 16 | code, st.integers(0, 7), words16),
    st.builds(lambda data: 0x020000 | data, words16),
    st.builds(lambda data: 0x030000 | data, st.sampled_from([0, 1, 0xFF, 0x100, 0x200, 0x400, 0x1000, 0x3000])),
    st.builds(lambda data: 0x040000 | data, st.integers(0, 0x1FF)),
    st.builds(lambda data: 0x060000 | data, words16),
    st.builds(lambda address: 0x800000 | address << 16, st.integers(0, 15)),
    st.sampled_from([LDAC, 0x000000]),
)
masks, adc_masks = st.integers(0, 7), st.integers(0, 7)
waits = st.integers(0, 3000)


@st.composite
def frames_to(draw, cls, frames, crc):
    mask = draw(masks)
    n = mask.bit_count()
    return cls(mask, tuple(draw(st.lists(frames, min_size=n, max_size=n))), crc)


@st.composite
def chain_words(draw):
    """The board's own length most of the time; bits that keep the bit lines at the DACs, or anything."""
    bits = draw(st.one_of(st.just(WIRING.sr_bits), st.integers(1, 255)))
    return bits, draw(st.one_of(st.integers(0, (1 << bits) - 1), st.just(WIRING.mux_word() & (1 << bits) - 1)))


@st.composite
def codes_for(draw, mask, max_count):
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    near = draw(st.sampled_from([300, 3000, 32768]))
    shape = (draw(st.integers(0, max_count)), mask.bit_count(), 8)
    return (rng.integers(-near, near, shape) + 32768).astype(np.uint16)


@st.composite
def mvms(draw, crc):
    mask = draw(masks)
    bits = draw(st.one_of(st.just(WIRING.sr_bits), st.integers(1, 70)))
    words = st.one_of(
        st.integers(0, (1 << bits) - 1),
        st.builds(lambda i: WIRING.mux_word(adc_input=i) & (1 << bits) - 1, st.integers(0, 7)),
    )
    return Mvm(
        codes=draw(codes_for(mask, 3)),
        dac_mask=mask,
        ldac_frame=draw(st.sampled_from([LDAC, LDAC, 0])),
        settle=draw(waits),
        positions=tuple(draw(st.lists(words, min_size=1, max_size=3))),
        sr_bits=bits,
        adc_mask=draw(adc_masks),
        mux_settle=draw(waits),
        crc=crc,
    )


@st.composite
def pulse_tables(draw, crc):
    mask = draw(masks)
    codes = draw(codes_for(mask, 3))
    widths = draw(st.lists(st.integers(1, 5000), min_size=len(codes), max_size=len(codes)))
    return Pulses(codes, mask, LDAC, draw(waits), np.array(widths, np.uint32), crc)


def pieces(frames, crc):
    """Short runs of instructions that a program is made of: what belongs together is together, most of the time."""
    one = st.one_of(
        st.just(Nop()),
        st.builds(Wait, waits),
        frames_to(SpiWrite, frames, crc),
        frames_to(SpiRead, frames, crc),
        st.builds(lambda w: Shift(*w), chain_words()),
        st.builds(OutputEnable, st.booleans()),
    ).map(lambda i: [i])
    between = st.lists(one, max_size=2).map(lambda parts: [i for part in parts for i in part])
    return st.one_of(
        one,
        one,
        st.builds(Gate, st.booleans()).map(lambda i: [i]),
        st.builds(Pulse, st.integers(1, 5000)).map(lambda i: [Gate(False), i]),
        st.builds(lambda mask, work: [Sample(mask), *work, Collect()], adc_masks, between),
        mvms(crc).map(lambda i: [Gate(True), i]),
        mvms(crc).map(lambda i: [i]),
        pulse_tables(crc).map(lambda i: [Gate(False), i]),
        st.just([SpiWrite(7, (RESET,) * 3, crc), Wait(READY)]),
    )


@st.composite
def programs(draw, frames=legal_frames):
    """A board that has been set up in one of several ways, and then anything."""
    crc = draw(st.booleans())
    setup = [Wait(READY), SpiWrite(7, (SYNC_ALL,) * 3), SpiWrite(7, (GAIN_2,) * 3)]
    setup += [Shift(WIRING.sr_bits, WIRING.mux_word()), OutputEnable(True)]
    if crc:
        setup.append(SpiWrite(7, (0x030000 | CRC_EN,) * 3))
        frames = frames.filter(lambda frame: frame >> 16 != 3)
    rest = draw(st.lists(pieces(frames, crc), min_size=2, max_size=8))
    return Program(setup + [i for piece in rest for i in piece])


# -- programs for `wide_board` ----------------------------------------------------------------------------------------
WIDE_SETUP = (0x030A84, 0x043F00, 0x090000, 0x06FFFF)
WIDE_LDAC = 0x0E0010
wide_frames = st.one_of(
    st.builds(lambda channel, code: 16 + channel << 16 | code, st.integers(0, 15), words16),
    st.builds(lambda data: 0x060000 | data, words16),
    st.builds(lambda register, range_: register << 16 | 0x1111 * range_, st.integers(10, 13), st.sampled_from([0, 1])),
    st.builds(lambda address: 0x800000 | address << 16, st.integers(0, 31)),
    st.sampled_from([WIDE_LDAC, 0x0F8000, 0x000000]),
)


@st.composite
def wide_programs(draw):
    """Streams and single frames for DACs of sixteen channels that have been set up."""

    def codes(mask, count):
        rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
        near = draw(st.sampled_from([300, 3000, 32768]))
        return (rng.integers(-near, near, (count, mask.bit_count(), 16)) + 32768).astype(np.uint16)

    program = [Wait(100_000), *(SpiWrite(3, (frame,) * 2) for frame in WIDE_SETUP)]
    program += [Shift(WIDE_WIRING.sr_bits, WIDE_WIRING.mux_word()), OutputEnable(True)]
    for _ in range(draw(st.integers(1, 5))):
        mask, count, settle = draw(st.integers(0, 3)), draw(st.integers(0, 3)), draw(waits)
        kind = draw(st.sampled_from(["frames", "mvm", "pulses"]))
        if kind == "frames":
            n = mask.bit_count()
            cls = draw(st.sampled_from([SpiWrite, SpiRead]))
            # Channels wait for one another.
            program += [cls(mask, tuple(draw(st.lists(wide_frames, min_size=n, max_size=n)))), Wait(240)]
        elif kind == "mvm":
            positions = tuple(draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
            words = tuple(WIDE_WIRING.mux_word(adc_input=p) for p in positions)
            program.append(Gate(draw(st.booleans())))
            program.append(
                Mvm(codes(mask, count), mask, WIDE_LDAC, settle, words, WIDE_WIRING.sr_bits, draw(adc_masks), 100)
            )
        else:
            widths = np.array(draw(st.lists(st.integers(1, 5000), min_size=count, max_size=count)), np.uint32)
            program += [Gate(False), Pulses(codes(mask, count), mask, WIDE_LDAC, settle, widths)]
    return Program(program)


timings = st.builds(
    SequencerTiming,
    spi_write_half_cycles=st.integers(1, 3),
    spi_read_half_cycles=st.integers(3, 5),
    spi_cs_setup_cycles=st.integers(2, 4),
    spi_cs_hold_cycles=st.integers(1, 3),
    spi_cs_high_cycles=st.integers(2, 4),
    sr_half_cycles=st.integers(5, 7),
    sr_latch_cycles=st.integers(5, 7),
    adc_half_cycles=st.integers(42, 60),
    adc_low_clocks=st.integers(20, 22),
    adc_clocks=st.integers(24, 27),
)
