"""The gateware's buses: registers behind AXI4-Lite, programs and results in the host's memory, one client of both."""

from pathlib import Path

import numpy as np
import pytest
from needs import needs_verilator

from drivers.board import load_board
from firmware_bridge.bridge import SequencerConfig, SequencerLimits
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.gateware import (
    ADDRESS,
    BURST_WORDS,
    BUS_BYTES,
    FAULT_TEXT,
    PROGRAM_WORDS,
    REGISTERS,
    RESULT_WORDS,
    Control,
    Event,
    Fault,
    Status,
    register_table,
)
from firmware_bridge.gateware_client import GatewareBridge
from firmware_bridge.isa import Collect, Gate, Nop, OutputEnable, Sample, Shift, SpiRead, Wait
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program
from firmware_bridge.rtl_bridge import RtlBridge
from firmware_bridge.rtl_model import WriteOrder
from firmware_bridge.timing import SequencerTiming

pytestmark = needs_verilator
BOARD = load_board()
CONFIG = SequencerConfig(safe_wait_cycles=25_000, safe_frames=(0x05000A,))
READY = Wait(26_000)
CONNECTED = Program([READY, Shift(16, 0), OutputEnable(True), Gate(True)])
SIXTEEN = Program([READY, *[SpiRead(0xFF, (0x810000,) * 8)] * 2])


def word(name, model):
    return model.read(4 * ADDRESS[name])


def chips():
    return MockBoard(BOARD.wiring, MockParams(), seed=0)


@pytest.fixture
def rtl():
    bridge = RtlBridge(chips())
    bridge.configure(CONFIG)
    return bridge


def state(model):
    """Every register that can be written, and what the gateware does."""
    return {
        r.name: [model.read(4 * (r.address + i)) for i in range(r.repeat)]
        for r in REGISTERS
        if "w" in r.access and r.name not in ("CONTROL", "EVENTS")
    }


# -- registers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("order", WriteOrder)
def test_a_register_holds_what_was_written_in_as_many_bits_as_it_has_in_whatever_order_it_came(order):
    model = RtlBridge(chips()).model
    rng = np.random.default_rng(order)
    written = {
        (r, 4 * (r.address + i)): int(rng.integers(0, 1 << 32))
        for r in REGISTERS
        if r.access == "rw" and r.name != "EVENTS"
        for i in range(r.repeat)
    }
    for (_, address), value in written.items():
        model.write(address, value, order=order)
    found = {address: model.read(address) for _, address in written}
    assert found == {address: value & (1 << r.width) - 1 for (r, address), value in written.items()}


def test_what_no_register_answers_to_reads_as_zero_changes_nothing_and_is_reported(rtl):
    known = {4 * (r.address + i): r.access for r in REGISTERS for i in range(r.repeat)}
    before, cycles = state(rtl.model), word("CYCLES_LOW", rtl.model)
    # Every word of the window, and byte addresses that begin no word.
    for address in [*range(0, BUS_BYTES, 4), 1, 2, 3, 0x26, 0xFFF]:
        for write in (False, True):
            if write and known.get(address, "r") == "r":
                rtl.model.write(address, 0xFFFFFFFF)
            elif not write and address not in known:
                assert rtl.model.read(address) == 0
            else:
                continue
            assert word("STATUS", rtl.model) == Status.LATCHED | Status.ACCESS, hex(address)
            assert word("BAD_ACCESS", rtl.model) == address | write << 12
            rtl.model.write(4 * ADDRESS["EVENTS"], Event.ACCESS)
    assert state(rtl.model) == before
    assert word("CYCLES_LOW", rtl.model) == cycles


@pytest.mark.parametrize("strobes", range(15))
def test_a_write_of_some_of_a_registers_bytes_changes_nothing(rtl, strobes):
    before = state(rtl.model)
    rtl.model.write(4 * ADDRESS["SAFE_WAIT"], 0x01020304, strobes=strobes)
    assert state(rtl.model) == before
    # No bytes at all are nothing to complain about.
    assert bool(word("STATUS", rtl.model) & Status.ACCESS) is (strobes != 0)


def test_the_first_of_several_refused_accesses_is_kept(rtl):
    rtl.model.read(0xABC)
    rtl.model.write(0x800, 1)
    assert word("BAD_ACCESS", rtl.model) == 0xABC


