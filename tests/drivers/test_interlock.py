"""The interlock: each limit of the board file met and exceeded, and what it cannot follow."""

import numpy as np
import pytest

from drivers import dac80508
from drivers.board import Board, load_board
from drivers.cd4051b import Cd4051bMuxes
from drivers.dac import DacBank, write_frame
from drivers.dac80508 import Dac80508
from drivers.interlock import Interlock
from drivers.sn74hc595 import Sn74hc595Chain
from firmware_bridge.bridge import Result, SequencerConfig
from firmware_bridge.errors import BoardError, LimitError, ProtocolError
from firmware_bridge.isa import (
    Gate,
    Mvm,
    OutputEnable,
    Pulse,
    Pulses,
    Shift,
    SpiRead,
    SpiWrite,
    Wait,
)
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

CODE_V = 5.0 / 65536
VCM, VFORM = 2.5, 1.0
LDAC = write_frame(dac80508.TRIGGER, dac80508.TRIGGER_LDAC)
BANK = DacBank(Dac80508(), 8)


class Recorder:
    """A bridge that remembers what reached it."""

    def __init__(self):
        self.calls = []
        self.error = None

    def run(self, program):
        self.calls.append("run")
        if self.error:
            raise self.error
        return Result(np.zeros(program.n_results, np.uint32), program.cycles(SequencerTiming()))

    def __getattr__(self, name):
        return lambda *_: self.calls.append(name)


def board(**limits):
    """The default board with some limits changed; `{"set": {"width_s": …}}` reaches into a section."""
    data = load_board().model_dump()
    for key, value in limits.items():
        data["limits"][key] = data["limits"][key] | value if isinstance(value, dict) else value
    data["levels"]["wl_on_v"] = min(data["levels"]["wl_on_v"], data["limits"]["wl_v"][1])
    return Board.model_validate(data)


def codes(bl_v=None, wl_v=None, base_v=VCM):
    """(8, 8) codes: bit lines and word lines {line: V} as given, others at `base_v` and at 0 V."""
    volts = np.zeros(64)
    volts[:32] = base_v
    for line, v in (bl_v or {}).items():
        volts[line] = v
    for line, v in (wl_v or {}).items():
        volts[32 + line] = v
    return np.rint(volts / CODE_V).astype(np.uint16).reshape(8, 8)


def load(program, *args, **kwargs):
    BANK.load(program, codes(*args, **kwargs))
    BANK.ldac(program)


class Bench:
    """An interlock over a recorder, initialised and at rest."""

    def __init__(self, **limits):
        self.board = board(**limits)
        self.bridge = Recorder()
        self.interlock = Interlock(self.bridge, self.board)
        self.muxes = Cd4051bMuxes(self.board.wiring)
        self.chain = Sn74hc595Chain(self.board.wiring.sr_devices)
        program = Program()
        BANK.initialise(program, self.board.timing, codes())
        self.chain.write(program, self.muxes.word())
        self.chain.enable(program, True)
        self.run(program)

    def run(self, program):
        return self.interlock.run(program)

    def accepts(self, program):
        before = len(self.bridge.calls)
        self.run(program)
        assert self.bridge.calls[before:] == ["run"]

    def refuses(self, program, error=LimitError):
        before, pulses = list(self.bridge.calls), self.interlock.pulses
        with pytest.raises(error) as refusal:
            self.run(program)
        assert self.bridge.calls == before, "something was sent"
        assert np.array_equal(self.interlock.pulses, pulses)
        return refusal.value

    def word(self, **selection):
        return Shift(16, self.muxes.word(**selection))


def pulse(bench, amplitude_v, gate_v, width_s, *, form=False, line=5, row=7):
    """A program that pulses one cell."""
    reference = VFORM if form else VCM
    program = Program([bench.word(reference="form" if form else "vcm")])
    load(program, {line: reference + amplitude_v}, {row: reference + gate_v}, base_v=reference)
    program.append(Pulse(round(width_s * 1e8)))
    load(program)
    program.append(bench.word())
    return program


