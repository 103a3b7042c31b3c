"""The inner loops of the Markov-chain samplers, compiled by numba. Chains stand side by side, batch *last*.

A field is ``(Lx, Ly, n)`` float64. `site` is what `site_constants` makes of a `SitePotential`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from anf.lattice.actions import Action

compiled = njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
# No nnan, no ninf: a trajectory that runs away must be seen.

Site = tuple[float, float, float, float]


def site_constants(action: Action) -> Site:
    """(quadratic, quartic, cosine, frequency) of the potential of one site."""
    site = action.site
    return site.quadratic, site.quartic, site.cosine, site.frequency


@compiled
def sine(turns: float) -> float:
    """sin(2π · turns) to 6·10⁻⁸, without a branch, so that a loop over it becomes vector code."""
    x = turns - math.floor(turns + 0.5)
    y = 2.0 * math.pi * min(abs(x), 0.5 - abs(x))  # within a quarter turn
    s = y * y
    terms = s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0 - s / 39916800.0))))
    return math.copysign(y + y * terms, x)


@compiled
def _kick_row(phi: np.ndarray, momentum: np.ndarray, x: int, scale: float, site: Site, hopping: float) -> None:
    """momentum −= scale · ∂S/∂φ on row x. Any force that is a function of φ alone keeps HMC exact; this is S's to
    10⁻⁷."""
    lx, ly, n = phi.shape
    quadratic, quartic, cosine, frequency = site
    linear, cubic = 2.0 * quadratic, 4.0 * quartic
    amplitude, turns = cosine * frequency, frequency / (2.0 * math.pi)
    up, down = (x + 1) % lx, (x - 1) % lx
    for y in range(ly):
        right, left = (y + 1) % ly, (y - 1) % ly
        for k in range(n):
            f = phi[x, y, k]
            neighbours = phi[up, y, k] + phi[down, y, k] + phi[x, right, k] + phi[x, left, k]
            momentum[x, y, k] -= scale * (f * (linear + cubic * f * f) - hopping * neighbours)
        if amplitude != 0.0:
            for k in range(n):
                momentum[x, y, k] -= scale * amplitude * sine(turns * phi[x, y, k])


@compiled
def _drift_row(phi: np.ndarray, momentum: np.ndarray, x: int, step: float) -> None:
    for y in range(phi.shape[1]):
        for k in range(phi.shape[2]):
            phi[x, y, k] += step * momentum[x, y, k]


@compiled
def kick(phi: np.ndarray, momentum: np.ndarray, scale: float, site: Site, hopping: float) -> None:
    """momentum −= scale · ∂S/∂φ, in place."""
    for x in range(phi.shape[0]):
        _kick_row(phi, momentum, x, scale, site, hopping)


@compiled
def leapfrog(phi: np.ndarray, momentum: np.ndarray, step: float, n_steps: int, site: Site, hopping: float) -> None:
    """Half a kick, then n_steps drifts with a kick after each, the last one half again; in place."""
    lx = phi.shape[0]
    kick(phi, momentum, 0.5 * step, site, hopping)
    for k in range(n_steps):
        scale = step * (0.5 if k == n_steps - 1 else 1.0)
        # A row is kicked as soon as it and the rows beside it have drifted, while they are in the nearest cache.
        _drift_row(phi, momentum, lx - 1, step)
        _drift_row(phi, momentum, 0, step)
        for x in range(lx - 1):
            if x + 1 < lx - 1:
                _drift_row(phi, momentum, x + 1, step)
            _kick_row(phi, momentum, x, scale, site, hopping)
        _kick_row(phi, momentum, lx - 1, scale, site, hopping)


@compiled
def action_values(phi: np.ndarray, site: Site, hopping: float, out: np.ndarray) -> None:
    """S of each chain into out ``(n,)``."""
    lx, ly, n = phi.shape
    quadratic, quartic, cosine, frequency = site
    out[:] = 0.0
    for x in range(lx):
        for y in range(ly):
            for k in range(n):
                f = phi[x, y, k]
                bonds = phi[(x + 1) % lx, y, k] + phi[x, (y + 1) % ly, k]
                out[k] += f * (f * (quadratic + quartic * f * f) - hopping * bonds)
            if cosine != 0.0:
                for k in range(n):
                    out[k] -= cosine * math.cos(frequency * phi[x, y, k])


@compiled
def kinetic_values(momentum: np.ndarray, out: np.ndarray) -> None:
    """½ Σ π² of each chain into out ``(n,)``."""
    out[:] = 0.0
    for x in range(momentum.shape[0]):
        for y in range(momentum.shape[1]):
            for k in range(momentum.shape[2]):
                out[k] += 0.5 * momentum[x, y, k] * momentum[x, y, k]


@compiled
def put_back(phi: np.ndarray, old: np.ndarray, keep: np.ndarray) -> None:
    """phi = old for the chains that `keep` ``(n,)`` bool refuses."""
    for x in range(phi.shape[0]):
        for y in range(phi.shape[1]):
            for k in range(phi.shape[2]):
                if not keep[k]:
                    phi[x, y, k] = old[x, y, k]


@compiled
def _uniform(state: np.ndarray, k: int) -> float:
    """A number in [0, 1) from stream k of `state` (n,) uint64: SplitMix64 (Steele, Lea and Flood 2014)."""
    state[k] += np.uint64(0x9E3779B97F4A7C15)
    z = state[k]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) / 9007199254740992.0


@compiled
def flip_clusters(phi: np.ndarray, hopping: float, random: np.ndarray, work: np.ndarray) -> None:
    """One Wolff cluster of each chain: the signs of φ are Ising spins with couplings κ|φ_x φ_y|; in place.

    A bond is in the cluster with probability 1 − exp(−2κ φ_x φ_y), if that is above 0 (Brower and Tamayo 1989).
    random: ``(n,)`` uint64, one stream of random numbers for each chain, advanced.  work: ``(3, V)`` int64.
    """
    lx, ly, n = phi.shape
    volume = lx * ly
    stack, inside, members = work[0], work[1], work[2]
    inside[:] = 0
    for k in range(n):
        first = min(int(_uniform(random, k) * volume), volume - 1)
        stack[0] = members[0] = first
        inside[first] = 1
        height, size = 1, 1
        while height:
            height -= 1
            x, y = stack[height] // ly, stack[height] % ly
            for direction in range(4):
                across = x if direction > 1 else ((x + 1) % lx if direction == 0 else (x - 1) % lx)
                along = y if direction < 2 else ((y + 1) % ly if direction == 2 else (y - 1) % ly)
                other = across * ly + along
                if inside[other]:
                    continue
                if _uniform(random, k) < 1.0 - math.exp(-2.0 * hopping * phi[x, y, k] * phi[across, along, k]):
                    inside[other] = 1
                    stack[height] = members[size] = other
                    height += 1
                    size += 1
        for i in range(size):
            at = members[i]
            phi[at // ly, at % ly, k] = -phi[at // ly, at % ly, k]
            inside[at] = 0


@compiled
def cluster_products(phi: np.ndarray, force: np.ndarray, hopping: float, random: np.ndarray, out: np.ndarray) -> None:
    """Divide each configuration into clusters of signs (all of them, as Swendsen and Wang do; bonds as in
    `flip_clusters`) and sum over them: out[k] = (Σ_c (Σ_{x∈c} φ_x)², Σ_c (Σ_{x∈c} φ_x)(Σ_{x∈c} f_x)).

    phi, force: ``(n, Lx, Ly)``.  random: ``(1,)`` uint64, advanced.  out: ``(n, 2)``.
    """
    n, lx, ly = phi.shape
    volume = lx * ly
    parent = np.empty(volume, np.int64)
    sums = np.empty((2, volume))
    for k in range(n):
        for i in range(volume):
            parent[i] = i
        for x in range(lx):
            for y in range(ly):
                for direction in range(2):
                    across = (x + 1) % lx if direction == 0 else x
                    along = y if direction == 0 else (y + 1) % ly
                    product = phi[k, x, y] * phi[k, across, along]
                    if product <= 0.0 or _uniform(random, 0) >= 1.0 - math.exp(-2.0 * hopping * product):
                        continue
                    a, b = x * ly + y, across * ly + along
                    while parent[a] != a:
                        parent[a] = parent[parent[a]]
                        a = parent[a]
                    while parent[b] != b:
                        parent[b] = parent[parent[b]]
                        b = parent[b]
                    parent[max(a, b)] = min(a, b)
        sums[:] = 0.0
        out[k] = 0.0
        for i in range(volume):
            # Roots have the smallest number of their cluster, so that a parent is known before its children.
            parent[i] = parent[parent[i]]
            sums[0, parent[i]] += phi[k, i // ly, i % ly]
            sums[1, parent[i]] += force[k, i // ly, i % ly]
        for i in range(volume):
            out[k, 0] += sums[0, i] * sums[0, i]
            out[k, 1] += sums[0, i] * sums[1, i]
