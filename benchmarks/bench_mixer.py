"""Sampling and training of the mixer flow against the paper's mixer written down plainly, beside their limits.

The plain one is the network that `counting.PublishedMixer` counts, without its normalisation, at the flow's own
lattice, width, patch, blocks and number of couplings, and with the same site map: the whole lattice, masked, batch
first; convolutions, `torch.matmul` of a matrix with a batch of token matrices, per-pixel fully connected layers; it is
trained through S + log q. The flow moves half the sites and draws the others. ``--check`` fails beyond a limit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from anf.flows.mixer_flow import MixerFlow
from anf.lattice.actions import Action, Phi4
from anf.training.recipes import mixer_flow

LIMIT = 5.0
SIDE, BATCH, REPEATS = 12, 512, 5


class PlainMixerFlow(torch.nn.Module):
    """Couplings on the whole lattice, half of it masked, from `torch.nn` layers."""

    def __init__(self, like: MixerFlow) -> None:
        super().__init__()
        self.config, m = like.config, like.config.mixer
        (lx, ly), steps, c = self.config.shape, self.config.couplings, m.channels
        tokens, hidden = lx * ly // m.patch**2, m.channel_hidden
        x, y = torch.meshgrid(torch.arange(lx), torch.arange(ly), indexing="ij")
        even = ((x + y) % 2 == 0).float()
        self.masks = (1 - even, even)
        self.conv = torch.nn.Conv2d(1, c, 3, padding=1, padding_mode="circular")
        self.embed = torch.nn.Conv2d(c, c, m.patch, stride=m.patch)

        def matrices(n_out: int, n_in: int) -> torch.nn.ParameterList:
            return torch.nn.ParameterList(torch.nn.Parameter(torch.randn(n_out, n_in) / n_in) for _ in range(m.blocks))

        self.w1, self.w2, self.w3, self.w4 = (
            matrices(*size) for size in ((tokens, tokens), (tokens, tokens), (c, hidden), (hidden, c))
        )
        self.time = torch.nn.Parameter(0.1 * torch.randn(steps, c))
        self.output = torch.nn.ConvTranspose2d(c, 2 * c, m.patch, stride=m.patch)
        outputs = 4  # s1, s2 of the affine coupling, s3, s4 of the site map
        self.pixel = torch.nn.Sequential(
            torch.nn.Linear(2 * c, c),
            torch.nn.ReLU(),
            torch.nn.Linear(c, c),
            torch.nn.ReLU(),
            torch.nn.Linear(c, outputs),
        )
        self.k = torch.nn.Parameter(torch.ones(steps))

    def network(self, frozen: torch.Tensor, step: int) -> tuple[torch.Tensor, ...]:
        """frozen (n, Lx, Ly), zero where active -> s1, s2, s3, s4, each (n, Lx, Ly)."""
        x = self.embed(torch.relu(self.conv(frozen.unsqueeze(1))))
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)  # (n, tokens, C)
        for w1, w2, w3, w4 in zip(self.w1, self.w2, self.w3, self.w4, strict=True):
            x = x + torch.matmul(w2, torch.relu(torch.matmul(w1, x + self.time[step])))
            x = x + torch.matmul(torch.relu(torch.matmul(x, w3)), w4)
        x = self.output(x.transpose(1, 2).unflatten(2, grid))
        return (0.1 * self.pixel(torch.relu(x).permute(0, 2, 3, 1))).unbind(-1)

    def push(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """White x (n, Lx, Ly) -> phi and log q (n,)."""
        log_q = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum((1, 2))
        for step in range(self.config.couplings):
            frozen = self.masks[step % 2]
            s1, s2, s3, s4 = self.network(x * frozen, step)
            y = (x - s1) * torch.exp(-s2)
            c, t = torch.expm1(s4), torch.tanh(self.k[step] * y)
            moved = y + c * t / self.k[step] - s3
            slope = torch.log1p(c * (1 - t * t)) - s2
            x = frozen * x + (1 - frozen) * moved
            log_q = log_q - ((1 - frozen) * slope).sum((1, 2))
        return x, log_q


def seconds(run: Callable[[], object]) -> float:
    """The least CPU time of REPEATS runs, after one to warm up, s."""
    run()
    times = []
    for _ in range(REPEATS):
        start = process_time()
        run()
        times.append(process_time() - start)
    return min(times)


def measure(action: Action) -> list[tuple[str, float, float]]:
    """(what, seconds per configuration of the plain mixer, of the flow)."""
    flow = mixer_flow(action)
    plain, generator = PlainMixerFlow(flow), torch.Generator().manual_seed(0)

    def plain_sample() -> object:
        with torch.no_grad():
            return plain.push(torch.randn(BATCH, *action.shape, generator=generator))

    def plain_step() -> None:
        phi, log_q = plain.push(torch.randn(BATCH, *action.shape, generator=generator))
        plain.zero_grad()
        (action(phi) + log_q).mean().backward()

    def step() -> None:
        flow.zero_grad()
        flow.loss(action, flow.white(BATCH, generator))[0].backward()

    return [
        ("sampling", seconds(plain_sample) / BATCH, seconds(lambda: flow.sample(BATCH, generator)) / BATCH),
        ("training step", seconds(plain_step) / BATCH, seconds(step) / BATCH),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    good = True
    for what, plain, ours in measure(Phi4(-4.0, 5.5, (SIDE, SIDE))):
        ok = plain / ours >= LIMIT
        good &= ok
        print(
            f"φ⁴ L = {SIDE}, {what}: plain {plain * 1e6:.0f} µs, flow {ours * 1e6:.0f} µs per configuration, "
            f"ratio {plain / ours:.1f} ≥ {LIMIT:g}  {'ok' if ok else 'MISSED'}"
        )
    return int(arguments.check and not good)


if __name__ == "__main__":
    sys.exit(main())
