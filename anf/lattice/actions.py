"""Lattice actions S(φ): value, gradient, Gaussian part and symmetries, on periodic lattices with a = 1.

A configuration is an array ``(..., Lx, Ly)``, numpy or torch alike; every method treats leading axes as a batch. The
target density is p(φ) = exp(−S(φ)) / Z (eq 1). All actions here couple nearest neighbours only:

    S(φ) = Σ_x V(φ_x) − κ Σ_bonds φ_x φ_y,

with a potential V of one site and 2V bonds. What belongs to a theory is V, κ, and its symmetries.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

Array = Any
"""A numpy array or a torch tensor: the formulas below are the same for both, and torch stays an optional import here.
"""


@dataclass(frozen=True)
class SitePotential:
    """V(x) = quadratic · x² + quartic · x⁴ − cosine · cos(frequency · x)."""

    quadratic: float
    quartic: float = 0.0
    cosine: float = 0.0
    frequency: float = 1.0

    def __call__(self, x: Array) -> Array:
        """V(x), the shape of x."""
        square = x * x
        value = square * (self.quadratic + self.quartic * square)
        return value if self.cosine == 0 else value - self.cosine * _of(x).cos(self.frequency * x)

    def gradient(self, x: Array) -> Array:
        """dV/dx, the shape of x."""
        value = x * (2.0 * self.quadratic + 4.0 * self.quartic * x * x)
        if self.cosine == 0:
            return value
        return value + self.cosine * self.frequency * _of(x).sin(self.frequency * x)


class Action(ABC):
    """What samplers, flows and observables need to know of a theory; each is a frozen dataclass of its couplings.

    shape: sites (Lx, Ly), at least 2 each. The first axis is time where a theory distinguishes one.

    Raises ValueError, naming the value, for a lattice or couplings that cannot be sampled.
    """

    name: ClassVar[str]
    symmetries: ClassVar[tuple[str, ...]]
    """``"sign_flip"``: φ → −φ leaves S as it is. ``"shift"``: φ → φ + `shift` leaves all of S but its mass term."""
    hopping: ClassVar[float]
    """κ."""
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 2 or shape != tuple(self.shape) or min(shape) < 2:
            raise ValueError(f"shape = {self.shape} must be two whole numbers of sites, each at least 2")
        object.__setattr__(self, "shape", shape)
        for name, value in self.parameters.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} = {value} must be finite")
        self._check_couplings()

    @abstractmethod
    def _check_couplings(self) -> None:
        """Raise ValueError for couplings at which exp(−S) cannot be normalised."""

    @property
    @abstractmethod
    def site(self) -> SitePotential:
        """V."""

    @abstractmethod
    def free_spectrum(self) -> np.ndarray:
        """K(p) of the quadratic part S₂ = ½ Σ_p K(p) |φ̃(p)|² / V, ``(Lx, Ly)`` in FFT order; negative where the mode
        is unstable."""

    @property
    @abstractmethod
    def conjugates(self) -> dict[str, tuple[str, float]]:
        """∂F/∂θ = factor · ⟨observable⟩ for each coupling θ, F = −ln Z: θ → (observable of `measurement.observables`,
        factor)."""

    @abstractmethod
    def identities(self, phi: Array) -> dict[str, tuple[Array, float]]:
        """Further exact statements of this theory: name → (per-configuration value, its exact expectation)."""

    def observables(self, phi: Array) -> dict[str, Array]:
        """Observables of this theory beside those that all have (`measurement.observables.measure`): name → value per
        configuration."""
        return {}

    @property
    def shift(self) -> float:
        """Distance of the minima that the symmetry ``"shift"`` connects."""
        raise ValueError(f"the action {self.name!r} has no shift symmetry")

    @property
    def parameters(self) -> dict[str, float]:
        """The couplings by name, as a run file records them and as `action_from_name` takes them back."""
        return {name: float(getattr(self, name)) for name in _couplings(type(self))}

    @property
    def volume(self) -> int:
        """Number of sites V = Lx Ly."""
        return self.shape[0] * self.shape[1]

    def __call__(self, phi: Array) -> Array:
        """S per configuration: ``(..., Lx, Ly)`` → ``(...)``. Raises ValueError when the last two axes are not the
        lattice."""
        self._check(phi)
        return self.site(phi).sum((-2, -1)) - self.hopping * bond_sum(phi)

    def gradient(self, phi: Array) -> Array:
        """∂S/∂φ_x = V'(φ_x) − κ Σ_{±μ} φ_{x±μ}, the shape of phi."""
        self._check(phi)
        return self.site.gradient(phi) - self.hopping * neighbour_sum(phi)

    def _check(self, phi: Array) -> None:
        if tuple(phi.shape[-2:]) != self.shape:
            raise ValueError(f"phi has lattice axes {tuple(phi.shape[-2:])}; this action is on {self.shape}")


