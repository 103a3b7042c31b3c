"""What commands tell of boards, arrays and samplers while they run (`lab_scripts.live`). Conductances go out in S."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calibration.failures import Failure
from calibration.write_verify import Snapshot, WriteVerifyResult
from drivers.board import Board
from drivers.crossbar import Crossbar
from lab_scripts import live

if TYPE_CHECKING:
    from anf.measurement.observables import Estimate

Array = NDArray[np.float64]
LARGEST_SCATTER = 2000
"""Products that are told of: more are no clearer on a screen."""
LEFT_ALONE, IN_WORK, DONE = 0, 1, 2
"""State of a cell; 2 + its `Failure` if it failed."""
STATES = (
    "left alone",
    "in work",
    "done",
    *(f.name.lower().replace("_", " ") for f in Failure if f is not Failure.NONE),
)
"""States in words, by number."""


def tell_board(crossbar: Crossbar, address: str) -> None:
    """A board was opened: what it is, what it may be given, what corrects it."""
    if not live.listening():
        return
    record = crossbar.calibration
    live.tell(
        "board",
        address=address, board_kind=crossbar.identity.kind, serial=crossbar.identity.serial, name=crossbar.board.name,
        shape=list(crossbar.shape), clock_hz=crossbar.board.timing.clock_hz, limits=_limits(crossbar.board),
        calibration=None if record is None else {
            "serial": record.serial, "created": record.created.isoformat(),
            "valid_until": record.valid_until.isoformat(), "methods": list(record.methods),
            "quantities": sorted(record.estimates),
        },
    )  # fmt: skip


def _limits(board: Board) -> list[tuple[str, str]]:
    """Limits of the board file in words, with units."""
    limit = board.limits
    rows = [
        ("bit lines", f"{limit.bl_v[0]:g} … {limit.bl_v[1]:g} V"),
        ("word lines", f"{limit.wl_v[0]:g} … {limit.wl_v[1]:g} V"),
        ("reads", f"±{limit.read_v:g} V"),
        ("inputs", f"±{board.levels.input_v:g} V"),
        ("pulses per cell", f"{limit.pulses_per_cell}"), ("silence of the host", f"{limit.host_silence_s:g} s"),
    ]  # fmt: skip
    for name, kind in (("SET", limit.set), ("RESET", limit.reset), ("forming", limit.form)):
        widths = " … ".join(f"{width * 1e6:g}" for width in kind.width_s)
        rows.append((name, f"≤ {kind.amplitude_v[1]:g} V, gate ≤ {kind.gate_v[1]:g} V, {widths} µs"))
    return rows


def tell_read(now: Snapshot, crossbar: Crossbar, array: int = 0) -> None:
    """A read of write-verify, with the pulses before it."""
    if not live.listening():
        return
    if now.cycle == 1:
        live.tell(
            "programming",
            array=array,
            shape=list(now.g_read_s.shape),
            target=live.packed(now.g_target_s),
            states=STATES,
        )
    live.tell(
        "read", array=array, cycle=now.cycle, done=now.cells_done, total=now.cells, g=live.packed(now.g_read_s),
        state=live.packed(_states(now.g_target_s, now.done, now.failure), "u1"),
        amplitude=live.packed(now.amplitude_v), gate=live.packed(now.gate_v),
        pulses=int(now.pulses.sum()), board_time_s=crossbar.board_time_s,
    )  # fmt: skip


def tell_programmed(result: WriteVerifyResult, array: int = 0) -> None:
    """What programming an array gave: the mean of the last reads, which the run file will hold."""
    if not live.listening():
        return
    live.tell(
        "programmed", array=array, g=live.packed(result.g_read_s), cycles=live.packed(result.cycles, "<i4"),
        pulses=live.packed(result.pulses, "<i4"), noise_s=result.noise_s,
        state=live.packed(_states(result.g_target_s, np.ones(result.failure.shape, bool), result.failure), "u1"),
        failures=[[c.sl, c.bl, f"{c.failure.name.lower()}: {c.reason}"] for c in result.failures],
    )  # fmt: skip


def _states(target_s: Array, done: NDArray[np.bool_], failure: NDArray[np.int8]) -> NDArray[np.uint8]:
    state = np.where(failure > 0, DONE + failure, np.where(done, DONE, IN_WORK))
    return np.where(np.isfinite(target_s), state, LEFT_ALONE).astype(np.uint8)


@contextmanager
def telling_reads(crossbar: Crossbar) -> Iterator[None]:
    """Within this context who looks on sees what is read of the array: the first read, the last, and some between."""
    if not live.listening():
        yield
        return
    seldom, number = live.Seldom(5e-3, 0.1, 10.0), 0
    untold: Array | None = None

    def tell(conductance_s: Array) -> None:
        live.tell(
            "conductances", number=number, shape=list(crossbar.shape), g=live.packed(conductance_s),
            board_time_s=crossbar.board_time_s,
        )  # fmt: skip

    def on_read(conductance_s: Array) -> None:
        nonlocal number, untold
        number += 1
        untold = None if seldom.due() else conductance_s
        if untold is None:
            tell(conductance_s)

    crossbar.on_read = on_read
    try:
        yield
    finally:
        crossbar.on_read = None
        if untold is not None:
            tell(untold)


def tell_products(title: str, expected_a: Array, got_a: Array) -> None:
    """Products beside what they should be, A; of many, evenly spaced ones."""
    if not live.listening():
        return
    expected, got = np.ravel(expected_a), np.ravel(got_a)
    rms_a = float(np.sqrt(np.mean((got - expected) ** 2)))
    every = max(1, -(-expected.size // LARGEST_SCATTER))
    live.tell(
        "products", title=title, count=expected.size, rms_a=rms_a,
        expected=live.packed(expected[::every]), got=live.packed(got[::every]),
    )  # fmt: skip


def tell_sampling(**numbers: Any) -> None:
    """Numbers of a sampler, as it goes: ess, acceptance, …"""
    live.tell("sampling", **live.finite(numbers))


def tell_observables(sampler: str, action: str, estimates: Mapping[str, Estimate], names: Mapping[str, str]) -> None:
    """Observables with errors. sampler: hmc, or what the layers were. action: its title, the same for all samplers.

    names: what the observables are called, in the order of the table."""
    if live.listening():
        live.tell("observables", sampler=sampler, action=action, rows=observable_rows(estimates, names))


def observable_rows(estimates: Mapping[str, Estimate], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Observables as a page shows them."""
    return [
        live.finite({
            "name": names[key], "value": float(e.value), "error": float(e.error), "tau_int": float(e.tau_int),
            "expected": None if e.expected is None else float(e.expected),
        })
        for key, e in ((key, estimates[key]) for key in names if key in estimates)
    ]  # fmt: skip
