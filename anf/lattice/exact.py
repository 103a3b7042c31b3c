"""Exact reference numbers for small lattices and for free fields: what every sampler is held against.

Small: an L × L torus, L ≤ 4. Both bond directions carry the same factor exp(−½κ(φ_x − φ_y)²); on a quadrature grid its
eigenvectors give it as Σ_k h_k(φ_x) h_k(φ_y) with eigenvalues that fall by about ten for each k, so a handful of them
suffice. The integral over each site then leaves one small tensor

    W[k, l, a, b] = ∫ dφ exp(−V(φ) + 2κφ²) h_k h_l h_a h_b,

the torus is a contraction of L² copies, and a row of them is the transfer matrix T, of side (number of h_k)^L. Z = Tr
T^L; an observable is the same trace with φ's put under some of the integrals.

Free: a quadratic action is a Gaussian in each Fourier mode, on a lattice of any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anf.lattice.actions import Action, Graphene, Phi4, SitePotential

_PHI4_BONDS = {1: 16, 2: 12, 3: 9, 4: 6}
_GRAPHENE_BONDS = {2: 20, 3: 12}
_NODES = 200
_VIRIAL_TOLERANCE = 1e-6
_NOTHING_LEFT = 60.0
"""exp(−60) is nothing in double precision."""


@dataclass(frozen=True)
class ExactValues:
    """Expectation values with no statistical error.

    free_energy: F = −ln Z, with Z = ∫ Π dφ exp(−S) (eq 2).
    chi2: χ₂ = V⟨M²⟩.  energy: E = ⟨φ_x φ_{x+μ}⟩.  phi2, phi4: ⟨φ²⟩, ⟨φ⁴⟩ per site.
    cosine: ⟨cos 2√π φ⟩, of graphene.
    """

    free_energy: float
    chi2: float
    energy: float
    phi2: float
    phi4: float
    cosine: float | None = None

    def by_name(self) -> dict[str, float]:
        """The values under the names that `observables.summarise` uses (F comes from the log weights, so it is not
        among them)."""
        values = {"chi2": self.chi2, "E": self.energy, "phi2": self.phi2, "phi4": self.phi4}
        return values if self.cosine is None else values | {"cos": self.cosine}


class FreeField:
    """Closed forms of a quadratic action: φ⁴ at λ = 0 and m² > 0, graphene at u = 0.

    ``two_point``: ⟨φ(0) φ(x)⟩, ``(Lx, Ly)`` (eq 23).  ``correlator``: C(p = 0, t) across the first axis, ``(Lx,)`` (eq
    24), on the lattice a pure cosh(gap (t − Lx/2)).  ``gap``: 2 sinh(gap/2) = M with M² = K(0)/κ.  ``abs_m``: ⟨|M|⟩.

    Raises ValueError, naming the coupling, for an action that is not quadratic.
    """

    def __init__(self, action: Action) -> None:
        coupling, value = ("lam", action.site.quartic) if action.site.quartic else ("u", action.site.cosine)
        if value:
            raise ValueError(f"{coupling} = {value:g} makes the action interact; closed forms need {coupling} = 0")
        self.action = action
        spectrum = action.free_spectrum()
        self.two_point: np.ndarray = np.fft.ifft2(1.0 / spectrum).real
        self.correlator: np.ndarray = self.two_point.mean(1)
        self.gap = 2.0 * math.asinh(0.5 * math.sqrt(spectrum[0, 0] / action.hopping))
        chi2, phi2 = float(1.0 / spectrum[0, 0]), float(self.two_point[0, 0])
        self.abs_m = math.sqrt(2.0 * chi2 / (math.pi * action.volume))
        # ⟨cos ωφ⟩ = exp(−½ω²⟨φ²⟩)
        frequency = 2.0 * math.sqrt(math.pi) if isinstance(action, Graphene) else None
        self.values = ExactValues(
            free_energy=float(0.5 * np.log(spectrum / (2.0 * np.pi)).sum()),
            chi2=chi2,
            energy=float(0.5 * (self.two_point[1, 0] + self.two_point[0, 1])),
            phi2=phi2,
            phi4=3.0 * phi2**2,
            cosine=None if frequency is None else math.exp(-0.5 * frequency**2 * phi2),
        )

    def by_name(self) -> dict[str, float]:
        """As `ExactValues.by_name`, with ⟨|M|⟩ and ⟨S⟩ = V/2."""
        return self.values.by_name() | {"abs_M": self.abs_m, "S": 0.5 * self.action.volume}


def phi4(L: int, m2: float, lam: float, *, bond_dimension: int | None = None) -> ExactValues:
    """φ⁴ on an L × L torus, 1 ≤ L ≤ 4, from the row transfer matrix.

    bond_dimension: how many terms of the bond factor are kept; by default what gives seven digits or more at the
    couplings of the paper. At L = 4 it takes half a second and 0.2 GB.

    Raises ValueError for another L, an action without a normalisable exp(−S), and for couplings at which the kept terms
    do not reach a relative 10⁻⁶: E and the moments of one site are computed apart from each other, so the virial ⟨φ
    V'(φ)⟩ − 4κE = 1 measures the truncation.
    """
    action = Phi4(m2, lam, (2, 2))  # checks the couplings; a single site has the same potential
    edge = 1.0
    while _bare(action.site, action.hopping, edge) - _depth(m2, lam) < _NOTHING_LEFT:
        edge *= 1.02
    return _torus(L, action, edge, _depth(m2, lam), bond_dimension, _PHI4_BONDS)


def graphene(L: int, g: float, u: float, *, bond_dimension: int | None = None) -> ExactValues:
    """The graphene wire on an L × L torus, L = 2 or 3, all its wells included.

    As `phi4`; the terms kept suffice for g of 0.8 or more, where the field does not wander over too many wells.
    """
    action = Graphene(g, u, (L, L))
    # A field that is x at one site costs x²/2G(0) at least, whatever the rest does.
    edge = math.sqrt(2.0 * _NOTHING_LEFT * float((1.0 / action.free_spectrum()).mean()))
    return _torus(L, action, edge, -u, bond_dimension, _GRAPHENE_BONDS)


def _bare(site: SitePotential, hopping: float, x: np.ndarray | float) -> np.ndarray:
    """What V leaves when the hopping is written in squares of differences."""
    return np.asarray(site(np.asarray(x, float)) - 2.0 * hopping * np.square(x))


def _depth(m2: float, lam: float) -> float:
    return -(m2**2) / (4.0 * lam) if m2 < 0 else 0.0


def _torus(L: int, action: Action, edge: float, depth: float, bond: int | None, bonds: dict[int, int]) -> ExactValues:
    """Contract the torus; `depth` of the site's potential is divided out of W to keep deep wells finite."""
    if L not in bonds:
        raise ValueError(
            f"L = {L} is outside {min(bonds)} … {max(bonds)}, the sizes for which the transfer matrix fits in memory"
        )
    site, hopping = action.site, action.hopping
    inserted = {
        "one": lambda x: x,
        "phi2": lambda x: x**2,
        "phi4": lambda x: x**4,
        "slope": lambda x: x * site.gradient(x),
        "cosine": lambda x: np.cos(site.frequency * x),
    }
    plain, tensors = _site_tensors(site, hopping, edge, depth, bond or bonds[L], inserted)
    log_z, chi2, energy, means = _traces(L, plain, tensors)
    virial = means["slope"] - 4.0 * hopping * energy
    if not abs(virial - 1.0) <= _VIRIAL_TOLERANCE:
        raise ValueError(
            f"{action.name}, {action.parameters}: the virial comes out at {virial:.9f} instead of 1; "
            f"raise bond_dimension (the cost grows with its power {3 * L})"
        )
    cosine = means["cosine"] if isinstance(action, Graphene) else None
    return ExactValues(L * L * depth - log_z, chi2, energy, means["phi2"], means["phi4"], cosine)


