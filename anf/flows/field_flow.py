"""The field flow: a neural differential equation whose matrices are the arrays', in a split that is exact.

On the even half of the lattice (the odd half is completed exactly)

    dx/dt = Σ_a cos(aπt) [W_a · (x, sin ω₁x, …, sin ω_F x) + the same of the site itself],

odd in x, with kernels W_a tied by the symmetries of the lattice, so that one small matrix serves the sites of every
colour. It is carried out in steps of 1/n that move one colour of sites at a time by what the other colours say, forward
through the colours and backward. So the Jacobian is a product of slopes of one-dimensional maps, digital, at any n;
what the arrays return never enters it (docs/theory.md).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from anf.flows.flow import Flow, FlowConfig, Group, NotInvertible, Target, log_normal
from anf.flows.gaussian import GaussianBase
from anf.flows.layers import BaseLinear
from anf.flows.split import Products, SplitPass, path_gradient, time_table
from anf.flows.tied import Orbits
from anf.flows.wells import Wells
from anf.lattice.actions import Action
from anf.lattice.checkerboard import Checkerboard


class FieldFlowConfig(FlowConfig):
    """Architecture of a field flow."""

    kind: Literal["field"] = "field"
    completed: Literal[True] = True
    sweeps: int = Field(default=8, ge=1, description="n: each moves all colours forward, then backward, by half of 1/n")
    sines: int = Field(default=4, ge=0, description="F, sines of each site beside the field itself")
    cosines: int = Field(default=4, ge=1, description="terms of the kernels in time")
    wells: int = Field(default=0, ge=0, description="wells of the zero mode that it begins with, on either side")


class TiedKernel(torch.nn.Module):
    """Kernels of all base layers: values (cosines, 1 + F, n_orbits), scaled by their distance; orbit 0 is unused."""

    def __init__(
        self, board: Checkerboard, orbits: Orbits, colours: torch.Tensor, cosines: int, n_features: int
    ) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(torch.zeros(cosines, n_features, len(orbits)))
        self.scale = orbits.scale
        order = colours.reshape(-1)
        offsets = orbits.index[order][:, order]  # sites colour by colour
        n_colours, m = colours.shape
        own = torch.arange(len(order)) // m
        zero = n_features * len(orbits)
        feature = torch.arange(n_features)[None, :, None] * len(orbits)
        index = offsets.reshape(-1, n_colours, 1, m) + feature
        index[own[:, None] == torch.arange(n_colours)] = zero
        self.index = index.reshape(n_colours, m, -1)
        """(C, m, C(1 + F)m): place of every weight in a flat kernel; that of the colour's own sites holds zero."""
        self._others = _surroundings(board, colours, n_features)

    def matrices(self) -> torch.Tensor:
        """(cosines, C, m, C(1 + F)m), zero for the colour's own sites."""
        return self._expand(self.index)

    def _expand(self, index: torch.Tensor) -> torch.Tensor:
        flat = (self.values * self.scale.to(self.values.dtype)).flatten(1)
        flat = torch.cat([flat, flat.new_zeros(len(flat), 1)], 1)
        return flat[:, index.reshape(-1)].reshape(len(flat), *index.shape)

    def others(self, colour: int) -> torch.Tensor:
        """Columns of a colour's matrix that belong to other colours, (K,), in the order in which they surround it: the
        matrix is then the same for every colour."""
        return self._others[colour]

    def shared(self) -> torch.Tensor:
        """(cosines, m, K): the matrix of any colour on the features of the others."""
        return self._expand(self.index[0][:, self._others[0]])


def _surroundings(board: Checkerboard, colours: torch.Tensor, n_features: int) -> torch.Tensor:
    """(C, K): for each colour the features of the sites of the others, as places in (C, 1 + F, m), in the order of
    those around the first colour, moved along with it."""
    n_colours, m = colours.shape
    place = torch.empty(board.half, 2, dtype=torch.long)
    place[colours.reshape(-1)] = torch.cartesian_prod(torch.arange(n_colours), torch.arange(m)).reshape(-1, 2)
    around = []
    for sites in colours:
        shift = board.even[sites[0]] - board.even[colours[0, 0]]
        colour, index = place[moved(board, colours[1:].reshape(-1), shift)].T.reshape(2, n_colours - 1, 1, m)
        feature = torch.arange(n_features)[:, None]
        around.append(((colour * n_features + feature) * m + index).reshape(-1))
    return torch.stack(around)