def pulse_table(bench, amplitude_v, gate_v, width_s, *, form=False, line=5, row=7):
    """The same as a stream of two entries, the first of which is harmless."""
    reference = VFORM if form else VCM
    program = Program([bench.word(reference="form" if form else "vcm")])
    block = np.stack(
        [codes(base_v=reference), codes({line: reference + amplitude_v}, {row: reference + gate_v}, reference)]
    )
    widths = np.array([100, round(width_s * 1e8)], np.uint32)
    program.append(Pulses(block, 0xFF, LDAC, 800, widths))
    load(program)
    program.append(bench.word())
    return program


def connected(bench, bl_v):
    program = Program()
    load(program, bl_v)
    program.append(Gate(True), Wait(100), Gate(False))
    return program


# -- limits of lines -------------------------------------------------------------------------------------------------


def test_a_bit_line_may_reach_its_limits_and_no_further():
    bench = Bench(bl_v=(2.0, 3.0))
    for volts, limit_beyond in ((2.0, -CODE_V), (3.0, CODE_V)):
        program = Program()
        load(program, {5: volts})
        bench.accepts(program)
        program = Program()
        load(program, {5: volts + limit_beyond})
        refusal = bench.refuses(program)
        assert refusal.parameter == "BL 5"
        assert refusal.value == pytest.approx(volts + limit_beyond, abs=CODE_V)
        assert refusal.limit == (2.0, 3.0)
        assert refusal.unit == "V"
        assert "limits.bl_v of board paper-32x32" in str(refusal)


def test_a_word_line_may_reach_its_limit_and_no_further():
    bench = Bench(wl_v=(0.0, 4.0))
    program = Program()
    load(program, wl_v={31: 4.0})
    bench.accepts(program)
    program = Program()
    load(program, wl_v={31: 4.0 + CODE_V})
    refusal = bench.refuses(program)
    assert (refusal.parameter, refusal.limit) == ("WL 31", (0.0, 4.0))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_connected_bit_line_may_carry_the_read_voltage_and_no_more(sign):
    bench = Bench()
    bench.accepts(connected(bench, {9: VCM + sign * 0.25}))
    refusal = bench.refuses(connected(bench, {9: VCM + sign * (0.25 + CODE_V)}))
    assert refusal.parameter == "bias of connected BL 9"
    assert refusal.value == pytest.approx(sign * 0.25, abs=1.6 * CODE_V)
    assert refusal.limit == (-0.25, 0.25)
    assert "limits.read_v" in str(refusal)


def mvm(values_v, mask=0b1111):
    """A stream of one vector for each of the voltages, which bit line 9 carries."""
    block = np.stack([codes({9: VCM + v}) for v in values_v])
    chips = [d for d in range(8) if mask >> d & 1]
    words = tuple(Cd4051bMuxes(load_board().wiring).scan())
    return Mvm(np.ascontiguousarray(block[:, chips]), mask, LDAC, 800, words, 16, 0xFF, 100)


@pytest.mark.parametrize("mask", [0b1111, 0b0010, 0xFF], ids=["bit lines", "one chip", "rows too"])
def test_a_streamed_input_may_reach_the_read_voltage_and_no_further(mask):
    bench = Bench()
    bench.accepts(Program([Gate(True), mvm([0.1, -0.25, 0.25], mask), Gate(False)]))
    for sign in (1, -1):
        beyond = Program([Gate(True), mvm([0.1, sign * (0.25 + CODE_V)], mask), Gate(False)])
        refusal = bench.refuses(beyond)
        assert refusal.parameter == "bias of connected BL 9"
        assert refusal.value == pytest.approx(sign * 0.25, abs=1.6 * CODE_V)


def test_a_streamed_input_is_held_to_the_lines_limit_too():
    for reach in (0.2, 0.06):
        bench = Bench(bl_v=(VCM - reach, VCM + reach))
        bench.accepts(Program([mvm([reach, -reach])]))
        for beyond in (reach + CODE_V, -reach - CODE_V):
            refusal = bench.refuses(Program([mvm([0.01, beyond])]))
            assert (refusal.parameter, refusal.limit) == ("BL 9", (VCM - reach, VCM + reach))


def test_disconnected_bit_lines_may_carry_anything_within_their_range():
    bench = Bench()
    program = Program()
    load(program, {9: 4.99})
    bench.accepts(program)
    bench.accepts(Program([mvm([2.0])]))


# -- read disturb -----------------------------------------------------------------------------------------------------


