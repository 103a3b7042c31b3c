"""Lattice actions S(φ): value, gradient, Gaussian part and symmetries, on periodic square lattices with a = 1.

A configuration is an array ``(..., Lx, Ly)``, numpy or torch alike; every method treats leading axes as a batch. The
target density is p(φ) = exp(−S(φ)) / Z (eq 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np

Array = Any
"""A numpy array or a torch tensor: the formulas below are the same for both, and torch stays an optional import here.
"""


class Action(Protocol):
    """What samplers, flows and observables need to know of a theory."""

    name: ClassVar[str]
    symmetries: ClassVar[tuple[str, ...]]

    @property
    def shape(self) -> tuple[int, int]:
        """Sites (Lx, Ly)."""
        ...

    @property
    def parameters(self) -> dict[str, float]:
        """The couplings, as a run file records them and as `action_from_name` takes them back."""
        ...

    @property
    def volume(self) -> int:
        """Number of sites V."""
        ...

    def __call__(self, phi: Array) -> Array:
        """S per configuration, shape ``(...)`` for phi ``(..., Lx, Ly)``."""
        ...

    def gradient(self, phi: Array) -> Array:
        """∂S/∂φ, the shape of phi."""
        ...

    def kick_(self, momentum: Array, padded: Array, scale: float, work: Array) -> None:
        """momentum −= scale · ∂S/∂φ in place, for torch tensors with the batch *last*.

        momentum, work: ``(Lx, Ly, n)``; padded: ``(Lx + 2, Ly + 2, n)``, the field with its periodic halo filled in.
        """
        ...

    def free_spectrum(self) -> np.ndarray:
        """K(p) of the quadratic part S₂ = ½ Σ_p K(p) |φ̃(p)|² / V, ``(Lx, Ly)`` in FFT order; negative where the mode
        is unstable."""
        ...

    def identities(self, phi: Array) -> dict[str, tuple[Array, float]]:
        """Further exact statements of this theory: name → (per-configuration value, its exact expectation)."""
        ...


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


@dataclass(frozen=True)
class Phi4:
    """S = Σ_x [ Σ_μ (φ_x − φ_{x+μ})² + m² φ_x² + λ φ_x⁴ ] (eq 22).

    The kinetic term carries no ½: in the common ½(∂φ)² normalisation the field is √2 φ. On a side of two sites the
    neighbours x + μ and x − μ coincide and the bond counts twice, as the periodic sum says.

    Parameters
    ----------
    m2: bare mass squared m², any sign when λ > 0.
    lam: quartic coupling λ ≥ 0.
    shape: sites (Lx, Ly), at least 2 each.

    Raises ValueError if e^(−S) cannot be normalised (λ < 0, or λ = 0 with m² ≤ 0), or on a lattice that is too small.
    """

    m2: float
    lam: float
    shape: tuple[int, int]

    name: ClassVar[str] = "phi4"
    symmetries: ClassVar[tuple[str, ...]] = ("sign_flip",)

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 2 or shape != tuple(self.shape) or min(shape) < 2:
            raise ValueError(f"shape = {self.shape} must be two whole numbers of sites, each at least 2")
        object.__setattr__(self, "shape", shape)
        for name in ("m2", "lam"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)} must be finite")
        if self.lam < 0 or (self.lam == 0 and self.m2 <= 0):
            raise ValueError(
                f"lam = {self.lam:g} with m2 = {self.m2:g} leaves the action unbounded below or flat, "
                "so exp(-S) cannot be normalised; take lam > 0, or lam = 0 with m2 > 0 (free field)"
            )

    @property
    def parameters(self) -> dict[str, float]:
        """``{"m2": m², "lam": λ}``."""
        return {"m2": float(self.m2), "lam": float(self.lam)}

    @property
    def volume(self) -> int:
        """Number of sites V = Lx Ly."""
        return self.shape[0] * self.shape[1]

    def __call__(self, phi: Array) -> Array:
        """S per configuration: ``(..., Lx, Ly)`` → ``(...)``. Raises ValueError when the last two axes are not the
        lattice."""
        self._check(phi)
        square = phi * phi
        # Σ_μ (φ_x − φ_{x+μ})² summed over x is 4 Σ φ² − 2 Σ_bonds φφ': one pass over the bonds instead of two
        # differences.
        return (square * (4.0 + self.m2 + self.lam * square)).sum((-2, -1)) - 2.0 * bond_sum(phi)

    def gradient(self, phi: Array) -> Array:
        """∂S/∂φ_x = 2(4 + m²)φ_x + 4λφ_x³ − 2 Σ_{±μ} φ_{x±μ}, the shape of phi."""
        self._check(phi)
        return phi * (2.0 * (4.0 + self.m2) + 4.0 * self.lam * phi * phi) - 2.0 * neighbour_sum(phi)

    def kick_(self, momentum: Array, padded: Array, scale: float, work: Array) -> None:
        """momentum −= scale · ∂S/∂φ in place, batch last (see `Action.kick_`).

        The gradient again, but as seven passes over memory without a temporary: on one core HMC is bound by
        exactly these.
        """
        phi = padded[1:-1, 1:-1]
        work.fill_(-2.0 * (4.0 + self.m2) * scale).addcmul_(phi, phi, value=-4.0 * self.lam * scale)
        momentum.addcmul_(work, phi)
        for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            momentum.add_(neighbour, alpha=2.0 * scale)

    def free_spectrum(self) -> np.ndarray:
        """K(p) = 2(p̂² + m²), ``(Lx, Ly)`` in FFT order. At λ = 0, ⟨|φ̃(p)|²⟩ = V / K(p)."""
        return 2.0 * (lattice_momentum_squared(self.shape) + self.m2)

    def identities(self, phi: Array) -> dict[str, tuple[Array, float]]:
        """``s_identity``: ⟨S⟩/V + 2E − ½(4 + m²)⟨φ²⟩ = ¼, at m² = −4 ⟨S⟩/V = ¼ − 2E.

        Configuration by configuration it is a quarter of the virial: the same information, in the form in which it is
        usually quoted.
        """
        square = (phi * phi).mean((-2, -1))
        energy = bond_sum(phi) / (2.0 * self.volume)
        return {"s_identity": (self(phi) / self.volume + 2.0 * energy - 0.5 * (4.0 + self.m2) * square, 0.25)}

    def _check(self, phi: Array) -> None:
        if tuple(phi.shape[-2:]) != self.shape:
            raise ValueError(f"phi has lattice axes {tuple(phi.shape[-2:])}; this action is on {self.shape}")


_ACTIONS: dict[str, type[Phi4]] = {Phi4.name: Phi4}


def action_from_name(name: str, shape: int | tuple[int, int], **parameters: float) -> Action:
    """The action that a command line or a run file names.

    Parameters
    ----------
    name: ``"phi4"``.
    shape: sites (Lx, Ly), or L for L × L.
    parameters: the couplings by name, e.g. ``m2=-4, lam=5``.

    Raises ValueError for an unknown name (the known ones are listed), and for missing or unknown couplings.
    """
    if name not in _ACTIONS:
        raise ValueError(f"action = {name!r} does not exist; choose one of: {', '.join(sorted(_ACTIONS))}")
    kind = _ACTIONS[name]
    wanted = [field.name for field in fields(kind) if field.name != "shape"]
    if set(parameters) != set(wanted):
        raise ValueError(
            f"action {name!r} takes the couplings {', '.join(wanted)}; got {', '.join(sorted(parameters)) or 'none'}"
        )
    return kind(shape=(shape, shape) if isinstance(shape, int) else shape, **parameters)


def _roll(phi: Array, shift: int, axis: int) -> Array:
    return np.roll(phi, shift, axis) if isinstance(phi, np.ndarray) else phi.roll(shift, axis)
