"""Path-gradient estimator of the reverse KL (Roeder et al. 2017; recursion as in Vaitl et al. 2022, 2024).

grad KL = E[(dS/dphi + d log q/dphi) . dphi/dtheta], the density's own dependence on theta left out: its mean is zero
and its variance is what slows training down. The score d log q/dphi is carried along with the configuration: each
coupling adds the vector-Jacobian product of its own network evaluation. The network is therefore evaluated once per
coupling, and with noisy engines score and map share the same draw by construction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from anf.flows.activation import field_alone
from anf.flows.flow import Target

if TYPE_CHECKING:
    from anf.flows.mixer_flow import MixerFlow


def push_with_score(flow: MixerFlow, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """White z (sites, n) -> its image (sites, n) with its graph, log q (n,) float64, d log q / d image, detached."""
    x, log_q = flow.colour(z)
    log_q = log_q.detach()
    if not x.requires_grad:
        x = x.detach().requires_grad_()
    with torch.no_grad():
        scores = flow.split(-z if flow.base is None else -flow.base.whiten(z))
    halves = flow.split(x)
    for step in range(flow.config.couplings):
        halves, used = flow.couple(halves, step)
        active, frozen = scores[step % 2], scores[1 - step % 2]
        with torch.no_grad():
            # Undone, the site was x_b = affine * exp(s2) + s1, and log q gained s2.
            wrt_odd, scaled = [active], active * torch.exp(used.even[0])
            wrt_even = [scaled * used.affine + 1]
            active = scaled
            if flow.site_map is not None:
                active, wrt_s4 = flow.site_map.pull(scaled, used.affine, used.even[1], step)
                wrt_odd.append(active)
                wrt_even.append(wrt_s4)
            log_q -= used.log_det
        with field_alone():
            (pulled,) = torch.autograd.grad(
                (used.odd, used.even), used.frozen, (torch.stack(wrt_odd), torch.stack(wrt_even)), retain_graph=True
            )
        frozen = frozen + pulled
        scores = (frozen, active) if step % 2 else (active, frozen)
    return flow.join(halves), log_q, flow.join(scores)


def path_gradient_loss(flow: MixerFlow, target: Target, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A scalar whose gradient is the path gradient, and log w = -target - log q (n,) float64, detached.

    z (sites, n), white. -log w averages to KL - ln Z; the scalar's own value means nothing.
    """
    image, log_q, score = push_with_score(flow, z)
    value, gradient = target.value_and_gradient(image.detach())
    return ((gradient + score) * image).sum() / image.shape[1], -value - log_q
