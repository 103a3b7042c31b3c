"""Anything that a program can send to a board, in any order, with failures at any instant; and a witness at the array.

The witness knows nothing of codes, programs or the interlock. It stands where the lines meet the cells, is given volts
and seconds by the chip models, and holds them against the limits of the board file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from drivers.board import load_board
from drivers.crossbar import Crossbar
from firmware_bridge.bridge import Result
from firmware_bridge.errors import BoardError, ConnectionLost
from firmware_bridge.isa import Collect, Gate, OutputEnable, Pulse, Pulses, Sample, Shift, SpiRead, SpiWrite, Wait
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program

BOARD = load_board()
LDAC, RESET, SYNC_ALL = 0x050010, 0x05000A, 0x02FFFF
SLACK_V, SLACK = 0.002, 1e-6
"""Half a DAC code and rounding, V; of times."""
SAFE_WITHIN_S = 10e-3


class Violation(AssertionError):
    """The array was given what the board file forbids."""


class Witness:
    """Watches the array of `chips` from now on; counts what each cell has been given."""

    def __init__(self, chips: MockBoard) -> None:
        self.chips, self.limits = chips, BOARD.limits
        self.pulses = np.zeros(chips.array.shape, int)
        self.forming = np.zeros(chips.array.shape, int)
        self.dose_v2s = np.zeros(chips.array.shape)
        self.last_start_s = -np.inf
        self.seen: Violation | None = None
        self._deliberate = False
        self._board_pulse, self._array_pulse = chips.pulse, chips.array.pulse
        chips.pulse, chips.array.pulse = self.pulse, self.given  # type: ignore[method-assign]

    def pulse(self, width_s: float, t_s: float) -> None:
        self._deliberate = True
        try:
            self._board_pulse(width_s, t_s)
        finally:
            self._deliberate = False

    def given(self, v_bl, v_wl, v_sl, width_s, t_s):
        """Instead of `Array.pulse`."""
        try:
            self._hold_against_limits(v_bl - v_sl[:, None], v_wl, v_sl, width_s, t_s)
        except Violation as violation:
            self.seen = violation
            raise
        return self._array_pulse(v_bl, v_wl, v_sl, width_s, t_s)

    def _hold_against_limits(self, v, v_wl, v_sl, width_s, t_s) -> None:
        connected = np.where(np.isnan(v), 0.0, v)
        strong = np.abs(connected) > self.limits.read_v + SLACK_V
        if not strong.any():
            return
        if not self._deliberate:
            raise Violation(f"bias of {connected[strong][0]:.3f} V outside a pulse, limit {self.limits.read_v} V")
        gate = v_wl - v_sl
        on = gate[:, None] - np.minimum(connected, 0.0) > self.limits.wl_off_v + SLACK_V
        formed = np.abs(v_sl - BOARD.wiring.vcm_v) > 0.1
        up, down = strong & (connected > 0), strong & (connected < 0)
        for name, cells, limit in (
            ("SET", up & ~formed[:, None], self.limits.set),
            ("FORM", up & formed[:, None], self.limits.form),
            ("RESET", down, self.limits.reset),
        ):
            if not cells.any():
                continue
            self._within(f"{name} amplitude", np.abs(connected[cells]), limit.amplitude_v, SLACK_V, "V")
            rows = (cells & on).any(axis=1)
            self._within(f"{name} gate", gate[rows], limit.gate_v, SLACK_V, "V")
            self._within(f"{name} width", np.array([width_s]), limit.width_s, SLACK * limit.width_s[1], "s")
        if t_s - self.last_start_s < self.limits.pulse_interval_s * (1 - SLACK):
            raise Violation(f"{t_s - self.last_start_s:.3g} s between two pulses")
        self.last_start_s = t_s
        met = strong & on
        self.pulses += met
        self.forming += met & (connected > 0) & formed[:, None]
        self.dose_v2s += np.where(met, connected**2 * width_s, 0.0)
        for name, sums, limit in (
            ("pulses", self.pulses, self.limits.pulses_per_cell),
            ("forming pulses", self.forming, self.limits.forming_per_cell),
            ("dose", self.dose_v2s, self.limits.dose_per_cell_v2s * (1 + 1e-3)),
        ):
            if sums.max() > limit:
                raise Violation(f"{name} of a cell: {sums.max():g}, limit {limit:g}")

    @staticmethod
    def _within(name: str, values, limit, slack: float, unit: str) -> None:
        bad = values[(values < limit[0] - slack) | (values > limit[1] + slack)]
        if bad.size:
            raise Violation(f"{name}: {bad[0]:.6g} {unit}, limit {limit} {unit}")


class FailingBridge(MockBridge):
    """A mock whose link, host or user fails within a program, once, when told to."""

    failure: BaseException | None = None
    after = 0

    def run(self, program: Program) -> Result:
        self._left = self.after
        return super().run(program)

    def _execute(self, instruction, clock, results) -> None:
        if self.failure is not None:
            if self._left <= 0:
                failure, self.failure = self.failure, None
                self.failed_cycle = clock.now
                raise failure
            self._left -= 1
        super()._execute(instruction, clock, results)


def is_safe(chips: MockBoard) -> bool:
    """Bit lines disconnected, muxes released, every DAC at its reset value."""
    return not chips.gate and chips.chain.outputs() is None and all(d.registers["SYNC"] == 0xFF00 for d in chips.dacs)


volts = st.one_of(
    st.sampled_from([1.0, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 3.9, 4.1, -1.5, -2.2, -2.3, np.nan]), st.floats(-6, 6)
)
seconds = st.one_of(st.sampled_from([1e-6, 1e-5, 1e-4, 1e-3, 0.9e-6, 1.1e-3, 1e-2, np.inf, -1.0]), st.floats(1e-8, 0.1))
codes = st.integers(0, 0xFFFF)
frames = st.one_of(
    st.integers(0, 0xFFFFFF),
    st.sampled_from([LDAC, RESET, SYNC_ALL, 0x0400FF, 0x0401FF, 0x030100, 0x030000]),
    st.builds(lambda channel, code: 0x080000 + (channel << 16) + code, st.integers(0, 7), codes),
)
instructions = st.one_of(
    st.builds(Wait, st.integers(1, 50_000)),
    st.builds(lambda mask, frame: SpiWrite(mask, (frame,) * mask.bit_count()), st.integers(1, 0xFF), frames),
    st.builds(lambda mask, frame: SpiRead(mask, (frame,) * mask.bit_count()), st.integers(1, 0xFF), frames),
    st.builds(Shift, st.sampled_from([8, 16, 32]), st.integers(0, 0xFF)),
    st.builds(lambda bit: Shift(16, BOARD.wiring.mux_word() ^ bit), st.sampled_from([0, 1, 2, 8, 16, 64])),
    st.builds(OutputEnable, st.booleans()),
    st.builds(Gate, st.booleans()),
    st.builds(Pulse, st.integers(1, 2_000_000)),
    st.builds(Sample, st.integers(1, 0xFF)),
    st.just(Collect()),
    st.builds(
        lambda code, n, width: Pulses(
            np.full((n, 8, 8), code, np.uint16), 0xFF, LDAC, 800, np.full(n, width, np.uint32)
        ),
        codes, st.integers(1, 3), st.integers(1, 200_000),
    ),
)  # fmt: skip
FAILURES: tuple[Callable[[], BaseException], ...] = (
    KeyboardInterrupt, lambda: ConnectionLost("the link is gone"), lambda: MemoryError("the host is full"),
)  # fmt: skip


class CommandSequence(RuleBasedStateMachine):
    """One board, what anybody may do to it, and what must never happen."""

    @initialize(seed=st.integers(0, 5))
    def open(self, seed: int) -> None:
        self.chips = MockBoard(BOARD.wiring, MockParams.ideal(), seed=seed)
        self.witness = Witness(self.chips)
        self.bridge = FailingBridge(self.chips)
        self.crossbar = Crossbar(self.bridge, BOARD)
        self.settled = False
        self.must_be_safe = False

    def attempt(self, operation: Callable[[], object]) -> None:
        """Refusals and failures are part of the game; after a failure outputs are safe, at once."""
        try:
            operation()
        except Violation:
            raise
        except BoardError:
            # Refused before anything was sent, or it failed within: then it must be safe.
            if self.bridge.failure is None and getattr(self.bridge, "failed_cycle", None) is not None:
                self.check_safe()
        except (KeyboardInterrupt, MemoryError):
            self.check_safe()
        self.bridge.failure = None
        self.bridge.failed_cycle = None

    def check_safe(self) -> None:
        assert is_safe(self.chips), "a failure left the outputs on"
        took_s = (self.bridge._cycle - self.bridge.failed_cycle) * self.bridge._period
        assert took_s <= SAFE_WITHIN_S, f"{took_s * 1e3:.1f} ms of board time until the outputs were safe"

    @rule(kind=st.sampled_from(FAILURES), after=st.integers(0, 30))
    def something_fails_next(self, kind: Callable[[], BaseException], after: int) -> None:
        self.bridge.failure, self.bridge.after = kind(), after

    @rule(scale=st.floats(0, 1), top=volts)
    def multiply(self, scale: float, top: float) -> None:
        self.attempt(lambda: self.crossbar.mvm(np.linspace(-1, 1, 32) * scale * 0.1 + (0 if scale < 0.7 else top)))

    @rule()
    def read(self) -> None:
        self.attempt(self.crossbar.read_conductance)

    @rule(
        amplitude=volts, gate=st.sampled_from([0.2, 1.2, 1.6, 1.7, 2.0, 2.3, 2.4, 2.5]), width=seconds,
        forming=st.booleans(), cells=st.sampled_from(["one", "row", "all"]),
    )  # fmt: skip
    def pulse(self, amplitude: float, gate: float, width: float, forming: bool, cells: str) -> None:
        table = np.full((32, 32), np.nan)
        table[{"one": (3, 5), "row": (7, slice(None)), "all": (slice(None), slice(None))}[cells]] = amplitude
        self.attempt(lambda: self.crossbar.apply_pulses(table, gate, width, forming=forming))

    @rule(code=codes)
    def convert(self, code: int) -> None:
        self.attempt(lambda: self.crossbar.convert(np.full((2, 32), code, np.uint16)))

    @rule(code=codes, connect=st.booleans())
    def hold(self, code: int, connect: bool) -> None:
        def held() -> None:
            with self.crossbar.held([np.full(64, code, np.uint16)], connect=connect) as steps:
                for _ in steps:
                    pass

        self.attempt(held)

    @rule(program=st.lists(instructions, min_size=1, max_size=8))
    def program(self, program) -> None:
        with suppress(BoardError, ValueError):
            built = Program(program)
            self.attempt(lambda: self.crossbar._lines.interlock.run(built))

    @rule(wait=st.floats(0, 1e4))
    def wait(self, wait: float) -> None:
        self.attempt(lambda: self.crossbar.wait(wait))

    @rule()
    def make_safe(self) -> None:
        self.crossbar.safe()
        assert is_safe(self.chips)

    @precondition(lambda self: hasattr(self, "witness"))
    @invariant()
    def the_drivers_count_what_the_cells_were_given(self) -> None:
        assert (self.crossbar.doses.pulses >= self.witness.pulses).all()
        assert (self.crossbar.doses.forming >= self.witness.forming).all()

    def teardown(self) -> None:
        if hasattr(self, "crossbar") and self.witness.seen is None:
            self.crossbar.close()
            assert is_safe(self.chips)