# -- the one client ----------------------------------------------------------------------------------------------------
class Altered:
    """A bus on which some registers read differently."""

    def __init__(self, bus, **values):
        self.bus, self.values = bus, {4 * ADDRESS[name]: value for name, value in values.items()}
        self.written = []

    def __getattr__(self, name):
        return getattr(self.bus, name)

    def read(self, address):
        return self.values.get(address, self.bus.read(address))

    def write(self, address, word):
        self.written.append(address)
        self.bus.write(address, word)


@pytest.mark.parametrize("name", ["ID", "VERSION", "MAP_HASH"])
def test_other_gateware_is_refused_by_the_register_that_differs_before_anything_is_written(rtl, name):
    bus = Altered(rtl.model, **{name: 0x12345678})
    with pytest.raises(ProtocolError, match=f"register {name} reads 0x12345678, this software expects 0x.*bitstream"):
        GatewareBridge(bus, BOARD.wiring, kind="rtl", serial="1")
    assert bus.written == []


def test_a_register_that_does_not_hold_what_it_was_given_is_refused_before_limits_are_latched():
    bus = Altered(RtlBridge(chips()).model, LIMIT_WIDTH_HIGH=7)
    client = GatewareBridge(bus, BOARD.wiring, kind="rtl", serial="1")
    with pytest.raises(ProtocolError, match=r"the register at 0xcc was given 0xffffff and holds 0x7; check the bus"):
        client.configure(CONFIG)
    assert not word("STATUS", bus.bus) & Status.LATCHED
    with pytest.raises(ProtocolError, match=r"configure\(\) first"):
        client.run(Program([Nop()]))


def test_another_process_finds_the_limits_that_were_latched_before_it(rtl):
    later = GatewareBridge(rtl.model, BOARD.wiring, kind="rtl", serial="1")
    with pytest.raises(ProtocolError, match=r"limits.sr_bits = 16 differs from what the board holds .*, 0"):
        later.configure(CONFIG.model_copy(update={"limits": SequencerLimits(sr_bits=16)}))
    later.configure(CONFIG)
    assert later.run(Program([READY])).cycles == 26_000 + 3


def test_limits_come_back_from_the_registers_as_they_were_latched():
    limits = SequencerLimits(
        code=((3, 65), *[(0, 9)] * 40), fixed=((4, 0xFF), (0x1F, 7)), registers=0xFF7D, pulse_width=(5, 60),
        pulse_interval=7, sr_bits=16,
    )  # fmt: skip
    model = RtlBridge(chips()).model
    GatewareBridge(model, BOARD.wiring, kind="rtl", serial="1").configure(CONFIG.model_copy(update={"limits": limits}))
    GatewareBridge(model, BOARD.wiring, kind="rtl", serial="2").configure(CONFIG.model_copy(update={"limits": limits}))
    for name in SequencerLimits.model_fields:
        others = {"dac_channels": 16, "code": ((3, 66),), "fixed": (), "registers": 0xFF79, "pulse_width": (5, 61)}
        other = others.get(name, 15)
        changed = CONFIG.model_copy(update={"limits": SequencerLimits(**limits.model_dump() | {name: other})})
        with pytest.raises(ProtocolError, match=f"limits.{name}.* differs"):
            GatewareBridge(model, BOARD.wiring, kind="rtl", serial="3").configure(changed)


def test_a_clock_that_is_not_the_gatewares_is_refused(rtl):
    rtl.run(Program([Nop()]))
    with pytest.raises(ProtocolError, match=r"clock_hz = 5e\+07 Hz, but the gateware runs at 1e\+08 Hz"):
        rtl.configure(SequencerConfig(timing=SequencerTiming(clock_hz=50e6)))


def test_somebody_elses_access_is_reported_by_the_program_that_runs_then(rtl):
    rtl.run(CONNECTED)
    rtl.model.write(0x900, 1)
    with pytest.raises(ProtocolError, match=r"a write to byte 0x900 .* was refused: .*one process at a time"):
        rtl.run(Program([Nop()]))
    assert not rtl.board.gate
    rtl.run(Program([READY]))


