"""Training by several processes: ``torchrun --no-python xbar train …`` on one machine or many.

Every process draws the noise of the whole batch and takes its own columns, gradients are averaged, so that the result
is that of one process with the same batch, but for rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """This process among all that train together."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that reports and writes files."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Columns of a batch of n that are this process's. Raises ValueError if the processes do not divide n."""
        if n % self.count:
            raise ValueError(f"batch = {n}: must be a multiple of the {self.count} processes (WORLD_SIZE)")
        part = n // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.reshape(gradient.shape))

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """One tensor of all processes' values (n,), in order of rank."""
        if self.count == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)


def here() -> Processes:
    """This process, as torchrun's environment (RANK, WORLD_SIZE) says; a single one without it."""
    return Processes(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def together() -> Iterator[Processes]:
    """`here`, connected (gloo) for as long as the context lasts."""
    processes = here()
    if processes.count == 1:
        yield processes
        return
    dist.init_process_group("gloo")
    try:
        yield processes
    finally:
        dist.destroy_process_group()