def exposing(volts, cycles):
    program = Program()
    load(program, {9: VCM + volts})
    program.append(Gate(True), Wait(cycles), Gate(False))
    return program


def test_time_below_the_disturb_level_is_free():
    bench = Bench(read_exposure_s=1e-9)
    bench.accepts(exposing(0.12, 10**9))
    bench.accepts(Program([Gate(True), mvm([0.12, -0.12] * 50), Gate(False)]))


@pytest.mark.parametrize("sign", [1, -1])
def test_time_above_the_disturb_level_is_counted_to_the_cycle(sign):
    # Connected from GATE 1 to the end of GATE 0: the wait, its two words, and one cycle.
    bench = Bench(read_exposure_s=1.0)
    volts = sign * (0.12 + CODE_V)
    bench.accepts(exposing(volts, 50_000_000 - 3))
    bench.accepts(exposing(volts, 50_000_000 - 3))
    refusal = bench.refuses(exposing(volts, 1))
    assert refusal.parameter == "read exposure of BL 9"
    assert refusal.limit == (0.0, 1.0)
    assert refusal.value == pytest.approx(1.0 + 3e-8)
    assert bench.interlock.pulses.sum() == 0


def test_a_stream_exposes_each_vectors_share_of_its_time():
    stream = mvm([0.2, 0.1, -0.2, 0.0])
    half_s = stream.schedule(SequencerTiming()).end / 2 * 1e-8
    program = Program([Gate(True), stream, Gate(False)])
    Bench(read_exposure_s=half_s * (1 + 1e-6)).accepts(program)
    assert Bench(read_exposure_s=half_s * (1 - 1e-3)).refuses(program).parameter == "read exposure of BL 9"


def test_a_line_that_a_stream_does_not_load_is_exposed_too():
    bench = Bench(read_exposure_s=1e-6)
    program = Program()
    load(program, {9: VCM + 0.2})
    program.append(Gate(True), mvm([0.0] * 5, mask=0b0001), Gate(False))
    assert bench.refuses(program).parameter == "read exposure of BL 9"


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("mask", [0b1111, 0b0010, 0xFF], ids=["bit lines", "one chip", "rows too"])
def test_the_last_vector_of_a_stream_stays_on_the_lines(mask, gate):
    stream = mvm([0.0, 0.1, 0.2], mask)
    bench = Bench(read_exposure_s=1e-3)
    bench.accepts(Program([Gate(gate), stream, Gate(False)]))
    assert bench.interlock.codes[9] == round((VCM + 0.2) / CODE_V)
    assert bench.refuses(Program([Gate(True), Wait(200_000), Gate(False)])).parameter == "read exposure of BL 9"
    bench.accepts(Program([mvm([0.2, 0.0], mask)]))
    bench.accepts(Program([Gate(True), Wait(200_000), Gate(False)]))


# -- limits of pulses ------------------------------------------------------------------------------------------------

KINDS = {
    # kind: (sign of the amplitude, forming, harmless amplitude, gate and width)
    "set": (1, False, 1.5, 1.2, 1e-5),
    "reset": (-1, False, 1.5, 1.2, 1e-5),
    "form": (1, True, 3.0, 1.2, 1e-5),
}
make_pulse = pytest.mark.parametrize("make", [pulse, pulse_table], ids=["single", "table"])


@make_pulse
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", [0, 1], ids=["low", "high"])
def test_an_amplitude_may_reach_its_limits_and_no_further(make, kind, bound):
    sign, form, _, gate, width = KINDS[kind]
    limits = (0.8, 1.4)
    at, beyond = limits[bound], limits[bound] + (2 * bound - 1) * CODE_V
    bench = Bench(**{kind: {"amplitude_v": limits}})
    bench.accepts(make(bench, sign * at, gate, width, form=form))
    refusal = bench.refuses(make(bench, sign * beyond, gate, width, form=form))
    assert refusal.parameter == f"{kind.upper()} amplitude on BL 5"
    assert refusal.value == pytest.approx(beyond, abs=CODE_V)
    assert refusal.limit == limits
    assert f"limits.{kind}.amplitude_v" in str(refusal)


