"""SN74HC595 driver: what it asks the sequencer for."""

import pytest

from drivers.sn74hc595 import Sn74hc595Chain
from firmware_bridge.errors import LimitError
from firmware_bridge.isa import OutputEnable, Shift
from firmware_bridge.program import Program


def test_a_word_goes_through_the_whole_chain():
    program = Program()
    Sn74hc595Chain(2).write(program, 0x0840)
    assert list(program) == [Shift(16, 0x0840)]


def test_outputs_are_enabled_and_released():
    program = Program()
    chain = Sn74hc595Chain(2)
    chain.enable(program, True)
    chain.enable(program, False)
    assert list(program) == [OutputEnable(True), OutputEnable(False)]


def test_a_word_longer_than_the_chain_is_refused():
    with pytest.raises(LimitError, match="SHIFT word of 16 bits"):
        Sn74hc595Chain(2).write(Program(), 1 << 16)
