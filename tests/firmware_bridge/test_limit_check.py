"""The sequencer's limits: each at its bound and one beyond, and streams judged as their single instructions are."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from random_programs import any_mvms, any_pulse_tables, any_timings

from firmware_bridge.bridge import ANY_REGISTER, SequencerLimits
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import Mvm, Pulse, Pulses, Sample, Shift, SpiRead, SpiWrite, Wait
from firmware_bridge.limit_check import LimitCheck
from firmware_bridge.program import Clock, Program
from firmware_bridge.timing import SequencerTiming

LDAC, GAIN_2, GAIN_1 = 0x050010, 0x0400FF, 0x040000
TIMING = SequencerTiming()


def dac(*frames, mask=0b1):
    return SpiWrite(mask, frames)


def refusal(limits, *instructions):
    """What the first instruction that is refused is refused for; None if all pass."""
    check, clock = LimitCheck(limits), Clock(TIMING)
    try:
        for instruction in instructions:
            check.single(instruction, clock.issue(instruction))
    except LimitError as error:
        return error
    return None


CODES = SequencerLimits(code=((0, 0xFFFF),) * 9 + ((100, 200),))  # DAC 1, channel 1


@pytest.mark.parametrize("code", [100, 150, 200])
def test_a_code_within_its_channels_range_passes(code):
    assert refusal(CODES, dac(0x090000 | code, mask=0b10)) is None


@pytest.mark.parametrize("code", [99, 201])
def test_a_code_one_beyond_is_refused_by_chip_and_channel(code):
    error = refusal(CODES, dac(0x090000 | code, mask=0b10))
    assert (error.parameter, error.value, error.limit) == ("code of DAC 1, channel 1", code, (100, 200))


RANGES = tuple((100 * k + 1, 100 * k + 51) for k in range(16))
"""A range of its own for each channel of two chips."""


@pytest.mark.parametrize("flat", range(16))
def test_each_channel_of_each_chip_has_its_own_range(flat):
    chip, channel = divmod(flat, 8)
    (low, high), limits = RANGES[flat], SequencerLimits(code=RANGES)
    for code, passes in ((low - 1, False), (low, True), (high, True), (high + 1, False)):
        error = refusal(limits, dac(8 + channel << 16 | code, mask=1 << chip))
        assert (error is None) is passes
        if error:
            assert (error.parameter, error.limit) == (f"code of DAC {chip}, channel {channel}", (low, high))


@pytest.mark.parametrize("flat", [0, 1, 7, 8, 15])
@pytest.mark.parametrize("end", [0, 1])
def test_a_stream_may_hold_each_channel_at_the_ends_of_its_own_range_and_none_one_beyond(flat, end):
    limits = SequencerLimits(code=RANGES, pulse_interval=10)
    codes = np.array([pair[end] for pair in RANGES], np.uint16).reshape(1, 2, 8)
    beyond = codes.copy()
    beyond[0, flat // 8, flat % 8] = RANGES[flat][end] + (1 if end else -1)
    other = np.array([sum(pair) // 2 for pair in RANGES], np.uint16).reshape(1, 2, 8)
    for vectors, passes in (
        ([codes], True),
        ([other, codes, other], True),
        ([beyond], False),
        ([other, beyond], False),
    ):
        block = np.concatenate(vectors)
        mvm = Mvm(block, 0b11, LDAC, 10, (1,), 16, 1, 10)
        pulses = Pulses(block, 0b11, LDAC, 10, np.full(len(block), 5, np.uint32))
        for stream in (mvm, pulses):
            assert LimitCheck(limits).allows(stream, TIMING, 0) is passes


@pytest.mark.parametrize("code", [0, 0xFFFF])
def test_a_stream_may_give_channels_beyond_the_end_any_code(code):
    codes = np.full((1, 2, 8), code, np.uint16)
    codes[0, 0, 0] = 5
    stream = Mvm(codes, 0b11, LDAC, 10, (1,), 16, 1, 10)
    assert LimitCheck(SequencerLimits(code=((5, 9),))).allows(stream, TIMING, 0)
    assert not LimitCheck(SequencerLimits(code=((5, 9), (1, 0xFFFE)))).allows(stream, TIMING, 0)


def stream_of_pulses(widths=(5, 5), settle=10):
    return Pulses(np.zeros((len(widths), 1, 8), np.uint16), 1, LDAC, settle, np.array(widths, np.uint32))


@pytest.mark.parametrize(("widths", "passes"), [((5, 9), True), ((4, 9), False), ((5, 10), False), ((9, 9), True)])
def test_the_widths_of_a_stream_may_be_at_both_ends_of_their_range(widths, passes):
    limits = SequencerLimits(pulse_width=(5, 9))
    assert LimitCheck(limits).allows(stream_of_pulses(widths), TIMING, 0) is passes


@pytest.mark.parametrize(("missing", "passes"), [(0, True), (1, False)])
@pytest.mark.parametrize("start", [0, 1000])
def test_the_first_pulse_of_a_stream_keeps_its_distance_from_the_last_before_it(missing, passes, start):
    stream = stream_of_pulses()
    first, second = stream.schedule(TIMING).start
    limits = SequencerLimits(pulse_interval=int(second - first))
    check = LimitCheck(limits)
    check.last_pulse = start + int(first) - limits.pulse_interval + missing
    assert check.allows(stream, TIMING, start) is passes
    check.count(stream, TIMING, start)
    assert check.last_pulse == start + second
    assert not LimitCheck(SequencerLimits(pulse_interval=int(second - first) + 1)).allows(stream, TIMING, start)


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ({"fixed": ((7, 1),)}, True), ({"fixed": ((8, 1),)}, False), ({"fixed": ((15, 1),)}, False),
        ({"fixed": ((16, 1),)}, True), ({"fixed": ((20, 1),)}, True),
        ({"fixed": ((5, 0x10),)}, True), ({"fixed": ((5, 0x11),)}, False),
        ({"registers": 0xFF20}, True), ({"registers": 0xFF00}, False), ({"registers": 0xFE20}, False),
        ({"registers": 0x7F20}, False), ({"sr_bits": 16}, True), ({"sr_bits": 15}, False), ({"sr_bits": 17}, False),
        ({"dac_channels": 16}, False),
    ],
)  # fmt: skip
def test_a_stream_writes_the_registers_of_all_channels_and_that_of_its_last_frame(limits, passes):
    stream = Mvm(np.zeros((1, 1, 8), np.uint16), 1, LDAC, 10, (1,), 16, 1, 10)
    assert LimitCheck(SequencerLimits(**limits)).allows(stream, TIMING, 0) is passes
    # One without a vector writes nothing.
    empty = Mvm(np.zeros((0, 1, 8), np.uint16), 1, LDAC, 10, (1,), 16, 1, 10)
    assert LimitCheck(SequencerLimits(**limits)).allows(empty, TIMING, 0)


def test_each_frame_is_judged_for_the_chip_that_receives_it():
    assert refusal(CODES, dac(0x090000, 0x090064, mask=0b11)) is None
    assert refusal(CODES, dac(0x090064, 0x090000, mask=0b11)).parameter == "code of DAC 1, channel 1"
    assert refusal(CODES, dac(0x090000, mask=0b100)) is None


def test_other_channels_and_those_beyond_the_end_are_free():
    for register, mask in ((8, 0b10), (10, 0b10), (15, 0b10), (9, 0b1), (9, 0b100)):
        assert refusal(CODES, dac(register << 16 | 0xFFFF, mask=mask)) is None


def test_limits_of_codes_forbid_to_load_all_channels_at_once():
    assert refusal(CODES, dac(0x060096, mask=0b1)).parameter == "register of DAC 0"
    assert refusal(SequencerLimits(), dac(0x060096)) is None


def test_a_register_that_is_not_among_the_allowed_is_refused():
    limits = SequencerLimits(registers=1 << 15 | 1 << 5)
    assert refusal(limits, dac(0x0F1234), dac(LDAC)) is None
    for register in (0, 4, 6, 14, 16, 31):
        error = refusal(limits, dac(register << 16))
        assert (error.parameter, error.value, error.limit) == ("register of DAC 0", register, (0, 15))
        assert "0x5, 0xf may be written" in str(error)


def test_a_dac_of_sixteen_channels_has_them_in_the_registers_from_10h_on():
    limits = SequencerLimits(dac_channels=16, code=((0, 0xFFFF),) * 31 + ((100, 200),), registers=0xFFFF_0040)
    assert refusal(limits, dac(0x1F0064, mask=0b10), dac(0x1F0000), dac(0x1E0000, mask=0b10)) is None
    error = refusal(limits, dac(0x1F00C9, mask=0b10))
    assert (error.parameter, error.value, error.limit) == ("code of DAC 1, channel 15", 201, (100, 200))
    assert refusal(limits, dac(0x060000)) is None  # SYNCCONFIG; its BRDCAST is another register
    everything = SequencerLimits(dac_channels=16, code=((1, 2),))
    assert refusal(everything, dac(0x0F0001)).parameter == "register of DAC 0"


def test_registers_that_no_chip_has_are_free_where_nothing_is_limited():
    assert refusal(SequencerLimits(), dac(0x7F0000)) is None


def test_what_is_read_is_never_refused():
    limits = SequencerLimits(code=((1, 1),) * 8, registers=1, fixed=((4, 0xFF),))
    assert refusal(limits, SpiRead(0b1, (0x840000,)), dac(0x880000)) is None
    assert refusal(limits, SpiRead(0b1, (0x040000,))) is not None  # no read, whatever carries it


def test_the_gain_may_be_written_as_it_is_and_not_otherwise():
    limits = SequencerLimits(fixed=((4, 0xFF),))
    assert refusal(limits, dac(GAIN_2)) is None
    error = refusal(limits, dac(0x0401FF))
    assert (error.parameter, error.value, error.limit) == ("register 0x4 of DAC 0", 0x1FF, (0xFF, 0xFF))
    assert refusal(SequencerLimits(), dac(GAIN_1)) is None
    assert refusal(SequencerLimits(fixed=((4, 0),)), dac(GAIN_2)) is not None


def test_the_length_of_a_shift_is_the_chains_or_free():
    limits = SequencerLimits(sr_bits=16)
    assert refusal(limits, Shift(16, 0xFFFF)) is None
    for bits in (15, 17):
        error = refusal(limits, Shift(bits, 0))
        assert (error.value, error.limit) == (bits, (16, 16))
    assert refusal(SequencerLimits(), Shift(15, 0)) is None


@pytest.mark.parametrize(("width", "passes"), [(4, False), (5, True), (9, True), (10, False)])
def test_a_width_may_be_at_both_ends_of_its_range(width, passes):
    error = refusal(SequencerLimits(pulse_width=(5, 9)), Pulse(width))
    assert (error is None) is passes
    if not passes:
        assert (error.value, error.limit) == (width, (5, 9))


@pytest.mark.parametrize(("wait", "passes"), [(90, False), (91, True)])
def test_pulses_keep_their_distance_from_start_to_start(wait, passes):
    # A pulse of 5 cycles, the fetch of the wait (2 words), its cycles, the fetch of the next pulse (1 word).
    limits = SequencerLimits(pulse_interval=5 + 2 + 91 + 1)
    pulses = (Pulse(5), Wait(wait), Pulse(5))
    distance = Clock(TIMING)
    starts = [distance.issue(instruction) for instruction in pulses]
    assert (starts[2] - starts[0] >= limits.pulse_interval) is passes
    error = refusal(limits, *pulses)
    assert (error is None) is passes
    if not passes:
        assert (error.value, error.limit) == (98, 99)
        assert "below the minimum" in str(error)


def test_the_first_pulse_waits_for_nothing():
    assert refusal(SequencerLimits(pulse_interval=1 << 31), Pulse(5)) is None


# -- streams -----------------------------------------------------------------------------------------------------------

streams = st.one_of(any_mvms(max_count=3), any_pulse_tables(max_count=3))


def registers_near(channels):
    """Every register, all that a stream needs, or one of them too few."""
    of_channels = ((1 << channels) - 1) << channels
    first, last = 1 << channels, 1 << 2 * channels - 1
    needed = 0x35 | of_channels
    return st.sampled_from([ANY_REGISTER, ANY_REGISTER, needed, needed & ~0x15, needed & ~last, needed & ~first])


@st.composite
def limits_near(draw, stream):
    """Limits of which a stream keeps or breaks each by one."""
    off = st.sampled_from([0, 0, 0, 1, -1])

    def around(values, top, least=0):
        low, high = (int(values.min()), int(values.max())) if values.size else (least, top)
        low, high = min(max(low + draw(off), least), top), min(max(high + draw(off), least), top)
        return min(low, high), max(low, high)

    held, channels = draw(st.integers(0, 128)), draw(st.sampled_from([stream.channels] * 4 + [8, 16]))
    widths, interval = (1, (1 << 24) - 1), 0
    if isinstance(stream, Pulses) and stream.count:
        widths = around(stream.widths, (1 << 24) - 1, 1)
        starts = stream.schedule(TIMING).start
        interval = max(int(np.diff(starts).min(initial=1 << 31)) + draw(off), 0)
    sr_bits = stream.sr_bits + draw(off) if isinstance(stream, Mvm) else 16
    return SequencerLimits(
        dac_channels=channels,
        code=(around(stream.codes, 0xFFFF),) * held,
        fixed=draw(st.sampled_from([(), (), ((4, 0xFF),), ((4, 0xFF), (channels + 2, 7))])),
        registers=draw(registers_near(channels)),
        pulse_width=widths,
        pulse_interval=interval,
        sr_bits=draw(st.sampled_from([0, sr_bits, sr_bits])),
    )


@st.composite
def judged(draw):
    stream = draw(streams)
    frame = draw(st.sampled_from([LDAC, LDAC, LDAC, GAIN_2, GAIN_1, 0x08FFFF, 0x850000, 0x100000]))
    changed = {**{name: getattr(stream, name) for name in stream.__dataclass_fields__}, "ldac_frame": frame}
    stream = type(stream)(**changed)
    return stream, draw(limits_near(stream)), draw(st.sampled_from([None, -50, -5000]))


def singles(stream, limits, last_pulse, start):
    """A check that met the single instructions of a stream, and whether it refused one."""
    check, clock = LimitCheck(limits), Clock(TIMING, start)
    check.last_pulse = last_pulse
    for instruction in stream.expand():
        begin = clock.issue(instruction)
        try:
            check.single(instruction, begin)
        except LimitError:
            return check, True
    return check, False


@settings(max_examples=250, deadline=None)
@given(judged())
def test_a_stream_is_allowed_if_none_of_its_single_instructions_is_refused(drawn):
    stream, limits, last_pulse = drawn
    _, refused = singles(stream, limits, last_pulse, 0)
    check = LimitCheck(limits)
    check.last_pulse = last_pulse
    allowed = check.allows(stream, TIMING, 0)
    event(f"{type(stream).__name__} {'refused' if refused else 'passes'}")
    assert not (allowed and refused)
    # A stream to no chip, or for another number of channels, may be spelled out in vain.
    if stream.dac_mask and stream.channels == limits.dac_channels:
        assert allowed is not refused


@settings(max_examples=50, deadline=None)
@given(streams, st.integers(0, 10_000), any_timings)
def test_a_stream_that_was_executed_counts_as_its_single_pulses(stream, start, timing):
    check, clock, last = LimitCheck(SequencerLimits()), Clock(timing, start), None
    for instruction in stream.expand():
        begin = clock.issue(instruction)
        last = begin if isinstance(instruction, Pulse) else last
    check.count(stream, timing, start)
    assert check.last_pulse == last
    follower = LimitCheck(SequencerLimits())
    follower.follow(Program([Wait(7), stream]), timing, start - 7 - Wait(7).n_words)
    assert follower.last_pulse == last


def test_a_program_that_was_executed_elsewhere_leaves_its_last_pulse():
    check = LimitCheck(SequencerLimits())
    check.last_pulse = 3
    check.follow(Program([Wait(10), Sample(1)]), TIMING, 100)
    assert check.last_pulse == 3
    check.follow(Program([Pulse(5), Wait(10), Pulse(7), Wait(10)]), TIMING, 100)
    clock = Clock(TIMING, 100)
    assert check.last_pulse == [clock.issue(i) for i in (Pulse(5), Wait(10), Pulse(7))][-1]


def test_the_gatewares_refusal_is_explained_by_what_the_mock_would_say():
    limits = SequencerLimits(pulse_interval=1000, sr_bits=16)
    check = LimitCheck(limits)
    assert check.explain(Program([Shift(16, 0), Shift(15, 0)]), TIMING, 0).parameter == "bits of a SHIFT"
    check.last_pulse = 0
    error = check.explain(Program([Pulse(5)]), TIMING, 500)
    assert (error.value, error.limit) == (500 + Pulse(5).n_words, 1000)
    assert check.last_pulse == 0  # to explain is not to execute
    with pytest.raises(ProtocolError, match="a limit that it does not exceed"):
        check.explain(Program([Pulse(5)]), TIMING, 1000)
