"""A temperature controller at a pseudo-terminal, with a heater that overshoots. Its time passes when it is told to."""

import os
import select
import threading
import tty
from typing import ClassVar

import numpy as np

from firmware_bridge.mock.scpi import ScpiInstrument

AMBIENT_K = 295.0


class MockStage(ScpiInstrument):
    """Lake Shore 335, as far as its driver goes: x'' = ω² (set-point − x) − 2 ζ ω x' with the heater on."""

    IDN = "LSCI,MODEL335,335A123/1234567,1.6"
    DEFAULTS: ClassVar = {"SETP": "1,295.000", "RANGE": "1,0", "TLIMIT": "A,400"}
    OMEGA_PER_S, DAMPING = 0.1, 0.3

    def __init__(self):
        super().__init__(np.random.default_rng(0))
        self.kelvin, self.rate = AMBIENT_K, 0.0
        self.sensor_status, self.heater_status = 0, 0
        self.units, self.outmode = 1, "1,1,0"

    @property
    def heater_on(self):
        return self.settings["RANGE"] != "1,0"

    def advance(self, seconds):
        goal = float(self.settings["SETP"].split(",")[1]) if self.heater_on else AMBIENT_K
        for _ in range(100):
            dt = seconds / 100
            self.rate += dt * (
                self.OMEGA_PER_S**2 * (goal - self.kelvin) - 2 * self.DAMPING * self.OMEGA_PER_S * self.rate
            )
            self.kelvin += dt * self.rate

    def answer(self, command, argument):
        match command, argument:
            case "*ESR?", "":
                bits, self._errors = 32 * bool(self._errors), type(self._errors)()
                return f"{bits:03d}"
            case "KRDG?", "A":
                return f"{self.kelvin:+.4f}"
            case "RDGST?", "A":
                return f"{self.sensor_status:03d}"
            case "HTRST?", "1":
                return str(self.heater_status)
            case "RANGE?", "1":
                return self.settings["RANGE"].split(",")[1]
            case "INTYPE?", "A":
                return f"1,0,0,0,{self.units}"
            case "OUTMODE?", "1":
                return self.outmode
        return None


class PtyPort:
    """An instrument behind a pseudo-terminal: `address` is that of a serial port."""

    def __init__(self, instrument):
        self._instrument = instrument
        # Our own end of the slave stays open: without one, reading the master fails between clients.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.address = f"ASRL{os.ttyname(self._slave)}::INSTR"
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.write(self._wake_write, b"x")
        self._thread.join(timeout=5)
        for fd in (self._master, self._slave, self._wake_read, self._wake_write):
            os.close(fd)

    def _serve(self):
        waiting = b""
        while True:
            ready, _, _ = select.select([self._master, self._wake_read], [], [])
            if self._wake_read in ready:
                return
            waiting += os.read(self._master, 1024)
            *lines, waiting = waiting.split(b"\n")
            for line in lines:
                answer = self._instrument.execute(line.decode("ascii").strip())
                if answer is not None:
                    os.write(self._master, answer.encode() + b"\r\n")
