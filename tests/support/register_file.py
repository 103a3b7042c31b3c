"""The gateware's registers without a machine behind them: they hold what they are given, commands change nothing."""

from __future__ import annotations

import numpy as np

from firmware_bridge.gateware import ADDRESS, BURST_WORDS, GATEWARE_ID, MAP_HASH, Control, Fault, Status
from firmware_bridge.isa import ISA_VERSION

NAMES = {4 * address: name for name, address in ADDRESS.items()}


class Buffer:
    def __init__(self, bus, n_words, device_address):
        self.bus, self.words, self.device_address = bus, np.zeros(n_words, np.uint32), device_address

    def flush(self):
        self.bus.happened.append("flush")

    def invalidate(self):
        self.bus.happened.append("invalidate")

    def __getitem__(self, index):
        return self.words[index]

    def __setitem__(self, index, words):
        self.words[index] = words


class Bus:
    """Registers that hold what they are given. A command is busy for `busy` looks, then has `fault`."""

    def __init__(self, **values):
        self.values = {"ID": GATEWARE_ID, "VERSION": ISA_VERSION, "MAP_HASH": MAP_HASH, "CLOCK_HZ": 100_000_000}
        self.values |= {"LIMIT_REGISTERS": 0xFFFFFFFF} | values
        self.happened = []
        """Commands, buffers' doings and waits, in order."""
        self.written = []
        self.busy, self.fault, self.status, self.takes, self.first = 0, Fault.NONE, 0, 0, 0x10000
        self._left = 0
        self.buffers = []

    def name(self, address):
        assert address % 4 == 0
        return NAMES.get(address, address)

    def read(self, address):
        name = self.name(address)
        if name == "STATUS":
            self._left -= 1
            busy = Status.BUSY if self._left >= 0 else 0
            return busy | self.status | self.fault << 8
        return self.values.get(name, 0)

    def write(self, address, word):
        name = self.name(address)
        self.written.append((name, word))
        if name == "CONTROL":
            self.happened.append(Control(word))
            self._left = self.busy
            if word == Control.START:
                cycles = (self.values.get("CYCLES_HIGH", 0) << 32 | self.values.get("CYCLES_LOW", 0)) + self.takes
                self.values |= {"CYCLES_HIGH": cycles >> 32, "CYCLES_LOW": cycles & 0xFFFFFFFF}
            if word == Control.LATCH:
                self.status |= Status.LATCHED
        else:
            self.values[name] = word

    def allocate(self, n_words):
        self.buffers.append(Buffer(self, n_words, self.first + 64 * BURST_WORDS * len(self.buffers)))
        return self.buffers[-1]

    def wait(self):
        self.happened.append("wait")