@make_pulse
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", [0, 1], ids=["low", "high"])
def test_a_gate_may_reach_its_limits_and_no_further(make, kind, bound):
    sign, form, amplitude, _, width = KINDS[kind]
    limits = (0.8, 1.4)
    at, beyond = limits[bound], limits[bound] + (2 * bound - 1) * CODE_V
    bench = Bench(**{kind: {"gate_v": limits}})
    bench.accepts(make(bench, sign * amplitude, at, width, form=form))
    refusal = bench.refuses(make(bench, sign * amplitude, beyond, width, form=form))
    assert refusal.parameter == f"gate voltage during {kind.upper()} on WL 7"
    assert refusal.limit == limits


@make_pulse
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bound", "beyond_s"), [(0, -1e-8), (1, 1e-8)], ids=["short", "long"])
def test_a_width_may_reach_its_limits_and_no_further(make, kind, bound, beyond_s):
    sign, form, amplitude, gate, _ = KINDS[kind]
    limits = (2e-6, 3e-4)
    bench = Bench(**{kind: {"width_s": limits}})
    bench.accepts(make(bench, sign * amplitude, gate, limits[bound], form=form))
    refusal = bench.refuses(make(bench, sign * amplitude, gate, limits[bound] + beyond_s, form=form))
    assert refusal.parameter == f"{kind.upper()} width of pulse {0 if make is pulse else 1}"
    assert refusal.value == pytest.approx(limits[bound] + beyond_s)
    assert (refusal.limit, refusal.unit) == (limits, "s")


def test_the_default_limits_are_reached_by_rounded_codes():
    # ±2.2 V from 2.5 V lies between two codes, and the nearer one is a little outside.
    bench = Bench()
    bench.accepts(pulse(bench, 2.0, 2.3, 1e-4))
    bench.accepts(pulse(bench, -2.2, 2.4, 1e-4))
    bench.accepts(pulse(bench, 3.99, 1.2, 1e-3, form=True))


def test_a_pulse_below_the_read_voltage_is_none():
    bench = Bench(set={"width_s": (1e-6, 2e-6)})
    bench.accepts(pulse(bench, 0.25, 1.0, 1e-3))
    assert bench.interlock.pulses.sum() == 0


def test_pulses_keep_their_distance():
    bench = Bench(pulse_interval_s=1e-3)
    # From one gate's opening to the next: the pulse, 8 + 1 frames of 62 cycles, two words of the wait and one of the
    # pulse.
    overhead = 100 + 9 * (1 + 8 + 53) + 2 + 1

    def twice(wait):
        program = Program()
        load(program, {5: 4.0}, {7: 3.7})
        program.append(Pulse(100))
        load(program, {6: 4.0}, {7: 3.7})
        program.append(Wait(wait), Pulse(100))
        return program

    bench.accepts(twice(100_000 - overhead))
    bench.accepts(Program([Wait(100_000)]))
    refusal = bench.refuses(twice(100_000 - overhead - 1))
    assert refusal.parameter == "interval before pulse 0"
    assert refusal.value == pytest.approx(1e-3 - 1e-8)
    assert refusal.limit[0] == 1e-3
    assert "limits.pulse_interval_s" in str(refusal)


def test_the_distance_counts_from_one_program_to_the_next():
    bench = Bench(pulse_interval_s=1e-3)
    bench.accepts(pulse(bench, 1.5, 1.2, 1e-5))
    assert bench.refuses(pulse(bench, 1.5, 1.2, 1e-5)).parameter == "interval before pulse 0"
    bench.accepts(Program([Wait(100_000)]))
    bench.accepts(pulse(bench, 1.5, 1.2, 1e-5))


def test_the_distance_is_exact_after_a_year():
    bench = Bench(pulse_interval_s=1e-5)
    bench.accepts(Program([Wait(365 * 86400 * 10**8)]))
    exact = 1000 - 100
    bench.accepts(pulse(bench, 1.5, 1.2, 1e-6))
    program = Program()
    load(program, {5: 4.0}, {7: 3.7})
    program.append(Pulse(100), Wait(exact - 3), Pulse(100))
    bench.accepts(Program([Wait(1000)]))
    bench.accepts(program)


def test_a_cell_may_have_its_number_of_pulses_and_no_more():
    bench = Bench(pulses_per_cell=3)
    for _ in range(3):
        bench.accepts(pulse(bench, 1.5, 1.2, 1e-5))
    bench.accepts(pulse(bench, 1.5, 1.2, 1e-5, row=8))
    refusal = bench.refuses(pulse(bench, 1.5, 1.2, 1e-5))
    assert refusal.parameter == "pulses on cell (SL 7, BL 5)"
    assert (refusal.value, refusal.limit) == (4, 3)


