"""The exact split of the field flow, and its path gradient by hand: nothing but products and element-wise maps.

Fields are kept colour by colour, batch last: (C, m, n). Their features, x and its sines, are (C, 1 + F, m, n), and the
flat view (K, n) of that is what products take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from anf.flows.field_kernels import advance, pull, sines, solve
from anf.flows.layers import BaseLinear

Pullback = Callable[[torch.Tensor], torch.Tensor]
"""v (m, n) -> v Mᵀ (K, n), of one product M · features."""
Towards = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""x (C, m, n) -> value (n,) of the target and its gradient (C, m, n)."""


def time_table(sweeps: int, cosines: int) -> torch.Tensor:
    """cos(aπt) (sweeps, cosines) in the middle of each sweep, float64."""
    t = (torch.arange(sweeps, dtype=torch.float64) + 0.5) / sweeps
    return torch.cos(math.pi * t[:, None] * torch.arange(cosines))


class Products:
    """M_c(t) · features for every colour c and sweep, M_c(t) = Σ_a cos(aπt) W_ac, by whatever executes the layers.

    matrices: (cosines, C, m, K) as expanded, with graph; `weights` is the same with what the layer holds instead, and
        LoRA.
    layer: the matrix that all colours share (cosines · m, K'), on the features of the other colours, `others[colour]`.
    """

    def __init__(self, matrices: torch.Tensor, layer: BaseLinear, others: list[torch.Tensor], sweeps: int) -> None:
        self.weights = matrices
        self.times = time_table(sweeps, len(matrices)).to(matrices.dtype)
        self._layer, self._others = layer, others
        if layer.held is not None or layer.lora is not None:
            blank = matrices.new_zeros(len(matrices), *matrices.shape[2:])
            shared = layer.digital_weight().reshape(*blank.shape[:2], -1)
            self.weights = torch.stack([blank.index_copy(2, columns, shared) for columns in others], 1)
        self._sweep: tuple[int, torch.Tensor] | None = None

    def __call__(
        self, sweep: int, colour: int, features: torch.Tensor, *, pull: bool = False
    ) -> tuple[torch.Tensor, Pullback]:
        """(m, n) from features (K, n), and with `pull` the pull-back of this very product, noise and all."""
        if self._layer.engine is not None:
            return self._through_engine(sweep, colour, features, pull)
        if self._sweep is None or self._sweep[0] != sweep:
            self._sweep = sweep, torch.tensordot(self.times[sweep], self.weights.detach(), 1)
        matrix = self._sweep[1][colour]
        return matrix @ features, lambda v: matrix.T @ v

    def _through_engine(
        self, sweep: int, colour: int, features: torch.Tensor, pull: bool
    ) -> tuple[torch.Tensor, Pullback]:
        """All cosines in one product, put together digitally."""
        others = self._others[colour]
        with torch.set_grad_enabled(pull):
            x = features[others].T.detach().requires_grad_(pull)
            y = self.times[sweep] @ self._layer(x).reshape(len(x), len(self.times[sweep]), -1)

        def pullback(v: torch.Tensor) -> torch.Tensor:
            (pulled,) = torch.autograd.grad(y, x, v.T, retain_graph=True)
            return torch.zeros_like(features).index_copy(0, others, pulled.T)

        return y.detach().T.contiguous(), pullback


@dataclass(frozen=True)
class _Update:
    """One colour moved once: what it was before, (1 + F, m, n) and (F, m, n), and how."""

    sweep: int
    colour: int
    features: torch.Tensor
    cosines: torch.Tensor
    slopes: torch.Tensor
    pullback: Pullback


