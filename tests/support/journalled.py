"""A run beside a journal, on a board that executes nothing."""

from __future__ import annotations

import numpy as np

from firmware_bridge.bridge import Identity, Result, SequencerConfig
from firmware_bridge.isa import Pulse, Wait
from firmware_bridge.journal import (
    Journal,
    JournalBridge,
)
from firmware_bridge.program import Program

IDENTITY = Identity("zc706", "7", 1, 2, 8, 8, 64, 24576, 24576, 8)
READ = Program([Wait(10)])
PULSE = Program([Pulse(5)])


class Board:
    """Executes nothing and says what it was given."""

    def __init__(self, dies_at=None):
        self.given, self.dies_at = [], dies_at

    def identify(self):
        return IDENTITY

    def configure(self, config):
        pass

    def run(self, program):
        self.given.append(program)
        if len(self.given) == self.dies_at:
            raise KeyboardInterrupt
        return Result(np.array([len(self.given)], np.uint32), 100 + len(self.given))

    def reset(self):
        pass

    safe = close = reset


def begin(path, board, programs):
    journal = JournalBridge(board, Journal.create(path, IDENTITY), rebuild=False)
    return [journal.run(program) for program in programs]


def go_on(path, board, rebuild=False):
    journal = JournalBridge(board, Journal.resume(path, IDENTITY), rebuild=rebuild)
    journal.configure(SequencerConfig())
    return journal
