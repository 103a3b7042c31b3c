"""The adaptive normalizing flow: coupling layers that share one network (paper, eqs 3-9).

Half-lattice coding. The checkerboard halves are kept apart, batch last: (sites/2, batch) each. The frame is moved by
one site from step to step, so that in the frame the frozen sites are always the odd ones: the shared network sees one
parity only and no zeros (docs/decisions/0022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from anf.layers import BaseLinear
from anf.lora import LoRA
from anf.mixer import Mixer, MixerConfig
from anf.sitemap import SiteMap


class FlowConfig(BaseModel):
    """Architecture of a flow: with the parameters, all that is needed to rebuild it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int] = Field(description="lattice (Lx, Ly), sites")
    couplings: int = Field(default=20, ge=2, description="T, coupling steps")
    site_map: bool = Field(default=False, description="follow the affine coupling with a monotone map of each site")
    mixer: MixerConfig = MixerConfig()

    @model_validator(mode="after")
    def _patches_tile_the_lattice(self) -> FlowConfig:
        for axis, length in zip(("Lx", "Ly"), self.shape, strict=True):
            if length < 2 or length % self.mixer.patch:
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


class Flow(torch.nn.Module):
    """x ~ N(0, 1) per site -> phi with density q(phi), exact for the s1, s2 that were used."""

    def __init__(self, config: FlowConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        outputs = 2 if config.site_map else 1
        self.mixer = Mixer(config.shape, config.couplings, config.mixer, outputs, outputs, generator)
        self.site_map = SiteMap(config.couplings) if config.site_map else None
        self._sites, self._to_frame, self._from_frame = _tables(config)
        self._unsites = torch.argsort(self._sites)

    @property
    def sites(self) -> int:
        return math.prod(self.config.shape)

    def base_layers(self) -> dict[str, BaseLinear]:
        """The layers whose weights live in arrays, by name, in order of execution within a coupling."""
        return {layer.name: layer for layer in self.mixer.base_layers()}

    def vectors_per_coupling(self) -> dict[str, int]:
        """Input vectors that each base layer receives for one configuration in one coupling."""
        return self.mixer.vectors()

    def add_lora(self, rank: int, seed: int = 0, layers: list[str] | None = None) -> None:
        """Attach fresh LoRA (which changes nothing yet) to `layers`, by default all matrices of the mixer blocks.

        A matrix narrower than `rank` gets its full rank.
        """
        generator = torch.Generator().manual_seed(seed)
        base = self.base_layers()
        for name in [n for n in base if n.startswith("blocks.")] if layers is None else layers:
            n_out, n_in = base[name].weight.shape
            base[name].lora = LoRA(n_in, n_out, min(rank, n_in, n_out), generator=generator)

    # -- sampling and density ---------------------------------------------------------------------------------------

    def base_sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n draws of the base, (sites, n), the even half first."""
        weight = self.mixer.embed.weight
        return torch.randn(self.sites, n, generator=generator, dtype=weight.dtype)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """n independent draws: phi (n, Lx, Ly) and log q(phi) (n,), float64.

        The network is evaluated once per coupling and configuration, and what it returned enters both phi and log q:
        with engines that are noisy, log q is the exact density given the noise. Fields are single precision,
        which moves log q by 1e-5 or so.
        """
        return self.push(self.base_sample(n, generator))

    def push(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (sites, n) as `base_sample` gives it -> phi (n, Lx, Ly), log q (n,) float64. Differentiable."""
        log_q = log_normal(x)
        halves = self.split(x)
        for step in range(self.config.couplings):
            halves, coupling = self.couple(halves, step)
            log_q = log_q - coupling.log_det
        return self.assemble(halves), log_q

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

    @torch.no_grad()
    def inverse(self, phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """phi (n, Lx, Ly) -> x (sites, n) as `base_sample` orders it, and log q(phi) (n,) float64.

        Only digital: an array that is read again gives other noise, hence another map.

        Raises:
            ValueError: a layer has an engine, or the shape is not that of the flow.
        """
        engines = [name for name, layer in self.base_layers().items() if layer.engine is not None]
        if engines:
            raise ValueError(f"inverse needs digital layers, but {engines} have an engine: set engine = None first")
        if phi.ndim != 3 or tuple(phi.shape[1:]) != self.config.shape:
            raise ValueError(f"phi has shape {tuple(phi.shape)}, this flow needs (n, *{self.config.shape})")
        halves = self.split(phi.reshape(phi.shape[0], -1).T[self._sites])
        log_det = torch.zeros(phi.shape[0], dtype=torch.float64)
        for step in reversed(range(self.config.couplings)):
            frozen, moved = halves[1 - step % 2], halves[step % 2]
            odd, even = self.predict(frozen, step)
            log_det -= even[0].sum(0, dtype=torch.float64)
            if self.site_map is not None:
                moved, log_slope = self.site_map.inverse(moved + odd[1], even[1], step)
                log_det += log_slope.sum(0, dtype=torch.float64)
            halves = _order(moved * torch.exp(even[0]) + odd[0], frozen, step)
        x = torch.cat(halves)
        return x, log_normal(x) - log_det

    def log_prob(self, phi: torch.Tensor) -> torch.Tensor:
        """log q(phi) (n,) float64 of configurations (n, Lx, Ly), by the inverse; digital only."""
        return self.inverse(phi)[1]

    def split(self, x: torch.Tensor) -> Halves:
        """(sites, n), even half first -> the two halves."""
        even, odd = x.split(self.sites // 2)
        return even, odd

    def assemble(self, halves: Halves) -> torch.Tensor:
        """Two halves (sites/2, n) -> configurations (n, Lx, Ly)."""
        return torch.cat(halves)[self._unsites].T.reshape(-1, *self.config.shape)


def log_normal(x: torch.Tensor) -> torch.Tensor:
    """log density (n,), float64, of independent unit normals x (sites, n)."""
    return -0.5 * (x * x).sum(0, dtype=torch.float64) - 0.5 * x.shape[0] * math.log(2 * math.pi)


def _order(moved: torch.Tensor, frozen: torch.Tensor, step: int) -> Halves:
    return (frozen, moved) if step % 2 else (moved, frozen)


def _tables(config: FlowConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Index tables: sites of the even half, then of the odd one (sites,); frozen half -> frame and frame -> active
    half, (couplings, sites/2) each.

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
    return sites, torch.stack(to_frame), torch.stack(from_frame)