@dataclass(frozen=True)
class Phi4(Action):
    """S = Σ_x [ Σ_μ (φ_x − φ_{x+μ})² + m² φ_x² + λ φ_x⁴ ] (eq 22).

    The kinetic term carries no ½: in the common ½(∂φ)² normalisation the field is √2 φ. On a side of two sites the
    neighbours x + μ and x − μ coincide and the bond counts twice, as the periodic sum says.

    m2: bare mass squared m², any sign when λ > 0.  lam: quartic coupling λ ≥ 0.
    """

    m2: float
    lam: float
    shape: tuple[int, int]

    name: ClassVar[str] = "phi4"
    symmetries: ClassVar[tuple[str, ...]] = ("sign_flip",)
    hopping: ClassVar[float] = 2.0

    def _check_couplings(self) -> None:
        if self.lam < 0 or (self.lam == 0 and self.m2 <= 0):
            raise ValueError(
                f"lam = {self.lam:g} with m2 = {self.m2:g} leaves the action unbounded below or flat, "
                "so exp(-S) cannot be normalised; take lam > 0, or lam = 0 with m2 > 0 (free field)"
            )

    @property
    def site(self) -> SitePotential:
        # Σ_μ (φ_x − φ_{x+μ})² summed over x is 4 Σ φ² − 2 Σ_bonds φφ'.
        return SitePotential(4.0 + self.m2, self.lam)

    def free_spectrum(self) -> np.ndarray:
        """K(p) = 2(p̂² + m²), ``(Lx, Ly)`` in FFT order. At λ = 0, ⟨|φ̃(p)|²⟩ = V / K(p)."""
        return 2.0 * (lattice_momentum_squared(self.shape) + self.m2)

    @property
    def conjugates(self) -> dict[str, tuple[str, float]]:
        return {"m2": ("phi2", float(self.volume)), "lam": ("phi4", float(self.volume))}

    def identities(self, phi: Array) -> dict[str, tuple[Array, float]]:
        """``s_identity``: ⟨S⟩/V + 2E − ½(4 + m²)⟨φ²⟩ = ¼, at m² = −4 ⟨S⟩/V = ¼ − 2E.

        Configuration by configuration it is a quarter of the virial: the same information, in the form in which it is
        usually quoted.
        """
        square = (phi * phi).mean((-2, -1))
        energy = bond_sum(phi) / (2.0 * self.volume)
        return {"s_identity": (self(phi) / self.volume + 2.0 * energy - 0.5 * (4.0 + self.m2) * square, 0.25)}


