"""The LoRA-mixer: predicts s1 and s2 of a coupling from the frozen sites (paper, eqs 13-20).

Every matrix is a `BaseLinear`; the array sees nothing but products. All else is digital. The network is exactly odd
in the field for s1 and exactly even for s2: the activation is the odd (even) part of tanh(z + b), where the bias and
the time embedding enter through b, so that they never break the symmetry (docs/decisions/0020).
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from anf.flows.activation import even_part, odd_part
from anf.flows.circulant import circulant_linear
from anf.flows.layers import BaseLinear, side_by_side
from anf.lattice.gather import gather


class MixerConfig(BaseModel):
    """Sizes of the network. The widths of all matrices follow from these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch: int = Field(default=2, ge=2, description="P, side of a patch, sites; even: as many frozen as active sites")
    window: int = Field(default=1, ge=1, description="side of the square of patches that the embedding of one sees")
    channels: int = Field(default=16, ge=1, description="C, features per token")
    token_hidden: int | None = Field(
        default=16, ge=1, description="D_s, hidden width of token mixing; null: that of the tokens, circulant matrices"
    )
    channel_hidden: int = Field(default=16, ge=1, description="hidden width of channel mixing")
    heads: int = Field(default=1, ge=1, description="token-mixing matrices; each serves channels / heads channels")
    blocks: int = Field(default=1, ge=1, description="m, mixer blocks")
    features: int = Field(default=4, ge=1, description="features per site after the transposed convolution")
    even: int = Field(default=2, ge=1, description="outputs of the per-pixel FC whose even parts make up s2 (and s4)")

    @model_validator(mode="after")
    def _heads_divide_channels(self) -> MixerConfig:
        if self.channels % self.heads:
            raise ValueError(f"heads = {self.heads}: must divide channels = {self.channels}")
        return self

    @field_validator("patch")
    @classmethod
    def _even_patch(cls, patch: int) -> int:
        if patch % 2:
            raise ValueError(f"patch = {patch}: must be even, so that every patch holds as many sites of each colour")
        return patch


