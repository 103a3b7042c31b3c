"""The one-dimensional density of a site between given neighbours, p(x | h) ∝ exp(−V(x) + κhx), compiled by numba.

Arguments in common: `site` and `hopping` are V and κ (`kernels.site_constants`); `table`, `scale` are the tables of
log z that `anf.lattice.site_tables` makes: log z(h) = scale.quadratic · h² + Hermite(table, h folded into one period).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from anf.lattice.kernels import Site

_compiled = njit(cache=True, error_model="numpy")


class Scale(NamedTuple):
    """How a table of log z covers h. period = 0: by |h| up to top, beyond by quadrature; else log z − quadratic · h²
    has this period, and top = period."""

    top: float
    period: float
    quadratic: float


@_compiled
def potential(x: float, site: Site) -> float:
    """V(x)."""
    quadratic, quartic, cosine, frequency = site
    value = x * x * (quadratic + quartic * x * x)
    return value - cosine * math.cos(frequency * x) if cosine != 0.0 else value


@_compiled
def outer_minimum(h: float, site: Site, hopping: float) -> float:
    """The largest x with 2ax + 4qx³ = κ|h|, a and q the quadratic and the quartic coefficient: where the density of a
    strong field sits, but for the cosine."""
    a, q = site[0], site[1]
    k = hopping * abs(h)
    low = math.sqrt(max(0.0, -a / (6.0 * q))) if q > 0.0 else 0.0  # from here on the left side rises
    high = low + 1.0
    while 2.0 * a * high + 4.0 * q * high**3 < k:
        high *= 2.0
    for _ in range(200):
        x = 0.5 * (low + high)
        if x <= low or x >= high:
            break
        if 2.0 * a * x + 4.0 * q * x**3 < k:
            low = x
        else:
            high = x
    return 0.5 * (low + high)


@_compiled
def window(h: float, site: Site, hopping: float, depth: float) -> tuple[float, float]:
    """R and the scale of x within which the density changes: for |x| > R it is e^(−depth) below its maximum or less."""
    a, q, cosine, frequency = site
    k = hopping * abs(h)
    x = outer_minimum(h, site, hopping)
    best = k * x - x * x * (a + q * x * x)
    edge = x + 1e-3
    while k * edge - edge * edge * (a + q * edge * edge) > best - depth - 2.0 * abs(cosine):
        edge += 0.1 * (edge - x) + 1e-3
    curvature = 2.0 * abs(a) + 12.0 * q * x * x + 4.0 * math.sqrt(q) + abs(cosine) * frequency**2
    return edge, 1.0 / math.sqrt(curvature)


@_compiled
def quadrature(h: float, site: Site, hopping: float) -> tuple[float, float]:
    """log z(h) and its slope κ⟨x⟩, by the trapezoidal rule, which converges exponentially here: 12 digits."""
    edge, width = window(h, site, hopping, 45.0)
    n = int(2.0 * edge / (0.2 * width)) + 2
    step = 2.0 * edge / n
    best = -math.inf
    for i in range(n + 1):
        x = -edge + i * step
        best = max(best, hopping * h * x - potential(x, site))
    total = first = 0.0
    for i in range(n + 1):
        x = -edge + i * step
        p = math.exp(hopping * h * x - potential(x, site) - best)
        total += p
        first += p * x
    return best + math.log(total * step), hopping * first / total


@_compiled
def log_z(h: float, table: np.ndarray, scale: Scale, site: Site, hopping: float) -> tuple[float, float]:
    """log z(h) and its slope in h, from the table where it reaches."""
    folded = h - scale.period * math.floor(h / scale.period) if scale.period > 0.0 else abs(h)
    if not folded <= scale.top:
        if h - h != 0.0:  # not finite
            return math.nan, math.nan
        if folded > 100.0 * scale.top:
            # Far out the density is a narrow Gaussian: two terms of the expansion about its top, good to 10⁻⁹.
            x = outer_minimum(h, site, hopping)
            v2, v3, v4 = 2.0 * site[0] + 12.0 * site[1] * x * x, 24.0 * site[1] * x, 24.0 * site[1]
            value = hopping * folded * x - potential(x, site) + 0.5 * math.log(2.0 * math.pi / v2)
            mean = x - 0.5 * v3 / (v2 * v2)
            return value - v4 / (8.0 * v2 * v2) + 5.0 * v3 * v3 / (24.0 * v2**3), math.copysign(hopping * mean, h)
        return quadrature(h, site, hopping)
    last = table.shape[0] - 2
    spacing = scale.top / (last + 1)
    t = folded / spacing
    i = min(int(t), last)
    t -= i
    f0, f1 = table[i, 0], table[i + 1, 0]
    g0, g1 = table[i, 1] * spacing, table[i + 1, 1] * spacing
    rise = f1 - f0
    c2, c3 = 3.0 * rise - 2.0 * g0 - g1, g0 + g1 - 2.0 * rise
    value = f0 + t * (g0 + t * (c2 + t * c3))
    slope = (g0 + t * (2.0 * c2 + 3.0 * t * c3)) / spacing
    if scale.period == 0.0 and h < 0.0:
        slope = -slope
    return value + scale.quadratic * h * h, slope + 2.0 * scale.quadratic * h


@_compiled
def field_of(half: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """h (V/2, n) float64 on the other half, from this half (V/2, n)."""
    h = np.empty(half.shape)
    for i in range(neighbours.shape[0]):
        a, b, c, d = neighbours[i]
        for k in range(half.shape[1]):
            h[i, k] = np.float64(half[a, k]) + half[b, k] + half[c, k] + half[d, k]
    return h


@_compiled
def effective_action(
    even: np.ndarray,
    odd_neighbours: np.ndarray,
    even_neighbours: np.ndarray,
    table: np.ndarray,
    scale: Scale,
    site: Site,
    hopping: float,
    value: np.ndarray,
    gradient: np.ndarray,
    slopes: np.ndarray,
) -> None:
    """S_eff into value (n,) and its gradient into gradient (V/2, n); slopes (V/2, n) is work space."""
    half, n = even.shape
    quadratic, quartic, cosine, frequency = site
    value[:] = 0.0
    for j in range(half):
        a, b, c, d = odd_neighbours[j]
        for k in range(n):
            h = np.float64(even[a, k]) + even[b, k] + even[c, k] + even[d, k]
            f, slopes[j, k] = log_z(h, table, scale, site, hopping)
            value[k] -= f
    for i in range(half):
        a, b, c, d = even_neighbours[i]
        for k in range(n):
            x = np.float64(even[i, k])
            value[k] += x * x * (quadratic + quartic * x * x)
            force = x * (2.0 * quadratic + 4.0 * quartic * x * x)
            gradient[i, k] = force - slopes[a, k] - slopes[b, k] - slopes[c, k] - slopes[d, k]
        if cosine != 0.0:
            for k in range(n):
                angle = frequency * np.float64(even[i, k])
                value[k] -= cosine * math.cos(angle)
                gradient[i, k] += cosine * frequency * math.sin(angle)


@_compiled
def log_density(
    x: np.ndarray, h: np.ndarray, table: np.ndarray, scale: Scale, site: Site, hopping: float, out: np.ndarray
) -> None:
    """Σ over sites of log p(x | h), (V/2, n) -> out (n,)."""
    out[:] = 0.0
    for j in range(x.shape[0]):
        for k in range(x.shape[1]):
            here = np.float64(x[j, k])
            out[k] += hopping * h[j, k] * here - potential(here, site) - log_z(h[j, k], table, scale, site, hopping)[0]


@_compiled
def map_value(z: float, lower: np.ndarray, upper: np.ndarray, weight: float, top: float) -> tuple[float, float]:
    """(1 − weight) · lower + weight · upper at z and its slope. Both (n, 2) are values and slopes of monotone maps on
    −top … top, continued as straight lines."""
    last = lower.shape[0] - 2
    spacing = 2.0 * top / (last + 1)
    inside = min(max(z, -top), top)
    t = (inside + top) / spacing
    i = min(int(t), last)
    t -= i
    f0 = lower[i, 0] + weight * (upper[i, 0] - lower[i, 0])
    f1 = lower[i + 1, 0] + weight * (upper[i + 1, 0] - lower[i + 1, 0])
    g0 = (lower[i, 1] + weight * (upper[i, 1] - lower[i, 1])) * spacing
    g1 = (lower[i + 1, 1] + weight * (upper[i + 1, 1] - lower[i + 1, 1])) * spacing
    rise = f1 - f0
    c2, c3 = 3.0 * rise - 2.0 * g0 - g1, g0 + g1 - 2.0 * rise
    slope = (g0 + t * (2.0 * c2 + 3.0 * t * c3)) / spacing
    return f0 + t * (g0 + t * (c2 + t * c3)) + slope * (z - inside), slope


@_compiled
def propose(
    z: float,
    h: float,
    maps: np.ndarray,
    top_z: float,
    table: np.ndarray,
    scale: Scale,
    site: Site,
    hopping: float,
) -> tuple[float, float]:
    """x = T(z; h) and log of p(x | h) / p̂(x | h), p̂ the density of T of a normal number."""
    a, q = site[0], site[1]
    if scale.period > 0.0:
        folded, sign, centre = h - scale.period * math.floor(h / scale.period), 1.0, hopping * h / (2.0 * a)
    else:
        folded, sign, centre = abs(h), math.copysign(1.0, h), 0.0
    if folded > scale.top:
        # Beyond the table the potential is steep: it lies above its tangent at x₀ by q (x−x₀)² (x+x₀)² more than a
        # parabola does, so that a Gaussian bounds the density.
        x0 = outer_minimum(h, site, hopping)
        x = x0 + z / math.sqrt(2.0 * (2.0 * q * x0 * x0 + a))
        return sign * x, -q * ((x - x0) * (x + x0)) ** 2
    t = folded / scale.top * (maps.shape[0] - 1)
    i = min(int(t), maps.shape[0] - 2)
    y, slope = map_value(sign * z, maps[i], maps[i + 1], t - i, top_z)
    x = centre + sign * y
    log_p = hopping * h * x - potential(x, site) - log_z(h, table, scale, site, hopping)[0]
    return x, log_p + 0.5 * z * z + 0.5 * math.log(2.0 * math.pi) + math.log(slope)


@_compiled
def draw_sites(
    z: np.ndarray,
    log_u: np.ndarray,
    h: np.ndarray,
    maps: np.ndarray,
    top_z: float,
    log_bound: float,
    table: np.ndarray,
    scale: Scale,
    site: Site,
    hopping: float,
    x: np.ndarray,
    accepted: np.ndarray,
) -> float:
    """One trial for each field h (m,) by normal numbers z and log-uniform ones: x (m,), whether it is accepted (m,).
    Returns the largest log ratio met within the table, which must not exceed log_bound."""
    worst = -math.inf
    for k in range(h.shape[0]):
        x[k], log_ratio = propose(z[k], h[k], maps, top_z, table, scale, site, hopping)
        bound = log_bound if scale.period > 0.0 or abs(h[k]) <= scale.top else 0.0
        worst = max(worst, log_ratio - bound)
        accepted[k] = log_u[k] < log_ratio - bound
    return worst


@_compiled
def fill_map(h: float, z: np.ndarray, log_norm: float, site: Site, hopping: float, out: np.ndarray) -> None:
    """out (n, 2): x(z) with the distribution function of p(x | h) at x equal to that of a unit normal at z, and dx/dz;
    log_norm is log z(h). From both sides, so that the upper tail is as good as the lower."""
    edge, width = window(h, site, hopping, 60.0)
    m = int(2.0 * edge / (0.02 * width)) + 2
    step = 2.0 * edge / m
    for side in (-1.0, 1.0):
        x = side * edge
        p = math.exp(hopping * h * x - potential(x, site) - log_norm)
        mass = p * step
        i = 0 if side < 0.0 else z.shape[0] - 1
        for _ in range(m):
            x_next = x - side * step
            p_next = math.exp(hopping * h * x_next - potential(x_next, site) - log_norm)
            mass_next = mass + 0.5 * step * (p + p_next)
            while 0 <= i < z.shape[0] and (z[i] <= 0.0 if side < 0.0 else z[i] > 0.0):
                target = 0.5 * math.erfc(abs(z[i]) / math.sqrt(2.0))
                if target > mass_next:
                    break
                part = math.log(target / mass) / math.log(mass_next / mass) if target > mass else 0.0
                at = x + part * (x_next - x)
                density = math.exp(hopping * h * at - potential(at, site) - log_norm)
                out[i, 0] = at
                out[i, 1] = math.exp(-0.5 * z[i] * z[i]) / math.sqrt(2.0 * math.pi) / density
                i += 1 if side < 0.0 else -1
            x, p, mass = x_next, p_next, mass_next
