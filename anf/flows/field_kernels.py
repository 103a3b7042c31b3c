"""The element-wise part of a split step, compiled by numba. Arrays are batch last."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_compiled = njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})


# 1/3!, 1/5! … with their signs, and 1/2!, 1/4! …: within an eighth of a turn the next term is below 10⁻¹⁷.
_SINE = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(1, 8))
_COSINE = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(1, 9))
# A quarter turn in three parts: multiples of the first are exact, the last is what double precision leaves of π/2.
_QUARTER = (1.5703125, math.pi / 2 - 1.5703125, math.cos(math.pi / 2))


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def sines(x: np.ndarray, omega: np.ndarray, sine: np.ndarray, cosine: np.ndarray) -> None:
    """sin(ω_f x) and cos(ω_f x) of x (m, n) into sine and cosine (F, m, n), to rounding in either precision.

    Without a branch, so that it becomes vector code, several times as fast as two calls of a library. Exactly odd and
    even.
    """
    n_sines, m, n = sine.shape
    of = x.dtype.type
    a1, a2, a3 = of(_QUARTER[0]), of(_QUARTER[1]), of(_QUARTER[2])
    s1, s2, s3, s4, s5, s6, s7 = _SINE
    c1, c2, c3, c4, c5, c6, c7, c8 = _COSINE
    per_turn, one = of(2.0 / math.pi), of(1.0)
    for f in range(n_sines):
        for i in range(m):
            for k in range(n):
                angle = omega[f] * x[i, k]
                q = np.rint(angle * per_turn)
                r = ((angle - q * a1) - q * a2) - q * a3
                z = r * r
                odd = z * (
                    of(s1) + z * (of(s2) + z * (of(s3) + z * (of(s4) + z * (of(s5) + z * (of(s6) + z * of(s7))))))
                )
                even = of(c5) + z * (of(c6) + z * (of(c7) + z * of(c8)))
                even = one + z * (of(c1) + z * (of(c2) + z * (of(c3) + z * (of(c4) + z * even))))
                odd = r + r * odd
                quadrant = np.int32(q)
                swapped = (quadrant & 1) != 0
                high, wide = (even, odd) if swapped else (odd, even)
                sine[f, i, k] = -high if (quadrant & 2) != 0 else high
                cosine[f, i, k] = -wide if ((quadrant + 1) & 2) != 0 else wide


@_compiled
def advance(
    inflow: np.ndarray,
    features: np.ndarray,
    cosines: np.ndarray,
    own: np.ndarray,
    omega: np.ndarray,
    step: float,
    score: np.ndarray,
    carry_score: bool,
    slopes: np.ndarray,
    jacobian: np.ndarray,
) -> None:
    """x ← x + step · [inflow + own₀ x + Σ_f own_f sin(ω_f x)] for one colour, in place in features[0].

    inflow, slopes: (m, n).  features: (1 + F, m, n), x and its sines.  cosines: (F, m, n).  slopes gets ∂x'/∂x and
    jacobian (n,) float64 is multiplied by their product.  score (m, n): d log q/dx → d log q/dx', with carry_score.
    """
    n_sines, m, n = cosines.shape
    one, h = features.dtype.type(1.0), features.dtype.type(step)  # everything in the precision of the field
    for i in range(m):
        drift, slope, bend = np.empty(n, features.dtype), np.empty(n, features.dtype), np.zeros(n, features.dtype)
        for k in range(n):
            drift[k] = inflow[i, k] + own[0] * features[0, i, k]
            slope[k] = own[0]
        for f in range(n_sines):
            amplitude, first = own[1 + f], own[1 + f] * omega[f]
            second = first * omega[f]
            for k in range(n):
                drift[k] += amplitude * features[1 + f, i, k]
                slope[k] += first * cosines[f, i, k]
                bend[k] -= second * features[1 + f, i, k]
        for k in range(n):
            slope[k] = one + h * slope[k]
            slopes[i, k] = slope[k]
            features[0, i, k] += h * drift[k]
        for k in range(n):
            jacobian[k] *= slope[k]
        if carry_score:
            for k in range(n):
                score[i, k] = (score[i, k] - h * bend[k] / slope[k]) / slope[k]


@_compiled
def pull(
    pulled: np.ndarray,
    features: np.ndarray,
    cosines: np.ndarray,
    omega: np.ndarray,
    scale: float,
    out: np.ndarray,
    omega_grad: np.ndarray,
    with_omega: bool,
) -> None:
    """out += scale · Σ_f ∂feature_f/∂x · pulled_f: a vector over features (C, 1 + F, m, n) back to the sites (C, m, n).

    cosines: (C, F, m, n). With with_omega, omega_grad (F,) float64 gets the derivative by the frequencies.
    """
    colours, n_sines, m, n = cosines.shape
    h = out.dtype.type(scale)
    for c in range(colours):
        for i in range(m):
            for k in range(n):
                out[c, i, k] += h * pulled[c, 0, i, k]
            for f in range(n_sines):
                factor = h * omega[f]
                for k in range(n):
                    out[c, i, k] += factor * cosines[c, f, i, k] * pulled[c, 1 + f, i, k]
                if with_omega:
                    total = features.dtype.type(0.0)
                    for k in range(n):
                        total += features[c, 0, i, k] * cosines[c, f, i, k] * pulled[c, 1 + f, i, k]
                    omega_grad[f] += scale * total


@_compiled
def solve(
    image: np.ndarray, own: np.ndarray, omega: np.ndarray, step: float, x: np.ndarray, jacobian: np.ndarray
) -> None:
    """The inverse of `advance`: x (m, n) with x + step · [own₀ x + Σ_f own_f sin(ω_f x)] = image, and jacobian (n,)
    multiplied by the slopes at x. Newton steps kept within a bracket; the slope must be positive everywhere."""
    m, n = image.shape
    reach = 0.0
    for f in range(omega.shape[0]):
        reach += abs(step * own[1 + f])
    linear = 1.0 + step * own[0]
    for i in range(m):
        for k in range(n):
            target = np.float64(image[i, k])
            low, high = (target - reach) / linear, (target + reach) / linear
            at = target / linear
            slope = linear
            for _ in range(200):
                value, slope = linear * at - target, linear
                for f in range(omega.shape[0]):
                    value += step * own[1 + f] * np.sin(omega[f] * at)
                    slope += step * own[1 + f] * omega[f] * np.cos(omega[f] * at)
                if value > 0.0:
                    high = at
                else:
                    low = at
                following = at - value / slope
                if not low <= following <= high:
                    following = 0.5 * (low + high)
                moved = abs(following - at)
                at = following
                if moved <= 1e-15 * (1.0 + abs(at)):
                    break
            x[i, k] = at
            slope = linear
            for f in range(omega.shape[0]):
                slope += step * own[1 + f] * omega[f] * np.cos(omega[f] * at)
            jacobian[k] *= slope
