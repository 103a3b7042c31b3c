"""What may never happen on the lines, whoever asks: `[limits]` of the board file.

`drivers.interlock` holds a board to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from firmware_bridge.errors import LimitError


class Section(BaseModel):
    """A table of a board file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"({value[0]:g}, {value[1]:g}) runs backwards; write (low, high)")
    return value


Range = Annotated[tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]], AfterValidator(_ordered)]
"""(low, high), both allowed."""
Lines = tuple[Annotated[int, Field(ge=0)], ...]


class Linked(Section):
    """A window: amplitudes that are allowed at these gate voltages, for these widths, on these lines (None: all)."""

    amplitude_v: Range
    gate_v: Range
    width_s: Range
    bl: Lines | None = None
    sl: Lines | None = None

    def within(self, other: Linked) -> bool:
        """Whether all that this allows is allowed by `other` as well."""
        ranges = all(_inside(getattr(self, n), getattr(other, n)) for n in ("amplitude_v", "gate_v", "width_s"))
        lines = ((self.bl, other.bl), (self.sl, other.sl))
        return ranges and all(b is None or (a is not None and set(a) <= set(b)) for a, b in lines)


class PulseLimits(Section):
    """What one kind of pulse may be. Amplitude and gate are relative to the source lines.

    compliance_a: largest current that the transistor of a row may let through; None for no such limit.
    linked: windows, in one of which the pulse of each cell must lie; none if the ranges alone decide.
    """

    amplitude_v: Range
    gate_v: Range
    width_s: Range
    compliance_a: float | None = Field(None, gt=0)
    linked: tuple[Linked, ...] = ()

    def outside_linked(
        self,
        amplitude_v: tuple[float, float],
        gate_v: tuple[float, float],
        width_s: float,
        shape: tuple[int, int],
    ) -> tuple[float, float] | None:
        """Amplitude and gate voltage within these ranges that the windows do not allow on some cell of an array
        (n_sl, n_bl), V; None if they allow all of them, on every cell."""
        if not self.linked:
            return None
        # Lines that are named by the same windows are alike.
        kinds = product(*(
            {tuple((named := getattr(w, kind)) is None or i in named for w in self.linked) for i in range(n)}
            for kind, n in zip(("sl", "bl"), shape, strict=True)
        ))  # fmt: skip
        for sl, bl in kinds:
            here = [
                w for w, *on in zip(self.linked, sl, bl, strict=True)
                if all(on) and w.width_s[0] <= width_s <= w.width_s[1]
            ]  # fmt: skip
            for amplitude in _representatives(amplitude_v, [w.amplitude_v for w in here]):
                for gate in _representatives(gate_v, [w.gate_v for w in here]):
                    point = (amplitude, amplitude), (gate, gate)
                    if not any(_inside(point[0], w.amplitude_v) and _inside(point[1], w.gate_v) for w in here):
                        return amplitude, gate
        return None


def _representatives(span: tuple[float, float], windows: list[tuple[float, float]]) -> list[float]:
    """Values of a range, one in each part of it that the edges of windows divide it into, and those edges."""
    cuts = sorted({*span, *(edge for window in windows for edge in window if span[0] <= edge <= span[1])})
    return [*cuts, *((a + b) / 2 for a, b in pairwise(cuts))]


class Limits(Section):
    """All of them. Sums are over the life of the array."""

    bl_v: Range
    wl_v: Range
    wl_off_v: float = Field(gt=0)
    read_v: float = Field(gt=0)
    read_disturb_v: float = Field(gt=0)
    read_exposure_s: float = Field(gt=0)
    pulse_interval_s: float = Field(gt=0)
    pulses_per_cell: int = Field(gt=0)
    forming_per_cell: int = Field(ge=0)
    dose_per_cell_v2s: float = Field(gt=0)
    host_silence_s: float = Field(gt=0)
    set: PulseLimits
    reset: PulseLimits
    form: PulseLimits

    def refuse_looser(self, new: Limits, board: str) -> None:
        """Raise `LimitError` for the first of `new` limits that allows what these do not."""
        for change in _changes(self, new):
            if change.looser:
                raise LimitError(
                    f"tighten: {change.key}",
                    change.new,
                    change.old,
                    change.unit,
                    source=f"limits of board {board}, which can only be tightened",
                    advice="to loosen a limit, change the board file and power-cycle the board",
                )


class _Change(NamedTuple):
    key: str
    old: float | tuple[float, float]
    new: float
    unit: str
    looser: bool


_SMALLER = {
    "wl_off_v": "V", "read_v": "V", "read_disturb_v": "V", "read_exposure_s": "s", "pulses_per_cell": "",
    "forming_per_cell": "", "dose_per_cell_v2s": "V²·s",
}  # fmt: skip
"""Limits that are closer when they are smaller, with their units; below `wl_off_v` a row does not count as pulsed."""


def _changes(old: Limits, new: Limits) -> Iterator[_Change]:
    for key, unit in _SMALLER.items():
        a, b = getattr(old, key), getattr(new, key)
        yield _Change(key, a, b, unit, b > a)
    yield _Change("pulse_interval_s", old.pulse_interval_s, new.pulse_interval_s, "s",
                  new.pulse_interval_s < old.pulse_interval_s)  # fmt: skip
    for key in ("bl_v", "wl_v"):
        yield from _range_changes(key, getattr(old, key), getattr(new, key), "V")
    for kind in ("set", "reset", "form"):
        yield from _pulse_changes(kind, getattr(old, kind), getattr(new, kind))


def _pulse_changes(kind: str, old: PulseLimits, new: PulseLimits) -> Iterator[_Change]:
    for key, unit in (("amplitude_v", "V"), ("gate_v", "V"), ("width_s", "s")):
        yield from _range_changes(f"{kind}.{key}", getattr(old, key), getattr(new, key), unit)
    if old.compliance_a is not None:
        a, b = old.compliance_a, float("inf") if new.compliance_a is None else new.compliance_a
        yield _Change(f"{kind}.compliance_a", a, b, "A", b > a)
    if old.linked:
        beyond = [w for w in new.linked if not any(w.within(before) for before in old.linked)]
        yield _Change(f"windows of {kind}.linked beyond those before", 0, len(beyond), "", bool(beyond))
        yield _Change(f"{kind}.linked left out", 0, int(not new.linked), "", not new.linked)


def _range_changes(key: str, old: tuple[float, float], new: tuple[float, float], unit: str) -> Iterator[_Change]:
    for value in new:
        yield _Change(key, old, value, unit, not old[0] <= value <= old[1])


def _inside(new: tuple[float, float], old: tuple[float, float]) -> bool:
    return old[0] <= new[0] and new[1] <= old[1]
