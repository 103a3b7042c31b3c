"""What a flow is to all that uses one: samplers, training, deployment on arrays, flow files.

A flow moves the sites that are its own: all of them, or with `completed` the even half only, and then the odd half is
drawn exactly from what it is given the even one (`anf.lattice.completion`). Fields are kept batch last, ``(sites, n)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from anf.flows.layers import BaseLinear
from anf.flows.lora import LoRA
from anf.lattice.actions import Action
from anf.lattice.checkerboard import Checkerboard
from anf.lattice.completion import Completion, EvenHalf, WholeLattice, completion

Group = Literal["weights", "lora", "bias", "time", "site", "base"]


class FlowConfig(BaseModel):
    """Architecture of a flow: with the parameters and the action, all that is needed to rebuild it.

    Each kind of flow has its own, told apart by the field `kind`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int] = Field(description="lattice (Lx, Ly), sites; even")
    completed: bool = Field(default=False, description="move the even sites only and draw the odd ones exactly")

    @model_validator(mode="after")
    def _two_halves(self) -> FlowConfig:
        Checkerboard(self.shape)
        return self


class NotInvertible(ValueError):
    """The parameters of a flow make a map that is not one to one."""


class Target(Protocol):
    """The action as the flow's own sites see it: S, or S_eff on the even half."""

    def value_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (sites, n) -> value (n,) float64 and gradient (sites, n), without autograd graph."""


class Flow(torch.nn.Module, ABC):
    """Draws of φ with their density q(φ), exact for whatever the layers returned.

    Raises ValueError for a completed flow without an action.
    """

    config: FlowConfig

    def __init__(self, config: FlowConfig, action: Action | None = None) -> None:
        super().__init__()
        self.board = Checkerboard(config.shape)
        self.completion: Completion | None = None
        if config.completed and action is None:
            raise ValueError("completed = True draws the odd sites from an action: give the action")
        self.config = config
        if action is not None:
            self.aim(action)

    def aim(self, action: Action) -> None:
        """Draw the odd sites of a completed flow from the conditionals of `action`; else nothing changes.

        log q remains exact for every action that is sampled; the weights are best for the one aimed at.
        Raises ValueError for an action on another lattice.
        """
        if tuple(action.shape) != self.config.shape:
            raise ValueError(f"action has shape {tuple(action.shape)}, the flow {self.config.shape}: they must agree")
        if self.config.completed:
            self.completion = completion(action)

    @property
    def sites(self) -> int:
        """Number of sites that the flow itself moves."""
        return self.board.half if self.config.completed else 2 * self.board.half

    # -- what each kind of flow defines -------------------------------------------------------------------------------

    @abstractmethod
    def base_layers(self) -> dict[str, BaseLinear]:
        """The layers whose weights live in arrays, by name, in order of execution."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """How often each base layer is evaluated for one configuration."""

    @abstractmethod
    def vectors_per_sample(self) -> dict[str, int]:
        """Input vectors that each base layer receives for one configuration, by layer name."""

    @abstractmethod
    def group_of(self, parameter: str) -> Group:
        """What a parameter is, by its name: ``weights`` live in arrays; the rest is digital: ``lora``, ``bias``,
        ``time`` (all that depends on the step), ``site`` (maps of a site by itself) and ``base`` (the Gaussian)."""

    @abstractmethod
    def lora_layers(self) -> list[str]:
        """The layers that `add_lora` serves unless told otherwise."""

    @abstractmethod
    def push(self, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """White noise (sites, n) -> the flow's own sites x (sites, n) and log q(x) (n,) float64.

        Each layer is evaluated once per step, and what it returned enters both.
        """

    @abstractmethod
    def density(self, x: torch.Tensor) -> torch.Tensor:
        """log q (n,) float64 of x (sites, n), by the inverse. Digital layers only."""

    @abstractmethod
    def path_gradient(self, target: Target, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From white noise (sites, n) a scalar whose gradient is the path gradient of KL(q || p), its value without
        meaning, and log w = −target − log q (n,) float64, detached."""

    # -- what all have ------------------------------------------------------------------------------------------------

    def add_lora(self, rank: int, seed: int = 0, layers: list[str] | None = None) -> None:
        """Attach fresh LoRA (which changes nothing yet) to `layers`, by default `lora_layers()`.

        A matrix narrower than `rank` gets its full rank.
        """
        generator = torch.Generator().manual_seed(seed)
        base = self.base_layers()
        for name in self.lora_layers() if layers is None else layers:
            n_out, n_in = base[name].weight.shape
            base[name].lora = LoRA(n_in, n_out, min(rank, n_in, n_out), generator=generator)

    def white(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n draws of white noise, (sites, n), in the precision of the parameters."""
        return torch.randn(self.sites, n, generator=generator, dtype=next(self.parameters()).dtype)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """n independent draws: phi (n, Lx, Ly) and log q(phi) (n,), float64, of the whole configuration.

        With noisy engines log q is the exact density given the noise. Fields are single precision, which moves
        log q by 1e-5 or so.
        """
        x, log_q = self.push(self.white(n, generator))
        if self.completion is None:
            return self.board.assemble((x[: self.board.half], x[self.board.half :])), log_q
        seed = int(torch.randint(2**62, (), generator=generator))
        odd, log_p = self.completion.draw(np.ascontiguousarray(x.numpy()), np.random.default_rng(seed))
        return self.board.assemble((x, torch.from_numpy(odd))), log_q + torch.from_numpy(log_p)

    @torch.no_grad()
    def log_prob(self, phi: torch.Tensor) -> torch.Tensor:
        """log q(phi) (n,) float64 of configurations (n, Lx, Ly), by the inverse.

        Only digital: an array that is read again gives other noise, hence another map.

        Raises:
            ValueError: a layer has an engine, or the shape is not that of the flow.
        """
        x = self.board.flatten(phi)
        if self.completion is None:
            return self.density(x)
        even, odd = (half.contiguous() for half in x.split(self.board.half))
        return self.density(even) + torch.from_numpy(self.completion.log_prob(odd.numpy(), even.numpy()))

    def loss(self, action: Action, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`path_gradient` towards p = exp(−S) of `action`; log w is that of whole configurations."""
        return self.path_gradient(EvenHalf(action) if self.config.completed else WholeLattice(action), white)

    def require_invertible(self) -> None:
        """Raises NotInvertible if the parameters make a map that is not one to one; most kinds of flow cannot."""

    def require_digital(self) -> None:
        """Raises ValueError, naming them, if layers have an engine."""
        engines = [name for name, layer in self.base_layers().items() if layer.engine is not None]
        if engines:
            raise ValueError(f"inverse needs digital layers, but {engines} have an engine: set engine = None first")


def log_normal(x: torch.Tensor) -> torch.Tensor:
    """log density (n,), float64, of independent unit normals x (sites, n)."""
    return -0.5 * (x * x).sum(0, dtype=torch.float64) - 0.5 * x.shape[0] * math.log(2 * math.pi)
