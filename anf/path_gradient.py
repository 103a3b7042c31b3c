"""Path-gradient estimator of the reverse KL (Roeder et al. 2017; recursion as in Vaitl et al. 2022, 2024).

grad KL = E[(dS/dphi + d log q/dphi) . dphi/dtheta], the density's own dependence on theta left out: its mean is zero
and its variance is what slows training down. The score d log q/dphi is carried along with the configuration: each
coupling adds the vector-Jacobian product of its own network evaluation. The network is therefore evaluated once per
coupling, and with noisy engines score and map share the same draw by construction.
"""

from __future__ import annotations

import torch

from anf.flow import Flow, log_normal


def push_with_score(flow: Flow, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x (sites, n) -> phi (n, Lx, Ly) with its graph, log q (n,) float64, and d log q / d phi (n, Lx, Ly), detached."""
    x = x.detach().requires_grad_()
    log_q = log_normal(x).detach()
    halves, scores = flow.split(x), flow.split(-x.detach())
    for step in range(flow.config.couplings):
        halves, used = flow.couple(halves, step)
        active, frozen = scores[step % 2], scores[1 - step % 2]
        with torch.no_grad():
            active = active * torch.exp(used.s2)
            # The site was x_b = affine * exp(s2) + s1, and log q gained s2.
            wrt_s1, wrt_s2 = scores[step % 2], active * used.affine + 1
        (pulled,) = torch.autograd.grad((used.s1, used.s2), used.frozen, (wrt_s1, wrt_s2), retain_graph=True)
        with torch.no_grad():
            if flow.site_map is not None:
                active = flow.site_map.push_score(active, used.affine, step)
            frozen = frozen + pulled
            log_q = log_q - used.log_det
        scores = (frozen, active) if step % 2 else (active, frozen)
    return flow.assemble(halves), log_q.detach(), flow.assemble(scores)


def path_gradient_loss(flow: Flow, action, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A scalar whose gradient is the path gradient, and log w = -S(phi) - log q(phi) (n,) float64, detached.

    x (sites, n). -log w averages to KL - ln Z; the scalar's own value means nothing.
    """
    phi, log_q, score = push_with_score(flow, x)
    fixed = phi.detach()
    force = action.gradient(fixed) + score
    return (force * phi).sum() / phi.shape[0], -action(fixed).double() - log_q
