"""Waits that the model of the gateware passes over: nobody can tell them from those that it ticks through."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needs import needs_verilator
from random_programs import programs
from small_board import LOOK, READY, WIRING, chips, config, outcome, small_board

from firmware_bridge.bridge import SequencerLimits
from firmware_bridge.errors import LimitError
from firmware_bridge.gateware import ADDRESS, Control, Status
from firmware_bridge.isa import Collect, OutputEnable, Pulse, Sample, Shift, Wait
from firmware_bridge.program import Program
from firmware_bridge.rtl_bridge import RtlBridge

pytestmark = needs_verilator


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vcd")


def run(skips, path, seed, limits, *work):
    """Outcomes of programs, chips afterwards, and all that the pins did."""
    path = path / f"{skips}.vcd"
    bridge = RtlBridge(small_board(seed), vcd=path)
    bridge.model.skip_waits(skips)
    bridge.configure(config(limits=limits))
    outcomes = [outcome(bridge, program) for program in (*work, LOOK)]
    bridge.close()
    return outcomes, chips(bridge.board), path.read_text(), bridge.model.ticks


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=programs(), second=programs(), interval=st.integers(0, 4000), seed=st.integers(0, 2**31))
def test_outcomes_cycles_chips_and_every_edge_are_those_of_ticked_waits(first, second, interval, seed, folder):
    limits = SequencerLimits(pulse_interval=interval)
    *skipped, few = run(True, folder, seed, limits, first, second)
    *ticked, many = run(False, folder, seed, limits, first, second)
    assert skipped == ticked
    assert few < many


@pytest.mark.parametrize("cycles", range(8))
def test_a_wait_of_any_length_takes_its_cycles(cycles, folder):
    work = Program([Wait(cycles), Wait(cycles)]), Program([Wait(READY + cycles)])
    assert run(True, folder, 1, None, *work)[:3] == run(False, folder, 1, None, *work)[:3]


def test_a_conversion_beside_a_wait_is_ticked(folder):
    work = Program([Wait(READY), Sample(7), Wait(5_000), Collect()])
    *skipped, few = run(True, folder, 1, None, work)
    *ticked, many = run(False, folder, 1, None, work)
    assert skipped == ticked
    assert 2016 < few < many - READY


@pytest.mark.parametrize("patience", [2, 3, 1_000, 5_001, 999_999])
def test_the_watchdog_bites_in_the_same_cycle(patience, folder):
    work = Program([Wait(READY), Shift(WIRING.sr_bits, WIRING.mux_word()), OutputEnable(True), Wait(2 * 10**6)])

    def abandoned(skips):
        path = folder / f"{skips}.vcd"
        bridge = RtlBridge(small_board(), vcd=path)
        bridge.model.skip_waits(skips)
        bridge.configure(config(watchdog_cycles=patience))
        bridge._program[: work.n_words] = work.words()
        bridge.model.write(4 * ADDRESS["PROGRAM_LENGTH"], work.n_words)
        bridge.model.write(4 * ADDRESS["CONTROL"], Control.START)
        bridge.model.let_pass(1_100_000)
        status, cycles = (bridge.model.read(4 * ADDRESS[name]) for name in ("STATUS", "CYCLES_LOW"))
        ticks = bridge.model.ticks
        bridge.close()
        return (status, cycles, chips(bridge.board), path.read_text()), ticks

    (skipped, few), (ticked, many) = abandoned(True), abandoned(False)
    assert skipped == ticked
    assert skipped[0] & Status.WATCHDOG
    assert few < many


def test_a_host_that_waits_for_a_long_wait_gives_signs_of_life():
    bridge = RtlBridge(small_board())
    bridge.configure(config(watchdog_cycles=1_000_000))
    assert bridge.run(Program([Wait(READY), Wait(10**9)])).cycles == READY + 10**9 + 5
    assert bridge.model.ticks < 10**6


def test_ten_seconds_are_passed_over_and_count_between_pulses():
    bridge = RtlBridge(small_board())
    bridge.configure(config(limits=SequencerLimits(pulse_interval=10**9)))
    bridge.run(Program([Wait(READY), Pulse(100)]))
    assert bridge.run(Program([Wait(10**9 - 200)])).cycles == 10**9 - 197
    with pytest.raises(LimitError, match=r"between the starts of two pulses = 1e\+09 is below"):
        bridge.run(Program([Pulse(100)]))
    bridge.run(Program([Wait(10**9), Pulse(100)]))
    assert bridge.model.ticks < 10**6