@make_pulse
def test_a_pulse_forms_if_its_bit_line_is_above_the_forming_level(make):
    bench = Bench()
    for amplitude_v, gate_v, form, formings in (
        (1.5, 1.2, False, 0),
        (-1.5, 1.2, False, 0),
        (-0.9, 1.2, True, 0),
        (0.9, 1.2, True, 1),
        (3.0, 1.2, True, 2),
    ):
        bench.accepts(make(bench, amplitude_v, gate_v, 1e-5, form=form))
        assert (bench.interlock.doses.forming[7, 5], bench.interlock.doses.forming.sum()) == (formings, formings)
    assert bench.interlock.doses.pulses[7, 5] == 5
    # Squares of the amplitudes, rounded to codes, times the width.
    dose = (1.5**2 + 1.5**2 + 0.9**2 + 0.9**2 + 3.0**2) * 1e-5
    assert bench.interlock.doses.dose_v2s[7, 5] == pytest.approx(dose, rel=1e-3)


@make_pulse
@pytest.mark.parametrize(
    ("amplitude_v", "gate_v", "counted"),
    [
        (1.5, 0.4, False),
        (1.5, 0.4 + CODE_V, True),
        # In a RESET the bit line is the transistor's source: a gate at the source line's level conducts.
        (-1.5, 0.0, True),
        (-1.5, -1.11, False),
    ],
)
def test_a_row_counts_where_its_transistor_may_conduct(make, amplitude_v, gate_v, counted):
    bench = Bench()
    bench.accepts(make(bench, amplitude_v, gate_v, 1e-5))
    expected = np.zeros((32, 32), int)
    expected[7, 5] = counted
    assert np.array_equal(bench.interlock.pulses, expected)


def test_all_rows_and_lines_of_a_table_are_counted():
    bench = Bench()
    block = np.stack([codes({1: 4.0, 2: 1.0}, {3: 3.7, 4: 3.7}), codes({2: 4.0}, {4: 3.7, 5: 2.6})])
    bench.accepts(Program([Pulses(block, 0xFF, LDAC, 800, np.full(2, 1000, np.uint32))]))
    expected = np.zeros((32, 32), int)
    expected[[3, 4], 1] += 1
    expected[[3, 4], 2] += 1  # the RESET
    expected[4, 2] += 1
    assert np.array_equal(bench.interlock.pulses, expected)


# -- unknown and forbidden states ------------------------------------------------------------------------------------


def fresh():
    bridge = Recorder()
    return bridge, Interlock(bridge, load_board())


MUX_DAC = Shift(16, 1 << 11)


@pytest.mark.parametrize(
    "program",
    [
        Program([MUX_DAC, OutputEnable(True), Gate(True)]),
        Program([MUX_DAC, Gate(True), OutputEnable(True)]),
        Program([MUX_DAC, OutputEnable(True), Pulse(1000)]),
    ],
    ids=["gate last", "muxes last", "pulse"],
)
def test_bit_lines_stay_off_dacs_that_are_at_their_power_up_codes(program):
    bridge, interlock = fresh()
    with pytest.raises(ProtocolError, match="unknown"):
        interlock.run(program)
    assert bridge.calls == []


@pytest.mark.parametrize("lost", [0, 3])
def test_one_unknown_bit_line_is_enough_to_refuse(lost):
    bench = Bench()
    reset = SpiWrite(1 << lost, (0x05000A,))
    refusal = bench.refuses(Program([reset, Gate(True)]), ProtocolError)
    assert f"BL {8 * lost} would be connected to a DAC whose output is unknown" in str(refusal)
    refusal = bench.refuses(Program([Gate(True), reset]), ProtocolError)
    assert "unknown" in str(refusal)
    bench.accepts(Program([SpiWrite(1 << 5, (0x05000A,)), Gate(True), Gate(False)]))  # rows only


def test_a_pulse_needs_known_word_lines():
    bench = Bench()
    program = Program([SpiWrite(1 << 5, (0x05000A,)), Pulse(1000)])
    assert "word lines' DACs are unknown" in str(bench.refuses(program, ProtocolError))


