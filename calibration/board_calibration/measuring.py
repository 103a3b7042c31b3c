"""What all calibrations measure with: means of codes and their scatter, progress, errors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drivers import dac
from drivers.board import Board
from drivers.crossbar import Crossbar
from drivers.estimate import Estimate, Shared
from drivers.line_control import READ, ReadState
from firmware_bridge.errors import BoardError

Array = NDArray[np.float64]
ROUNDING = 1 / np.sqrt(12.0)
"""Standard deviation of rounding to whole codes: what a code that never changes is still uncertain by."""
Progress = Callable[[float, float, str], None]
"""progress(done, total, note)"""


class CalibrationError(BoardError):
    """A calibration that cannot give what it was asked for: which quantity, why, and what to do."""


def silent(done: float, total: float, note: str = "") -> None:
    """No progress shown."""


@dataclass(frozen=True)
class Means:
    """mean: (m, n_sl) codes. error: (m, n_sl) standard error of each."""

    mean: Array
    error: Array


def mean_codes(crossbar: Crossbar, bl_code: NDArray, repeats: int, state: ReadState = READ) -> Means:
    """Means over `repeats` passes through the DAC codes (m, n_bl), rounded to whole codes."""
    vectors = np.rint(np.atleast_2d(bl_code)).astype(np.uint16)
    codes = crossbar.convert(np.tile(vectors, (repeats, 1)), state)
    passes = codes.reshape(repeats, len(vectors), crossbar.shape[0]).astype(float)
    # Pooled over the vectors: a single one's scatter is known too badly.
    deviation = np.maximum(np.sqrt(passes.var(axis=0, ddof=1).mean(axis=0)), ROUNDING)
    mean = passes.mean(axis=0)
    return Means(mean, np.broadcast_to(deviation / np.sqrt(repeats), mean.shape))


def slopes(crossbar: Crossbar, centre: Array, state: ReadState, repeats: int) -> Means:
    """Codes per DAC code of every cell, mean (n_bl, n_sl), around the DAC codes `centre` (n_bl,)."""
    patterns, step = crossbar.patterns, verify_codes(crossbar.board)
    seen = mean_codes(crossbar, centre + step * patterns.signs, repeats, state)
    error = np.sqrt((patterns.solution**2) @ seen.error**2)
    return Means(patterns.solution @ seen.mean / step, error / step)


def vcm_code(board: Board) -> float:
    """DAC code that the board file gives the common mode."""
    return board.wiring.vcm_v / board.dac.span_v * dac.FULL_SCALE


def verify_codes(board: Board) -> int:
    """DAC codes from the common mode to the voltage of array reads."""
    return round(board.levels.verify_v / board.dac.span_v * dac.FULL_SCALE)


@dataclass(frozen=True)
class Fit:
    """A linear least-squares fit. value, covariance: parameters and theirs. residual: what is left, same as the data.
    dof: degrees of freedom."""

    value: Array
    covariance: Array
    residual: Array
    dof: int

    @property
    def error(self) -> Array:
        """Standard uncertainty of each parameter."""
        return np.sqrt(np.diag(self.covariance))


def fit(design: Array, data: Array, error: Array | float, names: tuple[str, ...]) -> Fit:
    """Weighted linear least squares, ``data = design · parameters``, with standard errors of the data.

    Raises `CalibrationError` naming the parameters that the data cannot tell from one another.
    """
    weight = 1.0 / np.broadcast_to(error, data.shape)
    rows, scale = design * weight[:, None], np.sqrt((design**2).sum(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    _, singular, v = np.linalg.svd(rows / scale, full_matrices=False)
    if len(data) < design.shape[1] or singular[-1] < 1e-9 * singular[0]:
        lost = np.abs(v[-1]) > 0.1
        raise CalibrationError(
            f"not identifiable: {', '.join(n for n, bad in zip(names, lost, strict=True) if bad)}; "
            f"{len(data)} observations do not tell them apart"
        )
    covariance = (v.T / singular**2) @ v / np.outer(scale, scale)
    value = covariance @ (rows.T @ (data * weight))
    return Fit(value, covariance, data - design @ value, len(data) - design.shape[1])


def uniform(effect: Array) -> Shared:
    """An error that a tolerance or a data sheet bounds."""
    return Shared(distribution="uniform", effect=effect)


def estimate(unit: str, value: Array, scatter: Array, rests_on: str, **more: Any) -> Estimate:
    """An `Estimate` of arrays, scalars spread over all values."""
    value = np.atleast_1d(np.asarray(value, float))
    return Estimate(unit=unit, value=value, scatter=np.broadcast_to(scatter, value.shape), rests_on=rests_on, **more)


class Notes(Protocol):
    """What has been measured by hand, so that a calibration that is begun again need not ask for it twice."""

    def keep(self, name: str, measure: Callable[[], Array]) -> Array:
        """The numbers (n,) that are noted under `name`; if there are none, those that `measure` gives, noted now."""


class NoNotes:
    """Everything is measured."""

    def keep(self, name: str, measure: Callable[[], Array]) -> Array:
        """What `measure` gives."""
        return measure()


class Steps:
    """Progress of a calibration through named steps of about equal length."""

    def __init__(self, progress: Progress, total: int, notes: Notes | None = None) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._notes = NoNotes() if notes is None else notes

    def over(self, items: Sequence, note: str) -> Iterator:
        """Items, each a step."""
        for item in items:
            yield item
            self.step(note)

    def noted(self, items: Sequence[int | str], note: str, measure: Callable[[Any], Array]) -> Array:
        """What `measure` gives for each item, (items, n): each a step, and by hand, so that it is noted."""
        return np.array([self.keep(f"{note} {i}", functools.partial(measure, i)) for i in self.over(items, note)])

    def keep(self, name: str, measure: Callable[[], Array]) -> Array:
        """As `Notes.keep`."""
        return self._notes.keep(name, measure)

    def step(self, note: str) -> None:
        """One more is done."""
        self._done += 1
        self._progress(min(self._done, self._total), self._total, note)