class SplitPass:
    """One run of a batch through the split. own: (sweeps, 1 + F), the site's own drift.  omega: (F,).  x: (C, m, n)."""

    def __init__(self, products: Products, own: torch.Tensor, omega: torch.Tensor, x: torch.Tensor) -> None:
        colours, m, n = x.shape
        self._products, self._own, self._omega = products, own.detach(), omega.detach()
        self._features = x.new_empty(colours, 1 + len(omega), m, n)
        self._cosines = x.new_empty(colours, len(omega), m, n)
        self.log_det = torch.zeros(n, dtype=torch.float64)
        """log of the Jacobian determinant of the forward map so far, (n,)."""
        self._step = 0.5 / len(own)
        self._record: list[_Update] = []
        self._features[:, 0] = x
        for c in range(colours):
            self._refresh(c)

    @property
    def image(self) -> torch.Tensor:
        """x as it is now, (C, m, n)."""
        return self._features[:, 0]

    def run(self, score: torch.Tensor | None = None, record: bool = False) -> None:
        """Forward. score: (C, m, n), d log q/dx of what came in, updated in place to that of what goes out."""
        jacobian = np.empty(self._features.shape[-1])
        last = None
        for sweep, c in self._order():
            # The colour at which a sweep turns moves twice in a row: what surrounds it is the same, so is one reading.
            if (sweep, c) != last:
                inflow, pullback = self._products(sweep, c, self._flat, pull=record or score is not None)
            last = sweep, c
            slopes = torch.empty_like(inflow)
            if record:
                before = self._features[c].clone(), self._cosines[c].clone()
                self._record.append(_Update(sweep, c, *before, slopes, pullback))
            jacobian.fill(1.0)
            advance(
                inflow.numpy(), self._features[c].numpy(), self._cosines[c].numpy(), self._own[sweep].numpy(),
                self._omega.numpy(), self._step, (inflow if score is None else score[c]).numpy(), score is not None,
                slopes.numpy(), jacobian,
            )  # fmt: skip
            self.log_det += torch.from_numpy(jacobian).log()
            if score is not None:
                self._pull(pullback(score[c]), -self._step, score, None)
            self._refresh(c)

    def run_back(self) -> None:
        """The inverse of `run`: from the image to what came in. Digital products only."""
        jacobian = np.empty(self._features.shape[-1])
        for sweep, c in reversed(list(self._order())):
            inflow, _ = self._products(sweep, c, self._flat)
            jacobian.fill(1.0)
            before = (self._features[c, 0] - self._step * inflow).numpy()
            solve(
                before,
                self._own[sweep].numpy(),
                self._omega.numpy(),
                self._step,
                self._features[c, 0].numpy(),
                jacobian,
            )
            self.log_det += torch.from_numpy(jacobian).log()
            self._refresh(c)

    def adjoint(self, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """From d loss/d image (C, m, n): that by the weights, by own, by omega, and by x. Undoes a recorded `run`."""
        step = self._step
        weights = torch.zeros_like(self._products.weights)
        own, omega = torch.zeros_like(self._own), np.zeros(len(self._omega))
        grad = grad.clone()
        in_sweep = torch.zeros_like(weights[0])
        while self._record:
            u = self._record.pop()
            c = u.colour
            self._features[c], self._cosines[c] = u.features, u.cosines
            here = grad[c].clone()
            own[u.sweep] += step * (u.features * here).sum((1, 2))
            by_sine = (u.features[0] * u.cosines * here).sum((1, 2)) * self._own[u.sweep, 1:]
            omega += step * by_sine.double().numpy()
            in_sweep[c].addmm_(here, self._flat.T, alpha=step)
            grad[c] = here * u.slopes
            self._pull(u.pullback(here), self._step, grad, omega)
            if not self._record or self._record[-1].sweep != u.sweep:
                weights += self._products.times[u.sweep, :, None, None, None] * in_sweep
                in_sweep.zero_()
        return weights, own, torch.from_numpy(omega).to(own.dtype), grad

    @property
    def _flat(self) -> torch.Tensor:
        return self._features.reshape(-1, self._features.shape[-1])

    def _order(self) -> Iterator[tuple[int, int]]:
        colours = range(len(self._features))
        for sweep in range(len(self._own)):
            for c in (*colours, *reversed(colours)):
                yield sweep, c

    def _refresh(self, c: int) -> None:
        features = self._features[c].numpy()
        sines(features[0], self._omega.numpy(), features[1:], self._cosines[c].numpy())

    def _pull(self, pulled: torch.Tensor, scale: float, out: torch.Tensor, omega: np.ndarray | None) -> None:
        pull(
            pulled.reshape(self._features.shape).numpy(), self._features.numpy(), self._cosines.numpy(),
            self._omega.numpy(), scale, out.numpy(), np.empty(0) if omega is None else omega, omega is not None,
        )  # fmt: skip


class _PathGradient(torch.autograd.Function):
    """The loss of a batch with its gradient at once; what is kept for the backward pass is the gradient alone."""

    @staticmethod
    def forward(ctx, weights, own, omega, x, products: Products, score: torch.Tensor, towards: Towards):
        split = SplitPass(products, own, omega, x)
        split.run(score, record=True)
        image = split.image.clone()
        value, gradient = towards(image)
        force = (gradient + score) / image.shape[-1]
        loss = (force * image).sum()
        ctx.save_for_backward(*split.adjoint(force))
        log_det = split.log_det
        ctx.mark_non_differentiable(log_det, value)
        return loss, log_det, value

    @staticmethod
    def backward(ctx, grad, *_):
        return *(grad * saved for saved in ctx.saved_tensors), None, None, None


def path_gradient(
    products: Products, own: torch.Tensor, omega: torch.Tensor, x: torch.Tensor, score: torch.Tensor, towards: Towards
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A scalar whose gradient is the path gradient, the log determinant (n,) and the target's value (n,).

    x (C, m, n) with its graph; score (C, m, n), d log q/dx of x, is used up. dKL = (∂target + score) · dx at the image.
    """
    return _PathGradient.apply(products.weights, own, omega, x, products, score, towards)