def test_bit_lines_at_ground_or_common_mode_need_no_dac():
    bridge, interlock = fresh()
    muxes = Cd4051bMuxes(load_board().wiring)
    interlock.run(Program([Shift(16, muxes.word(bl="vcm")), OutputEnable(True), Gate(True)]))
    assert bridge.calls == ["run"]
    with pytest.raises(LimitError, match=r"bias of connected BL 0 = -2\.5 V"):
        interlock.run(Program([Shift(16, muxes.word(bl="gnd"))]))


def test_lowering_the_reference_under_connected_lines_is_a_bias():
    bench = Bench()
    refusal = bench.refuses(Program([Gate(True), bench.word(reference="form")]))
    assert refusal.parameter == "bias of connected BL 0"
    assert refusal.value == pytest.approx(1.5, abs=CODE_V)


FORBIDDEN = {
    "another gain": (Program([SpiWrite(1, (0x040000,))]), "0x0000 in register 0x4 sets it up in another way"),
    "a broadcast": (Program([SpiWrite(1, (0x068000,))]), "cannot follow a write to register 0x6"),
    "CRC mode": (Program([SpiWrite(1, (0x030800,))]), "cannot follow a write to register 0x3"),
    "reserved bits": (Program([SpiWrite(1, (0x188000,))]), "cannot follow a write to register 0x18"),
    "a frame with CRC": (Program([SpiWrite(1, (0x088000,), crc=True)]), "SPI_WRITE with CRC"),
    "a read with CRC": (Program([SpiRead(1, (0x810000,), crc=True)]), "SPI_READ with CRC"),
    "a stream with CRC": (
        Program([Mvm(codes()[None, :4], 0b1111, LDAC, 800, (0,), 16, 0xFF, 0, crc=True)]),
        "MVM with CRC",
    ),
    "a stream that never loads": (
        Program([Mvm(codes()[None, :4], 0b1111, 0x000000, 800, (0,), 16, 0xFF, 0)]),
        "ldac_frame = 0x000000 is not LDAC",
    ),
    "a stream that moves other muxes": (
        Program([Mvm(codes()[None, :4], 0b1111, LDAC, 800, (0, 1), 16, 0xFF, 0)]),
        "mux word 0x1 moves more than the ADC muxes",
    ),
    "a short chain": (Program([Shift(8, 0)]), "SHIFT of 8 bits; this board's chain has 16"),
    "a short chain in a stream": (
        Program([Mvm(codes()[None, :4], 0b1111, LDAC, 800, (0,), 8, 0xFF, 0)]),
        "SHIFT of 8 bits",
    ),
    "a pulse while connected": (Program([Gate(True), Pulse(1000)]), "a pulse while the bit lines are connected"),
    "a table while connected": (
        Program([Gate(True), Pulses(codes()[None], 0xFF, LDAC, 800, np.array([100], np.uint32))]),
        "a pulse while the bit lines are connected",
    ),
    "unbuffered channels": (
        Program([SpiWrite(1, (0x02FFFE,)), Mvm(codes()[None, :4], 0b1111, LDAC, 800, (0,), 16, 0xFF, 0)]),
        "would update DAC channels one by one",
    ),
    "a code before GAIN": (
        Program([SpiWrite(1, (0x05000A,)), SpiWrite(1, (0x088000,))]),
        "a code before it was set up",
    ),
}


