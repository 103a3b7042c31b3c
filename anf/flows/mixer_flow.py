"""The mixer flow: coupling layers that share one network, the LoRA-mixer (paper, eqs 3-9).

Half-lattice coding. The sites that the flow moves are of two colours, kept apart, batch last: (sites/2, batch) each.
On the whole lattice the colours are those of the checkerboard; on the even half (`completed`), rows of even x and rows
of odd x. The frame is moved from step to step, so that in it the frozen sites always lie in the same places: the
shared network sees one colour only and no zeros (docs/decisions/0022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch.nn.utils.parametrize import is_parametrized

from anf.flows.circulant import Circulant, enlarge_kernel
from anf.flows.flow import Flow, FlowConfig, Group, Target, log_normal
from anf.flows.gaussian import GaussianBase
from anf.flows.layers import BaseLinear
from anf.flows.mixer import Mixer, MixerConfig
from anf.flows.path_gradient import path_gradient_loss
from anf.flows.sitemap import SITE_MAPS, Kind
from anf.lattice.actions import Action
from anf.lattice.gather import gather


class MixerFlowConfig(FlowConfig):
    """Architecture of a mixer flow."""

    kind: Literal["mixer"] = "mixer"
    couplings: int = Field(default=20, ge=2, description="T, coupling steps")
    site_map: Kind | None = Field(default=None, description="monotone map of each site after the affine coupling")
    fitted_base: bool = Field(default=False, description="Gaussian base with a spectrum of its own, not white")
    mixer: MixerConfig = MixerConfig()

    @model_validator(mode="after")
    def _patches_tile_the_lattice(self) -> MixerFlowConfig:
        for axis, length in zip(("Lx", "Ly"), self.shape, strict=True):
            if length % self.mixer.patch:
                raise ValueError(f"{axis} = {length}: must be a positive multiple of patch = {self.mixer.patch}")
        return self


Halves = tuple[torch.Tensor, torch.Tensor]
"""The two colours (sites/2, n)."""


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
    """White z (sites, n) -> x with density q(x), exact for the s1, s2 that were used."""

    config: MixerFlowConfig

    def __init__(self, config: MixerFlowConfig, seed: int = 0, action: Action | None = None) -> None:
        """With an action, a fitted base starts from the action's Gaussian."""
        super().__init__(config, action)
        generator = torch.Generator().manual_seed(seed)
        outputs, patch = 1 if config.site_map is None else 2, config.mixer.patch
        self.base = GaussianBase(self.board, config.completed) if config.fitted_base else None
        if self.base is not None and action is not None:
            self.base.follow(action)
        grid = (config.shape[0] // patch, config.shape[1] // patch)
        pixels = self.sites // (2 * grid[0] * grid[1])
        self.mixer = Mixer(grid, pixels, config.couplings, config.mixer, outputs, outputs, generator)
        self.site_map = None if config.site_map is None else SITE_MAPS[config.site_map](config.couplings)
        order, to_frame, from_frame = _tables(config)
        self._order, self._back = gather(order), gather(torch.argsort(order))
        self._to_frame = torch.nn.ModuleList(gather(index) for index in to_frame)
        self._from_frame = torch.nn.ModuleList(gather(index, dim=1) for index in from_frame)

    def base_layers(self) -> dict[str, BaseLinear]:
        return {layer.name: layer for layer in self.mixer.base_layers()}

    @property
    def steps(self) -> int:
        """T, coupling steps."""
        return self.config.couplings

    def vectors_per_sample(self) -> dict[str, int]:
        return {name: self.config.couplings * vectors for name, vectors in self.mixer.vectors().items()}

    def group_of(self, parameter: str) -> Group:
        if ".lora." in parameter:
            return "lora"
        if parameter.endswith((".weight", ".weight.original")):
            return "weights"
        if parameter.startswith("site_map."):
            return "site"
        if parameter.startswith("base."):
            return "base"
        return "time" if parameter.endswith("_time") else "bias"

    def lora_layers(self) -> list[str]:
        """All matrices of the mixer blocks."""
        return [name for name in self.base_layers() if name.startswith("blocks.")]

    @torch.no_grad()
    def start_from(self, other: MixerFlow) -> None:
        """Take over what a flow on a lattice no larger has learnt.

        Circulant kernels and the base go over offset by offset, all else is the same on every lattice. LoRA is added to
        the matrix that it runs beside.

        Raises ValueError, naming them, for sides that shrink, architectures that differ in more than the lattice, and
        matrices between all tokens, which belong to one lattice only.
        """
        shape, theirs = self.config.shape, other.config.shape
        if any(new < old for new, old in zip(shape, theirs, strict=True)):
            raise ValueError(f"shape {theirs} does not fit into {shape}: start from a smaller one")
        mine, sizes = ({**dict(c.config), **dict(c.config.mixer), "shape": None, "mixer": None} for c in (self, other))
        if differing := {name: (mine[name], sizes[name]) for name in mine if mine[name] != sizes[name]}:
            raise ValueError(f"{differing} (this flow, the one to start from): they must agree")
        patch, untied = self.config.mixer.patch, self.config.mixer.token_hidden
        grid, theirs = ((s[0] // patch, s[1] // patch) for s in (shape, theirs))
        if grid != theirs and untied is not None:
            raise ValueError(
                f"token_hidden = {untied}: matrices between all tokens belong to one lattice; only circulant token "
                "mixing (token_hidden = null) goes over to another"
            )
        known = dict(other.named_parameters())
        for name, parameter in self.named_parameters():
            if self.group_of(name) not in ("weights", "base", "lora"):
                parameter.copy_(known[name])
        if self.base is not None and other.base is not None:
            self.base.enlarge(other.base)
        for name, layer in self.base_layers().items():
            small = other.base_layers()[name]
            merged = small.weight if small.lora is None else small.weight + small.lora.delta()
            if is_parametrized(layer):
                kernel = enlarge_kernel(Circulant(theirs).right_inverse(merged), theirs, grid)
                layer.weight = Circulant(grid)(kernel).to(layer.weight.dtype)
            else:
                layer.weight.copy_(merged)

    # -- sampling and density ---------------------------------------------------------------------------------------

    def path_gradient(self, target: Target, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return path_gradient_loss(self, target, white)

    def push(self, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Differentiable."""
        x, log_q = self.colour(white)
        halves = self.split(x)
        for step in range(self.config.couplings):
            halves, coupling = self.couple(halves, step)
            log_q = log_q - coupling.log_det
        return self.join(halves), log_q

    def colour(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """White z (sites, n) -> a draw of the Gaussian base, the shape of z, and its log density (n,) float64."""
        if self.base is None:
            return z, log_normal(z)
        return self.base.colour(z), log_normal(z) - self.base.log_det()

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
        odd, even = self.mixer(self._to_frame[step](frozen), step)
        return self._from_frame[step](odd), self._from_frame[step](even)

    def inverse(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (sites, n) -> the white z (sites, n) it came from, and log q(x) (n,) float64.

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
        z = self.join(halves)
        if self.base is not None:
            z = self.base.whiten(z)
            log_det = log_det + self.base.log_det()
        return z, log_normal(z) - log_det

    def density(self, x: torch.Tensor) -> torch.Tensor:
        return self.inverse(x)[1]

    def split(self, x: torch.Tensor) -> Halves:
        """x (sites, n) -> its two colours."""
        first, second = self._order(x).split(self.sites // 2)
        return first, second

    def join(self, halves: Halves) -> torch.Tensor:
        """Two colours -> x (sites, n)."""
        return self._back(torch.cat(halves))


def _order(moved: torch.Tensor, frozen: torch.Tensor, step: int) -> Halves:
    return (frozen, moved) if step % 2 else (moved, frozen)


def _tables(config: MixerFlowConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Index tables: places of the first colour, then of the second, in x (sites,); frozen colour -> frame and frame ->
    active colour, (couplings, sites/2) each.

    In the frame of step t, site (i, j) is the lattice's (i + t // 2, j + (t + 1) // 2): the sites with i + j odd are
    the frozen ones of eq 4 at every t. On the even half it is (i + d, j + d), d = t mod P: those with i and j odd are
    frozen, those with i and j even active. Sites are listed patch by patch. Moving along the diagonal, every site takes
    every place of its colour on the diagonal of a patch.
    """
    (lx, ly), p = config.shape, config.mixer.patch
    x, y = torch.meshgrid(torch.arange(lx), torch.arange(ly), indexing="ij")
    own = (x + y) % 2 == 0 if config.completed else torch.ones_like(x, dtype=torch.bool)
    second = x % 2 == 1 if config.completed else (x + y) % 2 == 1
    place, number = torch.full((lx, ly), -1), torch.empty((lx, ly), dtype=torch.long)
    for colour in (own & ~second, own & second):
        place[colour] = torch.arange(int(colour.sum()))
    if config.completed:
        number[own] = torch.arange(int(own.sum()))
    else:
        number[~second], number[second] = torch.arange(lx * ly).split(lx * ly // 2)
    order = torch.cat([number[own & ~second], number[own & second]])

    def patches(field: torch.Tensor) -> torch.Tensor:
        return field.reshape(lx // p, p, ly // p, p).permute(0, 2, 1, 3).reshape(-1)

    frozen, active = patches(own & second), patches(own & ~second)
    to_frame, from_frame = [], []
    for step in range(config.couplings):
        moved = (step % p, step % p) if config.completed else (step // 2, (step + 1) // 2)
        seen = patches(torch.roll(place, (-moved[0], -moved[1]), (0, 1)))
        to_frame.append(seen[frozen])
        from_frame.append(torch.argsort(seen[active]))
    return order, torch.stack(to_frame), torch.stack(from_frame)
