"""Training: reverse KL by path gradients, from the action alone (paper, eq 10)."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from anf.flows.checkpoint import CheckpointError, read_tensors, write_tensors
from anf.flows.deployed import deployed
from anf.flows.flow import Flow, NotInvertible
from anf.lattice.actions import Action
from anf.measurement.statistics import ess
from anf.training.noise import TrainingNoise, noisy_engine
from anf.training.parallel import Processes, together

GROUPS = ("weights", "lora", "bias", "time", "site", "base")
DIGITAL = GROUPS[1:]

Progress = Callable[[int, float, float, float], None]
"""progress(step, loss, ess, eta_s): loss is the mean of S + log q = KL - ln Z; both are over the batches since the last
call."""


class TrainingDiverged(RuntimeError):
    """Training met a number that is not finite, or ended up far worse than it began. The last checkpoint is good."""


class TrainingConfig(BaseModel):
    """How to train. All that the result depends on, beside the flow and the action."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    batch: int = Field(default=512, ge=2, description="configurations per step")
    learning_rate: float = Field(default=4e-3, gt=0, description="peak; linear warm-up, then cosine decay")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    weight_limit: float | None = Field(default=None, gt=1, description="largest |weight| / rms of a base matrix")
    noise: TrainingNoise = TrainingNoise()
    noise_steps: int = Field(default=0, ge=0, description="the noise is on during this many last steps")
    stop_at_ess: float | None = Field(default=None, gt=0, lt=1, description="stop once a report's ESS is this high")
    seed: int = 0
    report_every: int = Field(default=50, ge=1, description="steps between progress reports")
    checkpoint_every: int = Field(default=500, ge=1, description="between checkpoints; a multiple of report_every")

    @model_validator(mode="after")
    def _checkpoints_fall_on_reports(self) -> TrainingConfig:
        # Between two reports there are log weights that no checkpoint holds.
        if self.checkpoint_every % self.report_every:
            raise ValueError(
                f"checkpoint_every = {self.checkpoint_every}: must be a multiple of report_every = {self.report_every}"
            )
        return self


@dataclass
class TrainingResult:
    """curve: (step, mean of S + log q, ESS over the batches of that report). seconds: wall clock of this process."""

    steps: int
    seconds: float
    curve: list[tuple[int, float, float]] = field(default_factory=list)


def parameter_groups(flow: Flow) -> dict[str, dict[str, torch.nn.Parameter]]:
    """Parameters by group (`Flow.group_of`): ``weights`` are those of the arrays, the rest is digital."""
    groups: dict[str, dict[str, torch.nn.Parameter]] = {group: {} for group in GROUPS}
    for name, parameter in flow.named_parameters():
        groups[flow.group_of(name)][name] = parameter
    return groups


def group_sizes(flow: Flow) -> dict[str, int]:
    """Number of parameters in each group."""
    return {group: sum(p.numel() for p in members.values()) for group, members in parameter_groups(flow).items()}


def train(
    flow: Flow,
    action: Action,
    config: TrainingConfig,
    *,
    groups: Iterable[str] = ("weights", "bias", "time", "site", "base"),
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    threads: int = 1,
) -> TrainingResult:
    """Minimise KL(q || p) over the parameters in `groups`, in place.

    With `checkpoint`, the whole state is written there atomically every `config.checkpoint_every` steps and at the end;
    with `resume` it is taken up from there and ends, bit for bit, where an uninterrupted run would have ended (same
    torch, same number of threads, digital layers or engines without noise of their own).

    Raises:
        TrainingDiverged: see there; the message says what to change.
        CheckpointError: nothing to resume from, or it belongs to another flow, action or configuration.
        ValueError: unknown group, nothing to train, lattice of the action not the flow's.
    """
    flow.aim(action)
    members = parameter_groups(flow)
    chosen = list(groups)
    if unknown := set(chosen) - set(GROUPS):
        raise ValueError(f"groups = {chosen}: {sorted(unknown)} unknown, choose from {GROUPS}")
    parameters = {name: p for group in GROUPS if group in chosen for name, p in members[group].items()}
    if not parameters:
        raise ValueError(f"groups = {chosen}: this flow has no parameter in them (LoRA is attached with flow.add_lora)")
    torch.set_num_threads(threads)
    with _only_these_trainable(flow, parameters), together() as processes:
        state = Path(checkpoint) if checkpoint is not None else None
        run = _Run(flow, action, config, parameters, state, processes)
        if resume:
            run.load()
        return run.go(progress)


