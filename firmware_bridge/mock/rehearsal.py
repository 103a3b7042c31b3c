"""A mock board that counts what it is asked to do: a run is rehearsed on it, and nothing leaves this process."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from firmware_bridge.bridge import Identity, Result
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program


class RehearsalBridge(MockBridge):
    """The mock board under another kind, so that no ledger is kept for it.

    programs: that it ran. operations: instructions in them, by name.
    """

    def __init__(self, board: MockBoard, *, serial: str) -> None:
        super().__init__(board, serial=serial)
        self.programs = 0
        self.operations: Counter[str] = Counter()

    def identify(self) -> Identity:
        return replace(super().identify(), kind="rehearsal")

    def run(self, program: Program) -> Result:
        result = super().run(program)
        self.programs += 1
        self.operations.update(type(instruction).__name__ for instruction in program)
        return result
