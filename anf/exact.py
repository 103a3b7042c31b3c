"""Exact reference numbers for small lattices and for the free field: what every sampler is held against.

φ⁴ on an L × L torus, L ≤ 4. Both bond directions carry the same factor exp(−(φ_x − φ_y)²); on a quadrature grid its
eigenvectors give it as Σ_k h_k(φ_x) h_k(φ_y) with eigenvalues that fall by about ten for each k, so a handful of them
suffice. The integral over each site then leaves one small tensor

    W[k, l, a, b] = ∫ dφ exp(−m²φ² − λφ⁴) h_k h_l h_a h_b,

the torus is a contraction of L² copies, and a row of them is the transfer matrix T, of side (number of h_k)^L. Z = Tr
T^L; an observable is the same trace with φ's put under some of the integrals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anf.actions import lattice_momentum_squared

_BOND_DIMENSION = {1: 16, 2: 12, 3: 9, 4: 7}
_NODES = 96
_VIRIAL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ExactValues:
    """Expectation values with no statistical error.

    free_energy: F = −ln Z, with Z = ∫ Π dφ exp(−S) (eq 2).
    chi2: χ₂ = V⟨M²⟩.  energy: E = ⟨φ_x φ_{x+μ}⟩.  phi2, phi4: ⟨φ²⟩, ⟨φ⁴⟩ per site.
    """

    free_energy: float
    chi2: float
    energy: float
    phi2: float
    phi4: float

    def by_name(self) -> dict[str, float]:
        """The values under the names that `anf.observables.summarise` uses (F comes from the log weights, so it is not
        among them)."""
        return {"chi2": self.chi2, "E": self.energy, "phi2": self.phi2, "phi4": self.phi4}


def free_field(shape: tuple[int, int], m2: float) -> ExactValues:
    """φ⁴ at λ = 0, m² > 0 on any lattice: a Gaussian with spectrum K(p) = 2(p̂² + m²). Raises ValueError for m² ≤ 0."""
    if not m2 > 0:
        raise ValueError(f"m2 = {m2} must be above 0 for the free field")
    momentum2 = lattice_momentum_squared(shape)
    spectrum = 2.0 * (momentum2 + m2)
    phi2 = float((1.0 / spectrum).mean())
    return ExactValues(
        free_energy=float(0.5 * np.log(spectrum / (2.0 * np.pi)).sum()),
        chi2=1.0 / (2.0 * m2),
        # ½ Σ_μ cos p_μ = 1 − p̂²/4
        energy=float(((1.0 - momentum2 / 4.0) / spectrum).mean()),
        phi2=phi2,
        phi4=3.0 * phi2**2,
    )


def phi4(L: int, m2: float, lam: float, *, bond_dimension: int | None = None) -> ExactValues:
    """φ⁴ on an L × L torus, 1 ≤ L ≤ 4, from the row transfer matrix.

    bond_dimension: how many terms of the bond factor are kept; by default what gives seven digits or more at the
    couplings of the paper. At L = 4 it takes about 4 s and 0.5 GB.

    Raises ValueError for another L, an action without a normalisable exp(−S), and for couplings at which the kept terms
    do not reach a relative 10⁻⁶: E, ⟨φ²⟩ and ⟨φ⁴⟩ are computed apart from each other, so the virial 2(4 + m²)⟨φ²⟩ +
    4λ⟨φ⁴⟩ − 8E = 1 measures the truncation.
    """
    if L not in _BOND_DIMENSION:
        raise ValueError(f"L = {L} is outside 1 … 4, the sizes for which the transfer matrix fits in memory")
    if lam < 0 or (lam == 0 and m2 <= 0) or not np.isfinite([m2, lam]).all():
        raise ValueError(f"lam = {lam}, m2 = {m2}: exp(-S) cannot be normalised; take lam > 0, or lam = 0 with m2 > 0")
    site, well = _site_tensors(m2, lam, bond_dimension or _BOND_DIMENSION[L])
    values = _torus(L, *site)
    virial = 2.0 * (4.0 + m2) * values.phi2 + 4.0 * lam * values.phi4 - 8.0 * values.energy
    if abs(virial - 1.0) > _VIRIAL_TOLERANCE:
        raise ValueError(
            f"m2 = {m2}, lam = {lam}: the virial comes out at {virial:.9f} instead of 1; "
            f"raise bond_dimension (the cost grows with its power {3 * L})"
        )
    return ExactValues(values.free_energy + L * L * well, values.chi2, values.energy, values.phi2, values.phi4)


def _site_tensors(m2: float, lam: float, bond: int) -> tuple[list[np.ndarray], float]:
    """W with φ⁰, φ¹, φ², φ⁴ under the integral, and the depth of the potential, divided out of W to keep deep wells
    finite."""

    def potential(x: np.ndarray | float) -> np.ndarray | float:
        return m2 * x**2 + lam * x**4

    well = float(potential(np.sqrt(-m2 / (2.0 * lam)))) if m2 < 0 else 0.0
    edge = 1.0
    while potential(edge) - well < 60.0:  # e^-60: nothing is left beyond in double precision
        edge *= 1.02
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    x = edge * nodes
    density = edge * weights * np.exp(-(potential(x) - well))
    bond_factor = np.exp(-((x[:, None] - x[None, :]) ** 2))
    # The eigenvectors in *this* measure: one of the two bonds through a site is taken as ⟨(φ − φ')²⟩ → φ² + const,
    # which is what a site sees of its neighbours on average, so that the truncation costs least where the weight of the
    # torus is.
    measure = np.sqrt(edge * weights * np.exp(-(potential(x) - well) - 2.0 * x**2))
    eigenvalues, vectors = np.linalg.eigh(measure[:, None] * bond_factor * measure[None, :])
    keep = np.argsort(eigenvalues)[::-1][:bond]
    h = bond_factor @ (measure[:, None] * vectors[:, keep]) / np.sqrt(eigenvalues[keep])
    tensors = [np.einsum("i,ik,il,ia,ib->klab", density * x**n, h, h, h, h, optimize=True) for n in (0, 1, 2, 4)]
    return tensors, well


def _torus(L: int, plain: np.ndarray, one: np.ndarray, two: np.ndarray, four: np.ndarray) -> ExactValues:
    """Traces of the row transfer matrix; `one`, `two`, `four` are the site tensor with φ, φ², φ⁴ inserted."""

    def with_inserted(*sites: np.ndarray) -> np.ndarray:
        return _row([*sites, *[plain] * (L - len(sites))])

    transfer = with_inserted()
    powers = [np.eye(len(transfer))]
    while len(powers) < L:
        powers.append(powers[-1] @ transfer)
    around = powers[-1]  # T^(L−1), symmetric as T is
    z = float(np.sum(around * transfer))

    def mean(*sites: np.ndarray) -> float:
        return float(np.sum(around * with_inserted(*sites))) / z

    phi2 = mean(two)
    in_row = [mean(one, *[plain] * (distance - 1), one) for distance in range(1, L)]
    # V⟨M²⟩ = Σ over all y of ⟨φ_0 φ_y⟩: the rest of the row of site 0, then the other rows with Σφ of a row inserted in
    # each of two.
    summed = sum(_row([plain] * j + [one] + [plain] * (L - 1 - j)) for j in range(L))
    spread = [summed @ powers[distance - 1] for distance in range(1, L)]
    across = sum(float(np.sum(a * b.T)) for a, b in zip(spread, reversed(spread), strict=True)) / (L * z)
    # On a single site every neighbour is the site itself.
    energy = in_row[0] if L > 1 else phi2
    return ExactValues(-float(np.log(z)), phi2 + sum(in_row) + across, energy, phi2, mean(four))


def _row(sites: list[np.ndarray]) -> np.ndarray:
    """A closed row of site tensors ``W[up, down, left, right]`` as a matrix from all ups to all downs."""
    bond = sites[0].shape[0]
    n = len(sites)
    halves = [_chain(sites[: n // 2], bond), _chain(sites[n // 2 :], bond)]
    ring = halves[0].reshape(len(halves[0]), -1) @ halves[1].transpose(0, 2, 1).reshape(len(halves[1]), -1).T
    axes = (*range(0, 2 * n, 2), *range(1, 2 * n, 2))
    return ring.reshape((bond,) * (2 * n)).transpose(axes).reshape(bond**n, bond**n)


def _chain(sites: list[np.ndarray], bond: int) -> np.ndarray:
    """An open stretch of a row: ``(ups and downs, left, right)``."""
    chain = np.eye(bond)[None]
    for site in sites:
        joined = np.tensordot(chain, site.reshape(bond * bond, bond, bond), (2, 1)).transpose(0, 2, 1, 3)
        chain = joined.reshape(-1, bond, bond)
    return chain
