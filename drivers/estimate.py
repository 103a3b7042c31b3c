"""Numbers with their uncertainty: value, scatter, and what they share with other numbers.

After the GUM (JCGM 100): type A is the scatter of what was measured, type B what an instrument's data sheet or a
certificate bounds. A type B error is one number that many results share, and is kept as such: each result carries its
*effect* on itself, with sign. So differences and ratios of results come out right, and covariances need no matrix.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator
from scipy.special import ndtr

Array = NDArray[np.float64]
Distribution = Literal["uniform", "normal"]


def _finite(values: ArrayLike) -> Array:
    array = np.array(values, dtype=float)
    if not np.isfinite(array).all():
        raise ValueError("holds values that are not finite")
    array.flags.writeable = False
    return array


Numbers = Annotated[NDArray, BeforeValidator(_finite), PlainSerializer(lambda array: array.tolist())]


class Shared(BaseModel):
    """An error that several results share.

    effect: (n,) what it does to each of them, in their unit: at one half-width of a uniform error, at one standard
        deviation of a normal one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    distribution: Distribution
    effect: Numbers

    @property
    def variance_of_one(self) -> float:
        """Variance of the error itself, in units of its effect squared."""
        return 1 / 3 if self.distribution == "uniform" else 1.0


class Estimate(BaseModel):
    """One kind of quantity, n of them.

    value: (n,) in `unit`. scatter: (n,) standard uncertainty of type A.
    correlation: (n, n) of the scatter; None: independent.
    shared: type B errors by the name of their source.
    rests_on: the instrument, or what else the values come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    unit: str
    value: Numbers
    scatter: Numbers
    correlation: Numbers | None = None
    shared: dict[str, Shared] = {}
    rests_on: str

    @model_validator(mode="after")
    def _of_one_length(self) -> Estimate:
        n = self.value.shape
        if len(n) != 1 or self.scatter.shape != n or any(s.effect.shape != n for s in self.shared.values()):
            raise ValueError("value, scatter and effects must be lists of equal length")
        if self.correlation is not None and self.correlation.shape != n * 2:
            raise ValueError("correlation must be a square of the length of value")
        if (self.scatter < 0).any():
            raise ValueError("scatter is negative")
        return self

    @property
    def standard_uncertainty(self) -> Array:
        """(n,) combined, types A and B."""
        return np.sqrt(self.scatter**2 + sum((s.effect**2 * s.variance_of_one for s in self.shared.values()), 0.0))

    def covariance(self, other: Estimate | None = None) -> Array:
        """(n, m) with another kind, from the errors that both share; without one, (n, n) of these with one another."""
        one, two = self, other or self
        total = np.zeros((len(one.value), len(two.value)))
        for name in one.shared.keys() & two.shared.keys():
            a, b = one.shared[name], two.shared[name]
            total += a.variance_of_one * np.outer(a.effect, b.effect)
        if other is None:
            correlation = np.eye(len(self.value)) if self.correlation is None else self.correlation
            total += self.scatter[:, None] * correlation * self.scatter
        return total

    def half_width(self) -> Array:
        """(n,) half-width of the interval that holds the true value with 95 % probability.

        The largest bounded error is taken as uniform and everything else together as normal. (Nearly exact, as two
        bounded errors of like size are close to normal: 1.5 % off for two equal ones alone.)
        """
        bounds = [np.abs(s.effect) for s in self.shared.values() if s.distribution == "uniform"]
        largest = np.max(bounds, axis=0) if bounds else np.zeros(len(self.value))
        normal = np.sqrt(np.maximum(self.standard_uncertainty**2 - largest**2 / 3, 0.0))
        return _half_width(largest, normal)


def _half_width(bound: Array, sigma: Array) -> Array:
    """95 % half-width of a uniform error within ±`bound` plus a normal one of `sigma`."""
    angle, factor = _coverage_table()
    size = np.hypot(bound, sigma)
    return size * np.interp(np.arctan2(sigma, bound), angle, factor)


@lru_cache
def _coverage_table() -> tuple[Array, Array]:
    """Half-width over √(bound² + σ²), against the angle whose tangent is σ / bound."""
    angle = np.linspace(0.0, math.pi / 2, 200)
    low, high = np.zeros_like(angle), np.full_like(angle, 2.0)
    bound, sigma = np.cos(angle), np.sin(angle)
    for _ in range(40):
        middle = (low + high) / 2
        inside = _inside(middle, bound, sigma)
        low, high = np.where(inside < 0.95, middle, low), np.where(inside < 0.95, high, middle)
    return angle, (low + high) / 2


def _inside(t: Array, bound: Array, sigma: Array) -> Array:
    """Probability that |uniform(±bound) + normal(σ)| < t."""
    sigma, bound = np.maximum(sigma, 1e-9), np.maximum(bound, 1e-9)

    def primitive(z: Array) -> Array:
        return z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    above = sigma / (2 * bound) * (primitive((t + bound) / sigma) - primitive((t - bound) / sigma))
    # Far out the difference loses its digits, where the sum is normal anyway.
    return np.where(bound < 1e-3 * sigma, 2 * ndtr(t / sigma) - 1, 2 * above - 1)