def test_what_an_earlier_host_has_left_is_made_safe_by_the_next(rtl):
    rtl.run(CONNECTED)
    assert rtl.board.gate
    GatewareBridge(rtl.model, BOARD.wiring, kind="rtl", serial="1")
    assert not rtl.board.gate
    assert rtl.board.chain.outputs() is None


# -- buffers -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_memory_that_keeps_the_gateware_waiting_changes_neither_words_nor_cycles(seed):
    program = Program([READY, *[Nop()] * 40, *[SpiRead(0xFF, (0x810000,) * 8)] * 5, Sample(0x7), Collect()])
    results, ticks = [], []
    for stall in (0, seed):
        bridge = RtlBridge(chips())
        bridge.configure(CONFIG)
        bridge.model.stall(stall)
        results.append(bridge.run(program))
        ticks.append(bridge.model.ticks)
    assert results[1].cycles == results[0].cycles == program.cycles(CONFIG.timing)
    np.testing.assert_array_equal(results[1].words, results[0].words)
    assert len(results[0].words) == 42
    assert ticks[1] > ticks[0]


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 31, 32, 33])
def test_results_of_any_number_come_back_and_nothing_beyond_them_is_written(rtl, n):
    rtl._results[:] = 0xAAAAAAAA
    program = Program([READY, *[SpiRead(1, (0x810000,))] * n])
    mock = MockBridge(chips())
    mock.configure(CONFIG)
    np.testing.assert_array_equal(rtl.run(program).words, mock.run(program).words)
    assert (rtl._results[n:] == 0xAAAAAAAA).all()


def start(model, **registers):
    for name, value in registers.items():
        model.write(4 * ADDRESS[name], value)
    model.write(4 * ADDRESS["CONTROL"], Control.START)
    while (status := word("STATUS", model)) & Status.BUSY:
        model.wait()
    return Fault(status >> 8)