class MixerBlock(torch.nn.Module):
    """Token mixing, then channel mixing, each with a residual (eqs 14, 15; no normalisation: docs/decisions/0021)."""

    def __init__(
        self, grid: tuple[int, int], steps: int, config: MixerConfig, name: str, generator: torch.Generator
    ) -> None:
        super().__init__()
        c, d_token, d_channel, tokens = config.channels, config.token_hidden, config.channel_hidden, grid[0] * grid[1]
        heads = range(config.heads if tokens > 1 else 0)

        def token_matrix(n_in: int | None, n_out: int | None, name: str) -> BaseLinear:
            if n_in is None or n_out is None:
                return circulant_linear(grid, name, generator)
            return BaseLinear(n_in, n_out, name, generator)

        self.w1 = torch.nn.ModuleList(token_matrix(tokens, d_token, f"{name}.w1.{h}") for h in heads)
        self.w2 = torch.nn.ModuleList(token_matrix(d_token, tokens, f"{name}.w2.{h}") for h in heads)
        self.w3 = BaseLinear(c, d_channel, f"{name}.w3", generator)
        self.w4 = BaseLinear(d_channel, c, f"{name}.w4", generator)
        if tokens > 1:
            self.token_bias = _normal(d_token or 1, 1, generator=generator)
            self.token_time = _normal(steps, c, generator=generator)
            self.token_gain_time = torch.nn.Parameter(torch.ones(steps, c))
        self.channel_bias = _normal(d_channel, 1, generator=generator)
        self.channel_time = _normal(steps, d_channel, generator=generator)
        self.channel_gain_time = torch.nn.Parameter(torch.ones(steps, d_channel))

    def forward(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """x (tokens, C, batch) -> (tokens, C, batch)."""
        if len(self.w1) > 0:
            x = self._mix_tokens(x, step)
        shift, gain = self.channel_bias + self.channel_time[step].unsqueeze(-1), self.channel_gain_time[step]
        return x + self.w4.columns(odd_part(self.w3.columns(x), shift, gain.unsqueeze(-1)))

    def _mix_tokens(self, x: torch.Tensor, step: int) -> torch.Tensor:
        tokens, c, batch = x.shape
        heads = len(self.w1)
        # Each head's channels stay where they are: views, no copies.
        parts = x.reshape(tokens, heads, -1)
        hidden = side_by_side(_base_layers(self.w1), parts.transpose(0, 1))
        shift = (self.token_bias + self.token_time[step]).reshape(-1, heads, c // heads, 1).transpose(0, 1)
        gain = self.token_gain_time[step].reshape(heads, 1, -1, 1)
        hidden = odd_part(hidden.reshape(heads, -1, c // heads, batch), shift, gain)
        mixed = side_by_side(_base_layers(self.w2), hidden.reshape(heads, hidden.shape[1], -1))
        return (parts + mixed.transpose(0, 1)).reshape(tokens, c, batch)


class Mixer(torch.nn.Module):
    """(frozen half, step) -> what the coupling needs per active site: `odd` odd, `even` even functions of the field.

    One network for all coupling steps; the time embedding (parameters that end in ``_time``) tells it the step.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        pixels: int,
        steps: int,
        config: MixerConfig,
        odd: int,
        even: int,
        generator: torch.Generator,
    ) -> None:
        """grid: tokens along x and y. pixels: frozen sites in a patch, and active ones."""
        super().__init__()
        self.tokens, self.pixels = grid[0] * grid[1], pixels
        self.config, self.odd = config, odd
        self._seen = gather(_window(grid, config.window))
        self.embed = BaseLinear(config.window**2 * pixels, config.channels, "embed", generator)
        self.blocks = torch.nn.ModuleList(
            MixerBlock(grid, steps, config, f"blocks.{i}", generator) for i in range(config.blocks)
        )
        self.output = BaseLinear(config.channels, self.pixels * config.features, "output", generator)
        self.pixel = BaseLinear(config.features, odd + config.even, "pixel", generator)
        self.output_bias = _normal(config.features, 1, generator=generator)
        self.output_time = _normal(steps, config.features, generator=generator)
        self.output_gain_time = torch.nn.Parameter(torch.ones(steps, config.features))
        self.even_time = _normal(steps, config.even, generator=generator)
        # Gains start small, so that training starts near the identity.
        self.odd_gain_time = torch.nn.Parameter(torch.full((steps, odd), 0.1))
        self.even_gain_time = torch.nn.Parameter(torch.full((steps, even, config.even), 0.1))
        self.even_mean_time = torch.nn.Parameter(torch.zeros(steps, even))

    def base_layers(self) -> list[BaseLinear]:
        """In order of execution."""
        return _base_layers(self)

    def vectors(self) -> dict[str, int]:
        """Input vectors of each base layer for one configuration and one evaluation, by layer name."""
        per_head = self.config.channels // self.config.heads
        count = {}
        for layer in self.base_layers():
            is_token_mixing = any(part in ("w1", "w2") for part in layer.name.split("."))
            count[layer.name] = per_head if is_token_mixing else self.tokens
        count[self.pixel.name] = self.tokens * self.pixels
        return count

    def forward(self, frozen: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """frozen (tokens · pixels, batch), patch by patch -> odd (odd, tokens · pixels, batch) and even (even, ...)."""
        batch = frozen.shape[-1]
        x = self._seen(frozen.reshape(self.tokens, self.pixels, batch))
        x = self.embed.columns(x.reshape(self.tokens, -1, batch))
        for block in self.blocks:
            x = block(x, step)
        # The transposed convolution has stride = kernel = P: a plain matrix from a token to its patch's active sites.
        x = self.output.columns(x).reshape(self.tokens, self.pixels, self.config.features, batch)
        shift = self.output_bias + self.output_time[step].unsqueeze(-1)
        x = odd_part(x, shift, self.output_gain_time[step].unsqueeze(-1))
        x = x.permute(2, 0, 1, 3).reshape(1, self.config.features, -1)
        x = self.pixel.columns(x).reshape(-1, self.tokens * self.pixels, batch)
        odd, even = x.split((self.odd, self.config.even))
        odd = self.odd_gain_time[step, :, None, None] * odd
        shapes = even_part(even, self.even_time[step, :, None, None])
        even = torch.tensordot(self.even_gain_time[step], shapes, 1) + self.even_mean_time[step, :, None, None]
        return odd, even


def _window(grid: tuple[int, int], side: int) -> torch.Tensor:
    """The patches (tokens · side²,) that the embedding of each sees, one after the other: around it, an even side
    reaching one further back, where the frozen sites of the patch's own active ones are."""
    (nx, ny), reach = grid, torch.arange(-(side // 2), side - side // 2)
    x = (torch.arange(nx)[:, None] + reach) % nx
    y = (torch.arange(ny)[:, None] + reach) % ny
    return (x[:, None, :, None] * ny + y[None, :, None, :]).reshape(-1)


def _base_layers(module: torch.nn.Module) -> list[BaseLinear]:
    """In order of execution."""
    return [m for m in module.modules() if isinstance(m, BaseLinear)]


def _normal(*size: int, generator: torch.Generator) -> torch.nn.Parameter:
    # A shift of zero is a stationary point of both parts of tanh(z + b): start away from it.
    return torch.nn.Parameter(0.5 * torch.randn(*size, generator=generator))