def moved(board: Checkerboard, sites: torch.Tensor, shift: np.ndarray) -> torch.Tensor:
    """Even sites (n,) moved by an even vector."""
    place = np.empty(board.shape, np.int64)
    place[tuple(board.even.T)] = np.arange(board.half)
    return torch.from_numpy(place[tuple(((board.even[sites.numpy()] + shift) % board.shape).T)])


class TiedLinear(BaseLinear):
    """The base layer: the tied kernel as the matrix of one colour, all cosines in time below each other.

    Its inputs are the features of the sites of all *other* colours: bit lines of the active colour do not exist.
    """

    def __init__(self, kernel: TiedKernel) -> None:
        torch.nn.Module.__init__(self)
        self.name = "kernel"
        self.lora, self.engine, self.held = None, None, None
        self._kernel = (kernel,)  # in a tuple, not to be registered a second time

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """(cosines · m, K)."""
        return self._kernel[0].shared().flatten(0, 1)


class FieldFlow(Flow):
    """x = R ε on the even half, moved by the exact split; the odd half is drawn given the even one."""

    config: FieldFlowConfig

    def __init__(self, config: FieldFlowConfig, action: Action) -> None:
        super().__init__(config, action)
        self.orbits = Orbits(self.board)
        self.colours = colour_sites(self.board)
        n_features = 1 + config.sines
        self.base = GaussianBase(self.board, completed=True)
        self.kernel = TiedKernel(self.board, self.orbits, self.colours, config.cosines, n_features)
        self.own_time = torch.nn.Parameter(torch.zeros(config.cosines, n_features))
        self.omega = torch.nn.Parameter(torch.arange(1.0, n_features))
        self.layer = TiedLinear(self.kernel)
        # Training starts from the nearest Gaussian, with sines that resolve the site potential: its wells or its width.
        self.base.follow(action)
        self.wells = Wells(config.wells) if config.wells else None
        if self.wells is not None:
            self.wells.start(self.base, action, self.sites)
        site = action.site
        unit = 0.5 * site.frequency if site.cosine else max(site.quartic, 1.0) ** 0.25
        with torch.no_grad():
            self.omega.mul_(unit)

    def base_layers(self) -> dict[str, BaseLinear]:
        return {self.layer.name: self.layer}

    @property
    def steps(self) -> int:
        """The layer is read for each colour, forward and backward in every sweep, once where the sweep turns."""
        return (2 * len(self.colours) - 1) * self.config.sweeps

    def vectors_per_sample(self) -> dict[str, int]:
        return dict.fromkeys(self.base_layers(), self.steps)

    def group_of(self, parameter: str) -> Group:
        if parameter == "kernel.values":
            return "weights"
        if ".lora." in parameter:
            return "lora"
        if parameter.startswith("base."):
            return "base"
        return "time" if parameter == "own_time" else "site"

    def lora_layers(self) -> list[str]:
        """All layers."""
        return list(self.base_layers())

    @torch.no_grad()
    def start_from(self, other: FieldFlow, action: Action) -> None:
        """Take over the kernels of a flow on a lattice no larger, offset by offset, and what does not depend on size;
        wells are those of `action`.

        Raises ValueError, naming them, for sides that shrink and for numbers of sines or cosines that differ.
        """
        if any(mine < theirs for mine, theirs in zip(self.config.shape, other.config.shape, strict=True)):
            raise ValueError(
                f"shape {other.config.shape} does not fit into {self.config.shape}: start from a smaller one"
            )
        for name in ("sines", "cosines"):
            mine, theirs = getattr(self.config, name), getattr(other.config, name)
            if mine != theirs:
                raise ValueError(f"{name} = {mine}, the flow to start from has {theirs}: they must agree")
        self.kernel.values.copy_(self.orbits.embed(other.kernel.values, other.orbits))
        self.base.enlarge(other.base)
        if self.wells is not None:
            self.wells.follow(action, self.base.zero_mode, self.sites)
        self.own_time.copy_(other.own_time)
        self.omega.copy_(other.omega)

    # -- sampling and density ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def push(self, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        start, log_q, _ = self._spread(white)
        split = SplitPass(self._products(), *self._site_terms(), self._by_colour(self.base.colour(start)))
        split.run()
        return self._by_site(split.image), log_q - self.base.log_det() - split.log_det

    @torch.no_grad()
    def inverse(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (sites, n) -> the white noise it came from and log q (n,) float64. Raises ValueError if a layer has an
        engine."""
        self.require_digital()
        split = SplitPass(self._products(), *self._site_terms(), self._by_colour(x))
        split.run_back()
        start = self.base.whiten(self._by_site(split.image))
        white, log_q = (start, log_normal(start)) if self.wells is None else self.wells.inverse(start)
        return white, log_q - self.base.log_det() - split.log_det

    def density(self, x: torch.Tensor) -> torch.Tensor:
        return self.inverse(x)[1]

    def path_gradient(self, target: Target, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            start, log_q, score = self._spread(white)
            score = self.base.whiten(score)
            log_q = log_q - self.base.log_det()

        def towards(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            value, gradient = target.value_and_gradient(self._by_site(image))
            return value, self._by_colour(gradient)

        x = self._by_colour(self.base.colour(start))
        loss, log_det, value = path_gradient(self._products(), *self._site_terms(), x, self._by_colour(score), towards)
        return loss, -value - (log_q - log_det)

    def _spread(self, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """White noise (N, n), over the wells where there are several; its log density (n,), and the score (N, n)."""
        return (white, log_normal(white), -white) if self.wells is None else self.wells(white)

    def _products(self) -> Products:
        others = [self.kernel.others(c) for c in range(len(self.colours))]
        return Products(self.kernel.matrices(), self.layer, others, self.config.sweeps)

    def _site_terms(self) -> tuple[torch.Tensor, torch.Tensor]:
        """own (sweeps, 1 + F), the site's own drift at the time of each sweep, and ω (F,).

        Raises NotInvertible where the map of a site would not be monotone.
        """
        own = time_table(self.config.sweeps, self.config.cosines).to(self.own_time.dtype) @ self.own_time
        steepest = own[:, 0] - (own[:, 1:] * self.omega).abs().sum(1)
        least = 1 + float(steepest.detach().min()) / (2 * self.config.sweeps)
        if not least > 0:
            raise NotInvertible(
                f"smallest slope of a site's own map is {least:.3g}, must be above 0 to be inverted: take more sweeps "
                f"than {self.config.sweeps}, or train with a lower learning_rate"
            )
        return own, self.omega

    def require_invertible(self) -> None:
        self._site_terms()

    def _by_colour(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n) by site -> (C, m, n) by colour."""
        return x[self.colours.reshape(-1)].reshape(*self.colours.shape, -1)

    def _by_site(self, x: torch.Tensor) -> torch.Tensor:
        """(C, m, n) by colour -> (N, n) by site."""
        return x.reshape(self.sites, -1)[torch.argsort(self.colours.reshape(-1))]


def colour_sites(board: Checkerboard) -> torch.Tensor:
    """(C, m): even sites by colour, (x mod p, y mod q); p and q are divisors of the sides, 4, 3 or else the next.

    Sites of one colour are four apart or more. Sides that are multiples of four make eight colours.
    """
    p, q = (_period(side) for side in board.shape)
    code = torch.from_numpy((board.even % (p, q)) @ np.array([q, 1]))
    first, *others = [torch.nonzero(code == c)[:, 0] for c in torch.unique(code)]
    # The sites of each colour in the order of the first one's, moved along.
    return torch.stack([first, *(moved(board, first, board.even[sites[0]] - board.even[first[0]]) for sites in others)])


def _period(side: int) -> int:
    return next(p for p in (4, 3, *range(5, side + 1), side) if side % p == 0)
