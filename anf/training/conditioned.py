"""One flow for a range of couplings: its digital numbers are polynomials of the coupling, its matrices stay.

The alternative to an adapter for each coupling (docs/flows.md): trained once over the whole range, and nothing is tuned
where it is used. At a given coupling it is an ordinary flow.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.training.loop import DIGITAL, TrainingConfig, TrainingDiverged, parameter_groups

COUPLINGS = 17
"""How many couplings of its range a flow is trained at: few enough for the tables of the odd half to be kept for each
(`anf.lattice.completion.completion`), many for a polynomial of low degree."""


class Conditioned:
    """``p(c) = Σ_k a_k u^k`` for each number p of `groups`, u = c scaled to [−1, 1] over the range.

    flow: where the polynomials begin, as constants; a copy of it is kept.  coupling: name of a parameter of the action.
    between: the range of the coupling.  degree: of the polynomials.
    Raises ValueError for an empty range, a degree below one, groups without a parameter, weights of arrays among them.
    """

    def __init__(
        self,
        flow: Flow,
        coupling: str,
        between: tuple[float, float],
        *,
        groups: Sequence[str] = DIGITAL,
        degree: int = 2,
    ) -> None:
        low, high = between
        if not low < high:
            raise ValueError(f"between = {between}: the range of {coupling} must have a lower and a higher end")
        if degree < 1:
            raise ValueError(f"degree = {degree}: numbers follow {coupling} at least linearly, give 1 or more")
        if "weights" in groups:
            raise ValueError("groups = weights: what is in arrays cannot follow a coupling; condition the digital part")
        self.coupling, self.centre, self.half_width = coupling, (low + high) / 2, (high - low) / 2
        self._flow = copy.deepcopy(flow)
        members = parameter_groups(self._flow)
        self._numbers = {name: p for group in groups for name, p in members[group].items()}
        if not self._numbers:
            raise ValueError(f"groups = {tuple(groups)}: this flow has no parameter in them")
        self.coefficients = {
            name: torch.stack([p.detach(), *(torch.zeros_like(p.detach()) for _ in range(degree))])
            for name, p in self._numbers.items()
        }

    @property
    def trained(self) -> int:
        """How many numbers the polynomials have."""
        return sum(a.numel() for a in self.coefficients.values())

    def at(self, action: Action) -> Flow:
        """An ordinary flow for `action`. Raises ValueError for a coupling outside the range: a polynomial knows nothing
        there."""
        self._set(self._powers(action))
        self._flow.aim(action)
        return copy.deepcopy(self._flow)

    def train(self, family: Callable[[float], Action], config: TrainingConfig) -> None:
        """Minimise the mean over the range of KL(q || p), each step at one of `COUPLINGS` couplings, evenly spread.

        family: coupling -> action.  Of `config` steps, batch, learning_rate, clip_norm and seed hold.
        Raises TrainingDiverged for a loss that is not finite.
        """
        generator = torch.Generator().manual_seed(config.seed)
        coefficients = [a.requires_grad_() for a in self.coefficients.values()]
        adam = torch.optim.Adam(coefficients, lr=config.learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.OneCycleLR(adam, config.learning_rate, config.steps + 1, pct_start=0.1)
        spread = torch.linspace(-1.0, 1.0, COUPLINGS, dtype=torch.float64)
        actions = [family(self.centre + u * self.half_width) for u in spread.tolist()]
        for step in range(config.steps):
            action = actions[int(torch.randint(COUPLINGS, (), generator=generator))]
            powers = self._powers(action)
            self._set(powers)
            self._flow.zero_grad()
            loss, log_weight = self._flow.loss(action, self._flow.white(config.batch, generator))
            if not torch.isfinite(log_weight).all():
                raise TrainingDiverged(
                    f"step {step}, {self.coupling} = {action.parameters[self.coupling]:g}: log weights are not finite; "
                    f"lower learning_rate = {config.learning_rate:g} or the degree of the polynomials"
                )
            loss.backward()
            # The chain rule, so that a flow need not know that its numbers are polynomials.
            for name, a in self.coefficients.items():
                gradient = self._numbers[name].grad
                assert gradient is not None
                a.grad = powers.view(-1, *([1] * gradient.dim())) * gradient
            torch.nn.utils.clip_grad_norm_(coefficients, config.clip_norm)
            adam.step()
            schedule.step()
        for a in coefficients:
            a.requires_grad_(False)

    def _powers(self, action: Action) -> torch.Tensor:
        """(1, u, u², …)."""
        value = action.parameters[self.coupling]
        u = (value - self.centre) / self.half_width
        if abs(u) > 1.0 + 1e-9:
            low, high = self.centre - self.half_width, self.centre + self.half_width
            raise ValueError(f"{self.coupling} = {value:g}: the flow was conditioned on {low:g} to {high:g}")
        degree = len(next(iter(self.coefficients.values()))) - 1
        return torch.tensor([u**k for k in range(degree + 1)])

    @torch.no_grad()
    def _set(self, powers: torch.Tensor) -> None:
        for name, a in self.coefficients.items():
            self._numbers[name].copy_(torch.tensordot(powers.to(a.dtype), a, dims=1))