@pytest.mark.parametrize(("program", "message"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_what_cannot_be_followed_is_not_sent(program, message):
    assert message in str(Bench().refuses(program, ProtocolError))


def test_chips_that_the_board_does_not_have_are_refused():
    wiring = load_board().wiring.model_copy(update={"bl_dac": tuple(range(24)), "wl_dac": tuple(range(24, 56))})
    interlock = Interlock(Recorder(), load_board().model_copy(update={"wiring": wiring}))
    with pytest.raises(ProtocolError, match="a frame for DAC 7; the board has 7"):
        interlock.run(Program([SpiWrite(0x80, (0,))]))
    with pytest.raises(ProtocolError, match="DAC mask 0x80 names DACs that the board does not have"):
        interlock.run(Program([Mvm(np.zeros((1, 1, 8), np.uint16), 0x80, LDAC, 0, (0,), 16, 1, 0)]))


def test_an_undefined_chain_is_not_enabled():
    bridge, interlock = fresh()
    with pytest.raises(ProtocolError, match="SHIFT a word first"):
        interlock.run(Program([OutputEnable(True)]))
    assert bridge.calls == []


def test_reads_and_no_operations_change_nothing():
    bench = Bench()
    bench.accepts(Program([Gate(True), SpiRead(0xFF, (0x880000,) * 8), SpiWrite(0xFF, (0,) * 8), Gate(False)]))


def test_an_unbuffered_channel_moves_its_line_at_once():
    bench = Bench()
    program = Program(
        [SpiWrite(0b10, (0x02FFFD,)), Gate(True), SpiWrite(0b10, (0x090000 | round((VCM + 0.3) / CODE_V),))]
    )
    assert bench.refuses(program).parameter == "bias of connected BL 9"


def test_an_empty_stream_moves_nothing():
    bench = Bench()
    empty = Mvm(np.empty((0, 4, 8), np.uint16), 0b1111, LDAC, 800, (0x3FF,), 16, 0xFF, 0)
    bench.accepts(Program([empty, Pulses(np.empty((0, 8, 8), np.uint16), 0xFF, LDAC, 0, np.empty(0, np.uint32))]))
    bench.accepts(Program([Gate(True), Gate(False)]))


def test_programs_are_checked_together_as_they_would_run():
    bench = Bench(pulses_per_cell=3, pulse_interval_s=1e-4)
    bench.run(Program([Wait(10_000)]))
    one = pulse(bench, 1.5, 1.2, 1e-5)
    spaced = Program([*one, Wait(10_000)])
    before = list(bench.bridge.calls)
    bench.interlock.check([spaced] * 3)
    with pytest.raises(LimitError, match="pulses on cell"):
        bench.interlock.check([spaced] * 4)
    with pytest.raises(LimitError, match="interval before pulse"):
        bench.interlock.check([one, one])
    assert bench.bridge.calls == before
    assert not bench.interlock.pulses.any()


# -- life ------------------------------------------------------------------------------------------------------------


def test_a_refused_program_leaves_the_state_as_it_was():
    bench = Bench()
    program = Program([Gate(True)])
    load(program, {9: 4.0})
    bench.refuses(program)
    bench.accepts(pulse(bench, 1.5, 1.2, 1e-5))  # refused if the gate were still thought connected


@pytest.mark.parametrize("error", [BoardError("a chip refused"), KeyboardInterrupt()])
def test_after_a_failure_lines_are_unknown_and_pulses_count(error):
    bench = Bench(pulse_interval_s=1e-3)
    bench.bridge.error = error
    with pytest.raises(type(error)):
        bench.run(pulse(bench, 1.5, 1.2, 1e-5))
    bench.bridge.error = None
    assert bench.interlock.pulses[7, 5] == 1
    assert "initialise the board" in str(
        bench.refuses(Program([bench.word(), OutputEnable(True), Gate(True)]), ProtocolError)
    )
    # The failed pulse may have been just now.
    program = Program([MUX_DAC])
    BANK.initialise(program, bench.board.timing, codes())
    program.append(OutputEnable(True))
    bench.accepts(program)
    load(program := Program(), {5: 4.0}, {7: 3.7})
    program.append(Pulse(1000))
    assert bench.refuses(program).parameter == "interval before pulse 0"


@pytest.mark.parametrize("call", ["safe", "reset", "close"])
def test_safe_reset_and_close_pass_through_and_forget_the_lines(call):
    bench = Bench()
    bench.run(pulse(bench, 1.5, 1.2, 1e-5))
    getattr(bench.interlock, call)()
    assert bench.bridge.calls[-1] == call
    assert bench.interlock.pulses[7, 5] == 1
    bench.refuses(Program([bench.word(), OutputEnable(True), Gate(True)]), ProtocolError)


def test_the_sequencer_runs_at_the_timing_that_the_limits_were_checked_with():
    bridge, interlock = fresh()
    interlock.configure(load_board().sequencer())
    assert bridge.calls == ["configure"]
    with pytest.raises(ProtocolError, match="another timing"):
        interlock.configure(SequencerConfig(timing=SequencerTiming(sr_half_cycles=50)))