BEYOND_BUFFERS = {
    "a program longer than the memory": ({"PROGRAM_LENGTH": PROGRAM_WORDS + 1}, Fault.BUFFER),
    "more results than the memory": ({"PROGRAM_LENGTH": 2, "RESULT_SIZE": RESULT_WORDS + 1}, Fault.BUFFER),
    "a program between bursts": ({"PROGRAM_LENGTH": 2, "PROGRAM_ADDRESS": 0x10000004}, Fault.BUFFER),
    "results between bursts": ({"PROGRAM_LENGTH": 2, "RESULT_ADDRESS": 0x10000020}, Fault.BUFFER),
    "a program where there is no memory": ({"PROGRAM_LENGTH": 40, "PROGRAM_ADDRESS": 0x90000000}, Fault.FETCH),
    "a program that ends beyond its memory": (
        {"PROGRAM_LENGTH": 100, "PROGRAM_ADDRESS": 0x10000000 + 4 * (PROGRAM_WORDS + RESULT_WORDS) - 64}, Fault.FETCH
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BEYOND_BUFFERS)
def test_a_buffer_that_cannot_be_is_refused_nothing_runs_and_the_outputs_are_safe(rtl, what):
    registers, fault = BEYOND_BUFFERS[what]
    rtl.run(CONNECTED)
    # Were it executed, a pulse would have to be refused, for bit lines are connected.
    rtl._program[:100] = 0x31000001
    assert start(rtl.model, **registers) is fault
    assert not rtl.board.gate
    assert word("EVENTS", rtl.model) & Event.REFUSED
    again = GatewareBridge(rtl.model, BOARD.wiring, kind="rtl", serial="1")
    again.configure(CONFIG)
    assert again.run(Program([READY, Nop()])).cycles == 26_000 + 4


def test_a_results_buffer_that_cannot_be_written_is_an_error_that_says_so(rtl):
    rtl.model.write(4 * ADDRESS["RESULT_ADDRESS"], 0x90000000)
    with pytest.raises(ProtocolError, match=FAULT_TEXT[Fault.STORE]):
        rtl.run(SIXTEEN)
    assert word("STATUS", rtl.model) >> 8 == Fault.STORE


def test_the_word_that_would_return_more_than_the_buffer_holds_is_refused(rtl):
    rtl.model.write(4 * ADDRESS["RESULT_SIZE"], 11)
    with pytest.raises(ProtocolError, match=f"word 11: {FAULT_TEXT[Fault.RESULTS_FULL]}"):
        rtl.run(SIXTEEN)
    assert word("RESULT_COUNT", rtl.model) == 11
    assert rtl.board.chain.outputs() is None


def test_a_program_stopped_while_it_is_fetched_never_runs(rtl):
    rtl._program[:1000] = 0
    rtl._program[999] = 0x01000000
    model, before = rtl.model, word("CYCLES_LOW", rtl.model)
    model.write(4 * ADDRESS["PROGRAM_LENGTH"], 1000)
    model.write(4 * ADDRESS["CONTROL"], Control.START)
    model.let_pass(100)
    assert word("STATUS", model) & (Status.BUSY | Status.RUNNING) == Status.BUSY
    model.write(4 * ADDRESS["CONTROL"], Control.SAFE)
    model.let_pass(30_000)
    assert word("STATUS", model) == Status.LATCHED | Fault.STOPPED << 8
    frame = CONFIG.timing.spi_frame_cycles(24, read=False)
    assert word("CYCLES_LOW", model) - before == CONFIG.safe_wait_cycles + frame


def test_no_results_are_stored_before_the_host_asks(rtl):
    rtl._results[:] = 0xAAAAAAAA
    words = SIXTEEN.words()
    rtl._program[: len(words)] = words
    assert start(rtl.model, PROGRAM_LENGTH=len(words)) is Fault.NONE
    rtl.model.let_pass(1000)
    assert (rtl._results[:] == 0xAAAAAAAA).all()


def test_buffers_begin_where_bursts_may(rtl):
    class Crooked(Altered):
        def allocate(self, n_words):
            buffer = self.bus.allocate(n_words)
            buffer.device_address += 4
            return buffer

    with pytest.raises(ProtocolError, match="does not begin where a burst may begin"):
        GatewareBridge(Crooked(rtl.model), BOARD.wiring, kind="rtl", serial="1")
    assert rtl._program.device_address % (4 * BURST_WORDS) == 0


@pytest.mark.parametrize("n", [PROGRAM_WORDS + 1, (1 << 16) + 2])
def test_more_words_than_the_memory_are_refused_by_the_gateware_itself(rtl, n):
    with pytest.raises(ProtocolError, match="longer than its memory"):
        rtl.run_words(np.zeros(n, np.uint32))


def test_a_board_with_more_chips_than_the_gateware_has_pins_for_is_refused(rtl):
    class Wide:
        n_dacs, n_adcs, sr_bits = 8, 33, 16

    with pytest.raises(LimitError, match="ADCs = 33 is above the maximum of 32"):
        GatewareBridge(rtl.model, Wide(), kind="rtl", serial="1")


def test_the_table_of_registers_in_the_documentation_is_what_the_map_prints():
    page = (Path(__file__).parents[2] / "docs" / "gateware.md").read_text()
    assert register_table() in page, "put in what this prints: python -m firmware_bridge.gateware registers"


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("safe_wait_cycles", (1 << 31) - 1),
        ("safe_frames", next(r.repeat for r in REGISTERS if r.name == "SAFE_FRAME")),
        ("adc_half_cycles", (1 << 16) - 1),
    ],
)
def test_a_register_takes_what_it_can_hold_and_nothing_beyond(field, most):
    def config(value):
        if field == "safe_frames":
            return CONFIG.model_copy(update={field: (0x05000A,) * value})
        if field == "adc_half_cycles":
            return CONFIG.model_copy(update={"timing": SequencerTiming.model_construct(adc_half_cycles=value)})
        return CONFIG.model_copy(update={field: value})

    RtlBridge(chips()).configure(config(most))
    with pytest.raises(LimitError, match=r"gateware registers") as refusal:
        RtlBridge(chips()).configure(config(most + 1))
    assert (refusal.value.parameter, refusal.value.value, refusal.value.limit) == (field, most + 1, most)


def test_accesses_that_were_refused_before_a_host_came_are_not_its_own(rtl):
    rtl.model.write(0x900, 1)
    assert word("STATUS", rtl.model) & Status.ACCESS
    later = GatewareBridge(rtl.model, BOARD.wiring, kind="rtl", serial="1")
    assert not word("STATUS", rtl.model) & Status.ACCESS
    later.configure(CONFIG)
    assert later.run(Program([READY])).cycles == 26_000 + 3
