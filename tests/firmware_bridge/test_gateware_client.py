"""What the one client of the gateware writes, reads and refuses, at a register file without a machine behind it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from register_file import Bus

from firmware_bridge.bridge import SequencerConfig, SequencerLimits
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.gateware import (
    ADDRESS,
    FAULT_TEXT,
    LIMIT_FAULTS,
    PROGRAM_FAULTS,
    PROGRAM_WORDS,
    RESULT_WORDS,
    Control,
    Event,
    Fault,
    Status,
)
from firmware_bridge.gateware_client import GatewareBridge
from firmware_bridge.isa import ISA_HASH, ISA_VERSION, Nop, Pulse, Sample, Wait
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

WIRING = SimpleNamespace(n_dacs=3, n_adcs=5, sr_bits=16, dac_channels=8)
CONFIG = SequencerConfig()


def opened(bus, config=CONFIG, wiring=WIRING):
    bridge = GatewareBridge(bus, wiring, kind="rtl", serial="4")
    if config is not None:
        bridge.configure(config)
    bus.happened.clear()
    bus.written.clear()
    return bridge


# -- opening -----------------------------------------------------------------------------------------------------------
def test_what_is_at_the_pins_is_said_and_the_outputs_are_safe_before_buffers_are_lent():
    bus = Bus()
    bridge = GatewareBridge(bus, WIRING, kind="rtl", serial="4")
    assert bus.written == [
        ("EVENTS", Event.ACCESS), ("DAC_PRESENT", 0b111), ("ADC_PRESENT", 0b11111), ("CONTROL", Control.SAFE),
        ("PROGRAM_ADDRESS", 0x10000), ("RESULT_ADDRESS", 0x10400), ("RESULT_SIZE", RESULT_WORDS),
    ]  # fmt: skip
    assert [len(buffer.words) for buffer in bus.buffers] == [PROGRAM_WORDS, RESULT_WORDS]
    found = bridge.identify()
    assert (found.kind, found.serial, found.isa_version, found.isa_hash) == ("rtl", "4", ISA_VERSION, ISA_HASH)
    assert (found.n_dacs, found.n_adcs, found.sr_bits, found.dac_channels) == (3, 5, 16, 8)
    assert (found.program_words, found.result_words) == (PROGRAM_WORDS, RESULT_WORDS)


@pytest.mark.parametrize(("n_dacs", "n_adcs", "refused"), [(8, 32, None), (9, 32, "DACs"), (8, 33, "ADCs")])
def test_a_board_may_use_all_pins_and_not_one_more(n_dacs, n_adcs, refused):
    bus, wiring = Bus(), SimpleNamespace(n_dacs=n_dacs, n_adcs=n_adcs, sr_bits=16, dac_channels=8)
    if refused is None:
        opened(bus, wiring=wiring)
        assert (bus.values["DAC_PRESENT"], bus.values["ADC_PRESENT"]) == (0xFF, 0xFFFFFFFF)
    else:
        with pytest.raises(LimitError) as error:
            opened(bus, wiring=wiring)
        assert (error.value.parameter, bus.written) == (refused, [])


@pytest.mark.parametrize(("first", "passes"), [(0x10040, True), (0x10020, False), (0x10004, False), (0x10041, False)])
def test_a_buffer_begins_where_a_burst_may_begin(first, passes):
    bus = Bus()
    bus.first = first
    if passes:
        opened(bus)
    else:
        with pytest.raises(ProtocolError, match=f"a buffer at {first:#x} does not begin where a burst may begin"):
            opened(bus)


# -- configuration -----------------------------------------------------------------------------------------------------
def test_every_register_is_written_and_the_limits_are_latched_last():
    timing = SequencerTiming(adc_half_cycles=50, spi_cs_high_cycles=9)
    config = SequencerConfig(
        timing=timing, safe_wait_cycles=77, safe_frames=(0x05000A, 0x080000), watchdog_cycles=40_000,
        limits=SequencerLimits(sr_bits=16),
    )  # fmt: skip
    bus = Bus()
    bridge = opened(bus, None)
    bridge.configure(config)
    held = bus.values
    for name in SequencerTiming.model_fields:
        if name != "clock_hz":
            assert held[name.upper()] == getattr(timing, name)
    assert (held["SAFE_WAIT"], held["SAFE_COUNT"], held["WATCHDOG"], held["LIMIT_SR_BITS"]) == (77, 2, 40_000, 16)
    assert held["SAFE_FRAME"] == 0x05000A
    assert held[4 * ADDRESS["SAFE_FRAME"] + 4] == 0x080000
    assert bus.written[-2:] == [("CONTROL", Control.LATCH), ("EVENTS", Event.WATCHDOG)]
    # They hold until power-up: another configuration writes none of them.
    bus.written.clear()
    bridge.configure(config)
    assert not [name for name, _ in bus.written if str(name).startswith("LIMIT") or name == "CONTROL"]


@pytest.mark.parametrize(
    ("name", "most", "make"),
    [
        ("spi_cs_setup_cycles", (1 << 16) - 1, lambda n: {"timing": SequencerTiming(spi_cs_setup_cycles=n)}),
        ("adc_clocks", (1 << 16) - 1, lambda n: {"timing": SequencerTiming(adc_clocks=n)}),
        ("safe_wait_cycles", (1 << 31) - 1, lambda n: {"safe_wait_cycles": n}),
        ("safe_frames", 16, lambda n: {"safe_frames": (0x080000,) * n}),
    ],
)
def test_a_register_takes_its_largest_value_and_one_more_is_refused_before_anything_is_written(name, most, make):
    bus = Bus()
    bridge = opened(bus, None)
    with pytest.raises(LimitError) as error:
        bridge.configure(SequencerConfig(**make(most + 1)))
    assert (error.value.parameter, error.value.value, bus.written) == (name, most + 1, [])
    bridge.configure(SequencerConfig(**make(most)))


@pytest.mark.parametrize("clock_hz", [99_999_999, 100_000_001])
def test_a_clock_that_is_one_hertz_off_is_another_clock(clock_hz):
    with pytest.raises(ProtocolError, match="the gateware runs at 1e\\+08 Hz; give the board file its clock"):
        opened(Bus(), SequencerConfig(timing=SequencerTiming(clock_hz=clock_hz)))


# -- programs ----------------------------------------------------------------------------------------------------------
def test_a_program_that_fills_the_memory_is_given_and_one_word_more_is_not():
    bus = Bus()
    bridge = opened(bus)
    bridge.run(Program([Nop()] * (PROGRAM_WORDS - 1)))
    assert ("PROGRAM_LENGTH", PROGRAM_WORDS) in bus.written
    bus.happened.clear()
    with pytest.raises(ProtocolError, match=f"the program has {PROGRAM_WORDS + 1} words, the memory holds"):
        bridge.run(Program([Nop()] * PROGRAM_WORDS))
    assert bus.happened == [Control.SAFE]


def test_a_program_may_fill_the_result_memory_and_not_more():
    bus = Bus()
    bridge = opened(bus)
    bridge.run(_Long(RESULT_WORDS))
    bus.happened.clear()
    with pytest.raises(ProtocolError, match=f"would return {RESULT_WORDS + 1} words, the memory holds {RESULT_WORDS}"):
        bridge.run(_Long(RESULT_WORDS + 1))
    assert bus.happened == [Control.SAFE]


class _Long(Program):
    """Says of itself that it brings back so many words."""

    def __init__(self, n_results):
        super().__init__([Nop()])
        self._n = n_results

    @property
    def n_results(self):
        return self._n


@pytest.mark.parametrize("length", [5, PROGRAM_WORDS, PROGRAM_WORDS + 9, 0x10005])
def test_words_of_any_length_are_announced_as_far_as_the_register_goes(length):
    bus = Bus()
    opened(bus).run_words(np.arange(length, dtype=np.uint32))
    assert ("PROGRAM_LENGTH", min(length, 0xFFFF)) in bus.written
    held = min(length, PROGRAM_WORDS)
    assert bus.buffers[0].words[:held].tolist() == list(range(held))


def test_results_are_fetched_if_there_are_any_once_the_gateware_is_idle():
    bus = Bus(CYCLES_HIGH=2, CYCLES_LOW=0xFFFFFFF0)
    bridge = opened(bus)
    bus.busy, bus.takes, bus.values["RESULT_COUNT"] = 2, 1000, 3
    bus.buffers[1].words[:4] = [9, 8, 7, 6]
    result = bridge.run(Program([Nop()]))
    assert (result.words.tolist(), result.cycles) == ([9, 8, 7], 1000)
    assert bus.happened == ["flush", Control.START, "wait", "wait", Control.STORE, "wait", "wait", "invalidate"]
    bus.happened.clear()
    bus.values["RESULT_COUNT"] = 0
    assert bridge.run(Program([Nop()])).words.tolist() == []
    assert Control.STORE not in bus.happened
    # What was handed out does not change with the next program.
    bus.buffers[1].words[:4] = 0
    assert result.words.tolist() == [9, 8, 7]


def test_nothing_is_run_before_a_configuration_and_the_outputs_are_made_safe():
    bus = Bus()
    bridge = opened(bus, None)
    with pytest.raises(ProtocolError, match=r"configure\(\) first"):
        bridge.run(Program([Nop()]))
    assert bus.happened == [Control.SAFE]


def test_a_bus_that_fails_during_a_program_is_followed_by_making_safe():
    bus = Bus()
    bridge = opened(bus)
    wait = bus.wait
    bus.busy = 1

    def broken():
        bus.wait, bus.busy = wait, 0
        raise OSError("the bus is gone")

    bus.wait = broken
    with pytest.raises(OSError, match="the bus is gone"):
        bridge.run(Program([Nop()]))
    assert bus.happened[-1] == Control.SAFE


def test_a_reset_resets_the_sequencer_and_then_makes_safe_and_closing_makes_safe():
    bus = Bus()
    bridge = opened(bus)
    bridge.reset()
    assert bus.happened == [Control.RESET, Control.SAFE]
    bus.happened.clear()
    bridge.close()
    assert bus.happened == [Control.SAFE]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (0x1ABC, r"a write to byte 0xabc of the gateware's bus was refused: it is read-only or no whole register"),
        (0x0801, r"a read of byte 0x801 of the gateware's bus was refused: it is no whole register"),
    ],
)
def test_a_refused_access_is_told_cleared_and_followed_by_making_safe(where, text):
    bus = Bus(BAD_ACCESS=where)
    bridge = opened(bus)
    bus.status |= Status.ACCESS
    with pytest.raises(ProtocolError, match=text):
        bridge.run(Program([Nop()]))
    assert ("EVENTS", Event.ACCESS) in bus.written
    assert bus.happened[-1] == Control.SAFE


# -- refusals ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", sorted(set(FAULT_TEXT) - {Fault.WATCHDOG}))
def test_a_fault_is_told_with_the_word_that_it_is_of_if_it_is_one_words(fault):
    bus = Bus(ERROR_ADDRESS=12)
    bridge = opened(bus)
    bus.fault = fault
    with pytest.raises(ProtocolError) as error:
        bridge.run(Program([Nop()]))
    assert str(error.value) == ("" if fault in PROGRAM_FAULTS else "word 12: ") + FAULT_TEXT[fault]
    # The gateware has made itself safe, and there is nothing to fetch.
    assert bus.happened == ["flush", Control.START]


@pytest.mark.parametrize(
    ("fault", "status", "by_watchdog"),
    [
        (Fault.WATCHDOG, 0, True), (Fault.LOCKED, Status.WATCHDOG, True), (Fault.LOCKED, 0, False),
        (Fault.BUFFER, Status.WATCHDOG, False),
    ],
)  # fmt: skip
def test_what_the_watchdog_did_is_told_with_the_silence_that_it_allows(fault, status, by_watchdog):
    bus = Bus()
    bridge = opened(bus, SequencerConfig(watchdog_cycles=40_000))
    bus.fault, bus.status = fault, bus.status | status
    told = "the host was silent for 0.0004 s; open the board anew" if by_watchdog else FAULT_TEXT[fault]
    with pytest.raises(ProtocolError, match=told.replace("(", r"\(").replace(")", r"\)")):
        bridge.run(Program([Nop()]))


@pytest.mark.parametrize("fault", sorted(LIMIT_FAULTS))
def test_a_limit_is_explained_by_what_the_program_does_and_what_ran_before(fault):
    bus = Bus()
    limits = SequencerLimits(pulse_width=(5, 9), pulse_interval=1000)
    bridge = opened(bus, SequencerConfig(limits=limits))
    bus.fault = fault
    with pytest.raises(LimitError) as error:
        bridge.run(Program([Wait(3), Pulse(10)]))
    assert (error.value.parameter, error.value.value, error.value.limit) == ("width of a PULSE, cycles", 10, (5, 9))
    # A pulse that was executed counts from the cycle at which it began.
    bus.fault, bus.takes = Fault.NONE, 7
    bridge.run(Program([Pulse(5)]))
    bus.fault, bus.takes = fault, 0
    with pytest.raises(LimitError) as error:
        bridge.run(Program([Pulse(5)]))
    assert (error.value.parameter, error.value.value) == ("cycles between the starts of two pulses", 7)


def test_limits_that_another_process_has_latched_are_those_that_count():
    bus = Bus()
    opened(bus, SequencerConfig(limits=SequencerLimits(sr_bits=16)))
    with pytest.raises(ProtocolError, match=r"limits\.sr_bits = 0 differs from what the board holds"):
        opened(bus)
    opened(bus, SequencerConfig(limits=SequencerLimits(sr_bits=16)))


def test_a_program_that_the_host_itself_cannot_cost_is_given_all_the_same():
    # Whether SAMPLE is followed by COLLECT is for the gateware to say.
    bus = Bus()
    bridge = opened(bus)
    bus.fault = Fault.SAMPLING
    with pytest.raises(ProtocolError, match="COLLECT first"):
        bridge.run(Program([Sample(1), Sample(1)]))


def test_who_keeps_a_record_is_told_of_each_program_before_it_runs_and_of_the_gateware_making_itself_safe():
    bus = Bus()

    class Noting(GatewareBridge):
        def _runs(self, program):
            bus.happened.append(program)

        def _made_safe(self):
            bus.happened.append("made safe")

    bridge, program = Noting(bus, WIRING, kind="rtl", serial="4"), Program([Nop()])
    bridge.configure(CONFIG)
    bus.happened.clear()
    bridge.run(program)
    assert bus.happened == [program, "flush", Control.START]
    bus.happened.clear()
    bus.fault = Fault.OPCODE
    with pytest.raises(ProtocolError):
        bridge.run(program)
    assert bus.happened == [program, "flush", Control.START, "made safe"]
