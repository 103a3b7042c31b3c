"""The LoRA-mixer: predicts s1 and s2 of a coupling from the frozen half of the lattice (paper, eqs 13-20).

Every matrix is a `BaseLinear`; the array sees nothing but products. All else is digital. The network is exactly odd
in the field for s1 and exactly even for s2: the activation is the odd (even) part of tanh(z + b), where the bias and
the time embedding enter through b, so that they never break the symmetry (docs/decisions/0020).
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator

from anf.activation import even_part, odd_part
from anf.layers import BaseLinear


class MixerConfig(BaseModel):
    """Sizes of the network. The widths of all matrices follow from these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch: int = Field(2, ge=2, description="side P of a patch, sites; even, so that each patch has P*P/2 frozen sites")
    channels: int = Field(16, ge=1, description="C, features per token")
    token_hidden: int = Field(16, ge=1, description="D_s, hidden width of token mixing")
    channel_hidden: int = Field(16, ge=1, description="hidden width of channel mixing")
    blocks: int = Field(1, ge=1, description="m, mixer blocks")
    features: int = Field(4, ge=1, description="features per site after the transposed convolution")
    even: int = Field(2, ge=1, description="outputs of the per-pixel FC whose even parts make up s2")

    @field_validator("patch")
    @classmethod
    def _even_patch(cls, patch: int) -> int:
        if patch % 2:
            raise ValueError(f"patch = {patch}: must be even, so that every patch holds P*P/2 sites of each colour")
        return patch


class MixerBlock(torch.nn.Module):
    """Token mixing, then channel mixing, each with a residual (eqs 14, 15; no normalisation: docs/decisions/0021)."""

    def __init__(self, tokens: int, steps: int, config: MixerConfig, name: str, generator: torch.Generator) -> None:
        super().__init__()
        c, d_token, d_channel = config.channels, config.token_hidden, config.channel_hidden
        self.w1 = BaseLinear(tokens, d_token, f"{name}.w1", generator)
        self.w2 = BaseLinear(d_token, tokens, f"{name}.w2", generator)
        self.w3 = BaseLinear(c, d_channel, f"{name}.w3", generator)
        self.w4 = BaseLinear(d_channel, c, f"{name}.w4", generator)
        self.token_bias = _normal(d_token, 1, generator=generator)
        self.token_time = _normal(steps, c, generator=generator)
        self.channel_bias = _normal(d_channel, 1, generator=generator)
        self.channel_time = _normal(steps, d_channel, generator=generator)

    def forward(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """x (tokens, C, batch) -> (tokens, C, batch)."""
        tokens, c, batch = x.shape
        hidden = self.w1.columns(x.reshape(1, tokens, c * batch)).reshape(-1, c, batch)
        hidden = odd_part(hidden, (self.token_bias + self.token_time[step]).unsqueeze(-1))
        x = x + self.w2.columns(hidden.reshape(1, -1, c * batch)).reshape(tokens, c, batch)
        hidden = odd_part(self.w3.columns(x), self.channel_bias + self.channel_time[step].unsqueeze(-1))
        return x + self.w4.columns(hidden)


class Mixer(torch.nn.Module):
    """(frozen half, step) -> (s1, s2), one network for all coupling steps."""

    def __init__(self, shape: tuple[int, int], steps: int, config: MixerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.tokens = shape[0] * shape[1] // config.patch**2
        self.pixels = config.patch**2 // 2
        self.config = config
        k = config.even
        self.embed = BaseLinear(self.pixels, config.channels, "embed", generator)
        self.blocks = torch.nn.ModuleList(
            MixerBlock(self.tokens, steps, config, f"blocks.{i}", generator) for i in range(config.blocks))
        self.output = BaseLinear(config.channels, self.pixels * config.features, "output", generator)
        self.pixel = BaseLinear(config.features, 1 + k, "pixel", generator)
        self.output_bias = _normal(config.features, 1, generator=generator)
        self.output_time = _normal(steps, config.features, generator=generator)
        self.even_time = _normal(steps, k, generator=generator)
        # One gain for s1 and k for s2 per step, and the mean of s2: small, so that training starts near the identity.
        self.gain_time = torch.nn.Parameter(torch.full((steps, 1 + k), 0.1))
        self.log_scale_time = torch.nn.Parameter(torch.zeros(steps))

    def forward(self, frozen: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """frozen (sites/2, batch), patch by patch -> s1, s2, each (sites/2, batch), patch by patch."""
        batch = frozen.shape[-1]
        x = self.embed.columns(frozen.reshape(self.tokens, self.pixels, batch))
        for block in self.blocks:
            x = block(x, step)
        # The transposed convolution has stride = kernel = P: a plain matrix from a token to its patch.
        x = self.output.columns(x).reshape(self.tokens * self.pixels, self.config.features, batch)
        x = odd_part(x, self.output_bias + self.output_time[step].unsqueeze(-1))
        x = self.pixel.columns(x)
        gain = self.gain_time[step]
        s1 = gain[0] * x[:, 0]
        even = even_part(x[:, 1:], self.even_time[step].unsqueeze(-1))
        s2 = self.log_scale_time[step] + torch.einsum("k,nkb->nb", gain[1:], even)
        return s1, s2


def _normal(*size: int, generator: torch.Generator) -> torch.nn.Parameter:
    # A shift of zero is a stationary point of both parts of tanh(z + b): start away from it.
    return torch.nn.Parameter(0.5 * torch.randn(*size, generator=generator))