class _Run:
    """One optimisation: parameters, Adam, generator, step and curve, which are also what a checkpoint holds."""

    def __init__(
        self,
        flow: Flow,
        action: Action,
        config: TrainingConfig,
        parameters: dict[str, torch.nn.Parameter],
        checkpoint: Path | None,
        processes: Processes,
    ) -> None:
        self.flow, self.action, self.config = flow, action, config
        self.parameters, self.checkpoint, self.processes = parameters, checkpoint, processes
        self.adam = torch.optim.Adam(parameters.values(), lr=config.learning_rate, betas=(0.9, 0.99))
        self.generator = torch.Generator().manual_seed(config.seed)
        frozen = {n: p for n, p in flow.named_parameters() if n not in parameters}
        held = {f"{n}.held": layer.held for n, layer in flow.base_layers().items() if layer.held is not None}
        self.frozen_digest = _digest({**frozen, **held})
        self.step = 0
        self.kept: int | None = None
        self.first_loss = math.nan
        self.curve: list[tuple[int, float, float]] = []

    def go(self, progress: Progress | None) -> TrainingResult:
        began, first_step, log_weights = time.monotonic(), self.step, []
        reached = False
        while self.step < self.config.steps and not reached:
            log_weights.append(self._one_step())
            at_end = self.step == self.config.steps
            if at_end or self.step % self.config.report_every == 0:
                recent = torch.cat(log_weights).numpy()
                log_weights = []
                self.curve.append((self.step, float(-recent.mean()), ess(recent)))
                reached = self.config.stop_at_ess is not None and self.curve[-1][2] >= self.config.stop_at_ess
                if progress is not None and self.processes.leads:
                    per_step = (time.monotonic() - began) / (self.step - first_step)
                    progress(*self.curve[-1], per_step * (self.config.steps - self.step))
            due = at_end or reached or self.step % self.config.checkpoint_every == 0
            if self.checkpoint is not None and due and self.processes.leads:
                self.save()
        return TrainingResult(self.step, time.monotonic() - began, self.curve)

    def _one_step(self) -> torch.Tensor:
        config = self.config
        warm_up = min(1.0, (self.step + 1) / 50)
        decay = 0.5 * (1 + math.cos(math.pi * self.step / config.steps))
        for group in self.adam.param_groups:
            group["lr"] = config.learning_rate * warm_up * decay
        with self._noise():
            white = self.flow.white(config.batch, self.generator)[:, self.processes.share(config.batch)]
            loss, log_weight = self.flow.loss(self.action, white.contiguous())
            self.adam.zero_grad()
            loss.backward()
        self.processes.average_gradients(self.parameters.values())
        log_weight = self.processes.gather(log_weight)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), config.clip_norm)
        self._check(log_weight, float(norm))
        self.adam.step()
        try:
            self.flow.require_invertible()
        except NotInvertible as error:
            raise TrainingDiverged(f"step {self.step}: {error}; {self._kept()}") from error
        if config.weight_limit is not None:
            self._limit_weights(config.weight_limit)
        self.step += 1
        return log_weight

    def _check(self, log_weight: torch.Tensor, norm: float) -> None:
        loss = float(-log_weight.mean())
        if self.step == 0:
            self.first_loss = loss
        # Beyond the noise of a batch mean, a flow may not become worse than it began by one unit of log q per site.
        allowed = self.flow.sites + 6 * float(log_weight.std()) / math.sqrt(len(log_weight))
        if math.isfinite(loss) and math.isfinite(norm) and loss - self.first_loss < allowed:
            return
        raise TrainingDiverged(
            f"step {self.step}: loss = {loss:.4g} (it began at {self.first_loss:.4g} and may rise by at most "
            f"{self.flow.sites}), gradient norm = {norm:.4g}; {self._kept()}. Lower learning_rate = "
            f"{self.config.learning_rate:g} or clip_norm = {self.config.clip_norm:g}, or raise batch = "
            f"{self.config.batch}."
        )

    def _kept(self) -> str:
        if self.checkpoint is None:
            return "no checkpoint was kept"
        if self.kept is None:
            return f"no checkpoint was written yet, the first was due at step {self.config.checkpoint_every}"
        return f"the last good state, of step {self.kept}, is in {self.checkpoint}"

    @contextmanager
    def _noise(self) -> Iterator[None]:
        if self.step < self.config.steps - self.config.noise_steps:
            yield
            return
        engines = {
            name: noisy_engine(layer.weight, self.config.noise, self.generator)
            for name, layer in self.flow.base_layers().items()
        }
        with deployed(self.flow, {}, engines):
            yield

    def _limit_weights(self, limit: float) -> None:
        # Of a circulant matrix what is limited is the kernel, relative to its scale.
        with torch.no_grad():
            for name, p in self.parameters.items():
                if self.flow.group_of(name) == "weights":
                    bound = float(limit * p.square().mean().sqrt())
                    p.clamp_(-bound, bound)

    def save(self) -> None:
        assert self.checkpoint is not None
        tensors = {f"flow.{name}": p.detach() for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            tensors |= {f"adam.{key}.{name}": value for key, value in self.adam.state[p].items()}
        tensors["generator"] = self.generator.get_state()
        tensors["curve"] = torch.tensor(self.curve, dtype=torch.float64).reshape(-1, 3)
        tensors["progress"] = torch.tensor([self.step, self.first_loss], dtype=torch.float64)
        write_tensors(self.checkpoint, tensors, {"run": self._identity()})
        self.kept = self.step

    def load(self) -> None:
        if self.checkpoint is None:
            raise CheckpointError("resume = True needs the checkpoint to resume from")
        tensors, header = read_tensors(self.checkpoint)
        if header.get("run") != self._identity():
            raise CheckpointError(
                f"{self.checkpoint} belongs to the run {header.get('run')}, this one is {self._identity()}"
            )
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(tensors[f"flow.{name}"])
                self.adam.state[p] = {key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        self.generator.set_state(tensors["generator"])
        self.step, self.first_loss = int(tensors["progress"][0]), float(tensors["progress"][1])
        self.kept = self.step
        self.curve = [(int(step), loss, e) for step, loss, e in tensors["curve"].tolist()]

    def _identity(self) -> str:
        return (
            f"{self.action.name} {dict(self.action.parameters)} {self.flow.config.model_dump_json()} "
            f"{self.config.model_dump_json()} training {list(self.parameters)}, "
            f"the rest being {self.frozen_digest}"
        )


def _digest(parameters: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, p in parameters.items():
        digest.update(name.encode() + p.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def _only_these_trainable(flow: Flow, parameters: Mapping[str, torch.nn.Parameter]) -> Iterator[None]:
    before = {name: p.requires_grad for name, p in flow.named_parameters()}
    try:
        for name, p in flow.named_parameters():
            p.requires_grad_(name in parameters)
        yield
    finally:
        for name, p in flow.named_parameters():
            p.requires_grad_(before[name])