@dataclass(frozen=True)
class Graphene(Action):
    """S = Σ_x [ ½ Σ_μ (φ_{x+μ} − φ_x)² + g² φ_x² / 2π − u cos(2√π φ_x) ]: the effective theory of a graphene wire,
    which is the bosonised massive Schwinger model (eqs 36, 37).

    The paper prints a minus before the mass term, left over from Minkowski space: with it S is unbounded below.
    T/g = 1 / (L_τ g), L_τ the first side.

    g: gauge coupling, above 0.  u: coupling of the fermion mass, at least 0.
    """

    g: float
    u: float
    shape: tuple[int, int]

    name: ClassVar[str] = "graphene"
    symmetries: ClassVar[tuple[str, ...]] = ("sign_flip", "shift")
    hopping: ClassVar[float] = 1.0

    def _check_couplings(self) -> None:
        if self.g <= 0:
            raise ValueError(
                f"g = {self.g:g} must be above 0: without the mass term the zero mode is flat and exp(-S) cannot be "
                "normalised"
            )
        if self.u < 0:
            raise ValueError(f"u = {self.u:g} must be at least 0; φ → φ + √π/2 turns −u into u but for the mass term")

    @property
    def site(self) -> SitePotential:
        return SitePotential(2.0 + self.mass2 / 2.0, cosine=self.u, frequency=2.0 * math.sqrt(math.pi))

    @property
    def mass2(self) -> float:
        """M² = g²/π, the squared mass of the free field at u = 0."""
        return self.g**2 / math.pi

    @property
    def shift(self) -> float:
        """√π, the period of the cosine."""
        return math.sqrt(math.pi)

    def free_spectrum(self) -> np.ndarray:
        """K(p) = p̂² + g²/π, ``(Lx, Ly)`` in FFT order, the Gaussian at u = 0: ⟨|φ̃(p)|²⟩ = V / K(p)."""
        return lattice_momentum_squared(self.shape) + self.mass2

    @property
    def conjugates(self) -> dict[str, tuple[str, float]]:
        return {"g": ("phi2", self.volume * self.g / math.pi), "u": ("cos", -float(self.volume))}

    def observables(self, phi: Array) -> dict[str, Array]:
        """``cos``: ⟨cos 2√π φ⟩.  The chiral condensate ⟨ψ̄ψ⟩ = −(e^γ / 2π^{3/2}) g O(1/g) ⟨cos 2√π φ⟩ (eq 39) with both
        forms of the lattice's normal-ordering factor O: ``condensate``, √(32π)/g, its limit for g → 0, with which
        ⟨ψ̄ψ⟩ → −(e^γ / 2π^{3/2}) g at u = 0; ``condensate_10``, 10/g as the paper prints it, 0.3 % less."""
        cosine = _of(phi).cos(2.0 * math.sqrt(math.pi) * phi).mean((-2, -1))
        unit = -math.exp(np.euler_gamma) / (2.0 * math.pi**1.5)
        return {
            "cos": cosine,
            "condensate": unit * math.sqrt(32.0 * math.pi) * cosine,
            "condensate_10": unit * 10.0 * cosine,
        }

    def identities(self, phi: Array) -> dict[str, tuple[Array, float]]:
        """``tadpole``: M²⟨φ⟩ + 2√π u ⟨sin 2√π φ⟩ = 0, the mean equation of motion."""
        wave = 2.0 * math.sqrt(math.pi)
        sine = _of(phi).sin(wave * phi).mean((-2, -1))
        return {"tadpole": (self.mass2 * phi.mean((-2, -1)) + wave * self.u * sine, 0.0)}


def neighbour_sum(phi: Array) -> Array:
    """Σ_μ (φ_{x+μ} + φ_{x−μ}), the shape of phi ``(..., Lx, Ly)``."""
    return _roll(phi, 1, -1) + _roll(phi, -1, -1) + _roll(phi, 1, -2) + _roll(phi, -1, -2)


def bond_sum(phi: Array) -> Array:
    """Σ_x Σ_μ φ_x φ_{x+μ} per configuration, each of the 2V bonds once: ``(..., Lx, Ly)`` → ``(...)``."""
    return (phi * (_roll(phi, -1, -1) + _roll(phi, -1, -2))).sum((-2, -1))


def lattice_momentum_squared(shape: tuple[int, int]) -> np.ndarray:
    """p̂² = Σ_μ 4 sin²(p_μ/2) on the reciprocal lattice, ``(Lx, Ly)`` in FFT order."""
    sx, sy = (4.0 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in shape)
    return sx[:, None] + sy[None, :]


ACTIONS: dict[str, type[Action]] = {kind.name: kind for kind in (Phi4, Graphene)}
"""The actions by name."""


def couplings(name: str) -> tuple[str, ...]:
    """Names of the couplings of an action. Raises ValueError for an unknown one."""
    if name not in ACTIONS:
        raise ValueError(f"action = {name!r} does not exist; choose one of: {', '.join(sorted(ACTIONS))}")
    return _couplings(ACTIONS[name])


def _couplings(kind: type[Action]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name != "shape")  # type: ignore[arg-type]


def action_from_name(name: str, shape: int | tuple[int, int], **parameters: float) -> Action:
    """The action that a command line or a run file names.

    Parameters
    ----------
    name: ``"phi4"`` or ``"graphene"``.
    shape: sites (Lx, Ly), or L for L × L.
    parameters: the couplings by name, e.g. ``m2=-4, lam=5`` or ``g=1, u=0.5``.

    Raises ValueError for an unknown name (the known ones are listed), and for missing or unknown couplings.
    """
    wanted = couplings(name)
    if set(parameters) != set(wanted):
        raise ValueError(
            f"action {name!r} takes the couplings {', '.join(wanted)}; got {', '.join(sorted(parameters)) or 'none'}"
        )
    return ACTIONS[name](shape=(shape, shape) if isinstance(shape, int) else shape, **parameters)  # type: ignore[call-arg]


def _of(phi: Array) -> Any:
    """The library that `phi` is an array of."""
    if isinstance(phi, np.ndarray | float):
        return np
    import torch

    return torch


def _roll(phi: Array, shift: int, axis: int) -> Array:
    return np.roll(phi, shift, axis) if isinstance(phi, np.ndarray) else phi.roll(shift, axis)
