"""CD4051B driver: chain words of the default board, and the gate."""

from drivers.board import load_board
from drivers.cd4051b import CONNECT, DISCONNECT, Cd4051bMuxes
from firmware_bridge.isa import Gate
from firmware_bridge.timing import SequencerTiming

MUXES = Cd4051bMuxes(load_board().wiring)


def test_at_rest_the_adc_muxes_are_inhibited():
    assert MUXES.word() == 1 << 11


def test_forming_moves_the_reference_mux_only():
    assert MUXES.word(reference="form") ^ MUXES.word() == 1 << 3


def test_a_scan_visits_the_four_rows_of_each_adc():
    assert MUXES.scan() == (0x000, 0x100, 0x200, 0x300)


def test_the_gate_connects_and_disconnects():
    assert Gate(True) == CONNECT
    assert Gate(False) == DISCONNECT


def test_settling_covers_the_slowest_supply():
    assert MUXES.settle_cycles(SequencerTiming()) == 72