def _site_tensors(
    site: SitePotential,
    hopping: float,
    edge: float,
    depth: float,
    bond: int,
    inserted: dict[str, Callable[[np.ndarray], np.ndarray]],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """W, and W with each of the functions `inserted` under the integral."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    x = edge * nodes
    density = edge * weights * np.exp(depth - _bare(site, hopping, x))
    bond_factor = np.exp(-0.5 * hopping * (x[:, None] - x[None, :]) ** 2)
    # The eigenvectors in *this* measure: narrowed a little by the neighbours, so that the truncation costs least where
    # the weight of the torus is. The factor is the best of several for both actions.
    measure = np.sqrt(density * np.exp(-0.35 * hopping * x**2))
    eigenvalues, vectors = np.linalg.eigh(measure[:, None] * bond_factor * measure[None, :])
    keep = np.argsort(eigenvalues)[::-1][:bond]
    h = bond_factor @ (measure[:, None] * vectors[:, keep]) / np.sqrt(eigenvalues[keep])

    def tensor(values: np.ndarray) -> np.ndarray:
        return np.einsum("i,ik,il,ia,ib->klab", density * values, h, h, h, h, optimize=True)

    return tensor(np.ones_like(x)), {name: tensor(function(x)) for name, function in inserted.items()}


def _traces(L: int, plain: np.ndarray, tensors: dict[str, np.ndarray]) -> tuple[float, float, float, dict[str, float]]:
    """ln Z, χ₂, E, and the mean of each function that was inserted at one site; "one" is φ itself."""
    one = tensors["one"]

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

    means = {name: mean(tensor) for name, tensor in tensors.items()}
    in_row = [mean(one, *[plain] * (distance - 1), one) for distance in range(1, L)]
    # V⟨M²⟩ = Σ over all y of ⟨φ_0 φ_y⟩: the rest of the row of site 0, then the other rows with Σφ of a row inserted in
    # each of two.
    summed = sum(_row([plain] * j + [one] + [plain] * (L - 1 - j)) for j in range(L))
    spread = [summed @ powers[distance - 1] for distance in range(1, L)]
    across = sum(float(np.sum(a * b.T)) for a, b in zip(spread, reversed(spread), strict=True)) / (L * z)
    # On a single site every neighbour is the site itself.
    energy = in_row[0] if L > 1 else means["phi2"]
    return math.log(z), means["phi2"] + sum(in_row) + across, energy, means


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
