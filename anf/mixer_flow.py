"""The mixer flow: coupling layers that share one network, the LoRA-mixer (paper, eqs 3-9).

Half-lattice coding. The checkerboard halves are kept apart, batch last: (sites/2, batch) each. The frame is moved by
one site from step to step, so that in the frame the frozen sites are always the odd ones: the shared network sees one
parity only and no zeros (docs/decisions/0022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator

from anf.actions import Action
from anf.flow import Flow, FlowConfig, Group, Target, log_normal
from anf.layers import BaseLinear
from anf.mixer import Mixer, MixerConfig
from anf.path_gradient import path_gradient_loss
from anf.sitemap import SiteMap


class MixerFlowConfig(FlowConfig):
    """Architecture of a mixer flow."""

    kind: Literal["mixer"] = "mixer"
    completed: Literal[False] = False
    couplings: int = Field(default=20, ge=2, description="T, coupling steps")
    site_map: bool = Field(default=False, description="follow the affine coupling with a monotone map of each site")
    mixer: MixerConfig = MixerConfig()

    @model_validator(mode="after")
    def _patches_tile_the_lattice(self) -> MixerFlowConfig:
        for axis, length in zip(("Lx", "Ly"), self.shape, strict=True):
            if length % self.mixer.patch:
                raise ValueError(f"{axis} = {length}: must be a positive multiple of patch = {self.mixer.patch}")
        return self


Halves = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Coupling:
    """What one coupling used: the frozen half and the affine image (sites/2, n), odd = (s1[, s3]) and even = (s2[, s4])
    (1 or 2, sites/2, n), and log |det| of its Jacobian (n,), float64."""

    frozen: torch.Tensor
    odd: torch.Tensor
    even: torch.Tensor
    affine: torch.Tensor
    log_det: torch.Tensor


class MixerFlow(Flow):
    """x ~ N(0, 1) per site -> phi with density q(phi), exact for the s1, s2 that were used."""

    config: MixerFlowConfig

    def __init__(self, config: MixerFlowConfig, seed: int = 0, action: Action | None = None) -> None:
        super().__init__(config, action)
        generator = torch.Generator().manual_seed(seed)
        outputs = 2 if config.site_map else 1
        self.mixer = Mixer(config.shape, config.couplings, config.mixer, outputs, outputs, generator)
        self.site_map = SiteMap(config.couplings) if config.site_map else None
        self._to_frame, self._from_frame = _tables(config)

    def base_layers(self) -> dict[str, BaseLinear]:
        return {layer.name: layer for layer in self.mixer.base_layers()}

    @property
    def steps(self) -> int:
        """T, coupling steps."""
        return self.config.couplings

    def vectors_per_sample(self) -> dict[str, int]:
        return {name: self.config.couplings * vectors for name, vectors in self.mixer.vectors().items()}

    def group_of(self, parameter: str) -> Group:
        if parameter.endswith(".weight"):
            return "weights"
        if ".lora." in parameter:
            return "lora"
        if parameter.startswith("site_map."):
            return "site"
        return "time" if parameter.endswith("_time") else "bias"

    def lora_layers(self) -> list[str]:
        """All matrices of the mixer blocks."""
        return [name for name in self.base_layers() if name.startswith("blocks.")]

    # -- sampling and density ---------------------------------------------------------------------------------------

    def base_sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n draws of the base, (sites, n), the even half first."""
        weight = self.mixer.embed.weight
        return torch.randn(self.sites, n, generator=generator, dtype=weight.dtype)

    def draw(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        halves, log_q = self.push(self.base_sample(n, generator))
        return torch.cat(halves), log_q

    def path_gradient(self, target: Target, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return path_gradient_loss(self, target, self.base_sample(n, generator))

    def push(self, x: torch.Tensor) -> tuple[Halves, torch.Tensor]:
        """x (sites, n) as `base_sample` gives it -> the two halves, log q (n,) float64. Differentiable."""
        log_q = log_normal(x)
        halves = self.split(x)
        for step in range(self.config.couplings):
            halves, coupling = self.couple(halves, step)
            log_q = log_q - coupling.log_det
        return halves, log_q

    def couple(self, halves: Halves, step: int) -> tuple[Halves, Coupling]:
        """One coupling of two halves (sites/2, n): eq 7, then the site map, if any. Eq 4 says which half is frozen."""
        frozen = halves[1 - step % 2]
        odd, even = self.predict(frozen, step)
        affine = moved = (halves[step % 2] - odd[0]) * torch.exp(-even[0])
        log_det = -even[0].sum(0, dtype=torch.float64)
        if self.site_map is not None:
            mapped, log_slope = self.site_map(affine, even[1], step)
            moved = mapped - odd[1]
            log_det = log_det + log_slope.sum(0, dtype=torch.float64)
        return _order(moved, frozen, step), Coupling(frozen, odd, even, affine, log_det)

    def predict(self, frozen: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """From the frozen half (sites/2, n), per site of the active half: odd = (s1[, s3]) and even = (s2[, s4]).

        Each is (1 or 2, sites/2, n). One evaluation of the network. s3 and s4 are the site map's: it yields
        f(y; s4) - s3 for the y of eq 7.
        """
        odd, even = self.mixer(frozen[self._to_frame[step]], step)
        back = self._from_frame[step]
        return odd[:, back], even[:, back]

    def inverse(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (sites, n), the even half first -> the draw of the base (sites, n) it came from, and log q(x) (n,) float64.

        Raises ValueError if a layer has an engine.
        """
        self.require_digital()
        halves = self.split(x)
        log_det = torch.zeros(x.shape[1], dtype=torch.float64)
        for step in reversed(range(self.config.couplings)):
            frozen, moved = halves[1 - step % 2], halves[step % 2]
            odd, even = self.predict(frozen, step)
            log_det = log_det - even[0].sum(0, dtype=torch.float64)
            if self.site_map is not None:
                moved, log_slope = self.site_map.inverse(moved + odd[1], even[1], step)
                log_det = log_det + log_slope.sum(0, dtype=torch.float64)
            halves = _order(moved * torch.exp(even[0]) + odd[0], frozen, step)
        base = torch.cat(halves)
        return base, log_normal(base) - log_det

    def density(self, x: torch.Tensor) -> torch.Tensor:
        return self.inverse(x)[1]

    def split(self, x: torch.Tensor) -> Halves:
        """(sites, n), even half first -> the two halves."""
        even, odd = x.split(self.sites // 2)
        return even, odd


def _order(moved: torch.Tensor, frozen: torch.Tensor, step: int) -> Halves:
    return (frozen, moved) if step % 2 else (moved, frozen)


def _tables(config: MixerFlowConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Index tables: frozen half -> frame and frame -> active half, (couplings, sites/2) each.

    In the frame of step t, site (i, j) is the lattice's (i + t // 2, j + (t + 1) // 2): the sites with i + j odd are
    the frozen ones of eq 4 at every t. They are listed patch by patch. Moving along the diagonal, every site takes
    every place of its colour on the diagonal of a patch.
    """
    (lx, ly), p = config.shape, config.mixer.patch
    grid = torch.arange(lx * ly).reshape(lx, ly)
    parity = (torch.arange(lx)[:, None] + torch.arange(ly)[None, :]) % 2
    sites = torch.cat([grid[parity == 0], grid[parity == 1]])
    place = torch.empty(lx * ly, dtype=torch.long)
    place[sites] = torch.arange(lx * ly) % (lx * ly // 2)

    def patches(field: torch.Tensor) -> torch.Tensor:
        return field.reshape(lx // p, p, ly // p, p).permute(0, 2, 1, 3).reshape(-1)

    odd = patches(parity) == 1
    to_frame, from_frame = [], []
    for step in range(config.couplings):
        seen = place[patches(torch.roll(grid, (-(step // 2), -((step + 1) // 2)), (0, 1)))]
        to_frame.append(seen[odd])
        from_frame.append(torch.argsort(seen[~odd]))
    return torch.stack(to_frame), torch.stack(from_frame)
