"""Low-rank adaptation: the small digital matrices that run beside the arrays."""

from __future__ import annotations

import torch


class LoRA(torch.nn.Module):
    """A digital low-rank product in parallel with a base weight: ``y += scale * B (A x)`` (Hu et al. 2022).

    ``a`` is (rank, n_in), ``b`` is (n_out, rank). ``b`` starts at zero, so a fresh LoRA changes nothing.
    """

    def __init__(
        self, n_in: int, n_out: int, rank: int, scale: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not 1 <= rank <= min(n_in, n_out):
            raise ValueError(f"LoRA rank = {rank} for a {n_out} x {n_in} matrix: must lie in 1..{min(n_in, n_out)}")
        self.scale = scale
        self.a = torch.nn.Parameter(torch.randn(rank, n_in, generator=generator) / n_in**0.5)
        self.b = torch.nn.Parameter(torch.zeros(n_out, rank))

    @classmethod
    def nearest(cls, matrix: torch.Tensor, rank: int) -> LoRA:
        """The LoRA of `rank` (cut to what the shape allows) that adds as nearly `matrix` (n_out, n_in) as it can: its
        leading singular vectors."""
        n_out, n_in = matrix.shape
        lora = cls(n_in, n_out, min(rank, n_in, n_out))
        u, s, vh = torch.linalg.svd(matrix.detach(), full_matrices=False)
        root = s[: lora.rank].sqrt()
        with torch.no_grad():
            lora.a.copy_(root[:, None] * vh[: lora.rank])
            lora.b.copy_(u[:, : lora.rank] * root)
        return lora

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    def delta(self) -> torch.Tensor:
        """The matrix (n_out, n_in) that this LoRA adds to its base weight."""
        return self.scale * (self.b @ self.a)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., n_in) -> (..., n_out)."""
        return self.scale * (x @ self.a.T) @ self.b.T
