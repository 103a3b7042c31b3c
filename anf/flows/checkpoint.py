"""Flow files: safetensors with a JSON record in the header. Nothing is ever unpickled.

Two kinds. A *base* file holds every tensor of a flow. An *adapter* file holds the digital tensors only (LoRA, biases,
time embedding, site map) and names the base file beside it, with the digest of the base weights it belongs to: the
matrices in the arrays stay, the digital part changes with the couplings of the action or with the chip.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise

from anf.flows.flow import Flow
from anf.flows.kinds import Architecture, build_flow
from anf.lattice.actions import Action, action_from_name
from firmware_bridge.records import replace_file

WEIGHTS = Path(__file__).parent.parent / "weights"


class CheckpointError(ValueError):
    """A flow file that is missing, damaged, or for something else than what was asked."""


class FlowRecord(BaseModel):
    """What a flow file says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    kind: Literal["base", "adapter"] = "base"
    action: str
    parameters: dict[str, float]
    architecture: Architecture
    lora_ranks: dict[str, int] = Field(default={}, description="rank by layer name")
    base_file: str | None = Field(default=None, description="adapter: name of the base file in the same folder")
    base_digest: str = Field(description="SHA-256 of the base weights")
    seed: int
    command: str
    ess: float | None = Field(default=None, description="reverse ESS measured when the file was written")
    summary: dict[str, Any] = Field(default={}, description="the run that made it: steps, seconds, KL, curve ...")
    versions: dict[str, str] = {}


def save_flow(
    path: str | Path,
    flow: Flow,
    action: Action,
    *,
    seed: int,
    command: str,
    ess: float | None = None,
    summary: Mapping[str, Any] | None = None,
    base: str | Path | None = None,
) -> FlowRecord:
    """Write `flow`, trained for `action`, to `path`, whole or not at all; with `base`, as an adapter to that base file.

    Raises:
        CheckpointError: the action's lattice is not the flow's; or the base weights are not those of `base`, or `base`
            lies in another folder.
    """
    path = Path(path)
    if tuple(action.shape) != flow.config.shape:
        raise CheckpointError(f"action has shape {tuple(action.shape)}, the flow {flow.config.shape}: they must agree")
    tensors = {name: t.detach().contiguous() for name, t in flow.state_dict().items()}
    digest = base_digest(flow)
    if base is not None:
        base = Path(base)
        recorded = read_record(base)
        if recorded.base_digest != digest:
            raise CheckpointError(
                f"the flow has base weights {digest[:12]}, {base} has {recorded.base_digest[:12]}: an adapter belongs "
                "to the base it was tuned on; save a base file instead"
            )
        if base.resolve().parent != path.resolve().parent:
            raise CheckpointError(f"adapter {path} and base {base} must lie in the same folder")
        weights = _base_tensor_names(flow)
        tensors = {name: t for name, t in tensors.items() if name not in weights}
    record = FlowRecord(
        kind="base" if base is None else "adapter",
        action=action.name,
        parameters=dict(action.parameters),
        architecture=flow.config,
        lora_ranks={n: layer.lora.rank for n, layer in flow.base_layers().items() if layer.lora is not None},
        base_file=None if base is None else Path(base).name,
        base_digest=digest,
        seed=seed,
        command=command,
        ess=ess,
        summary=dict(summary or {}),
        versions={"python": platform.python_version(), "torch": torch.__version__},
    )
    write_tensors(path, tensors, {"record": record.model_dump_json()})
    return record


def read_record(path: str | Path) -> FlowRecord:
    """The record in the header of a flow file; tensors are not read. Raises CheckpointError."""
    path = Path(path)
    _, header = read_tensors(path, keys=())
    if "record" not in header:
        raise CheckpointError(f"{path} is a safetensors file without a flow record: not written by save_flow")
    try:
        return FlowRecord.model_validate_json(header["record"])
    except ValidationError as error:
        raise CheckpointError(f"{path}: the flow record is not valid: {error}") from error


def load_flow(
    path: str | Path, action: Action | None = None, architecture: Architecture | None = None
) -> tuple[Flow, FlowRecord]:
    """The flow in `path` (an adapter brings its base along) and its record.

    `action` and `architecture`, where given, are what the caller needs the file to be for.

    Raises:
        CheckpointError: no such file, a damaged one, an adapter whose base is missing or has changed, another action,
            lattice or architecture than asked for (both values are named).
    """
    path = Path(path)
    record = read_record(path)
    if action is not None:
        _require(path, "action", record.action, action.name)
        _require(path, "lattice", record.architecture.shape, tuple(action.shape))
        _require(path, "couplings of the action", record.parameters, dict(action.parameters))
    if architecture is not None:
        _require(path, "architecture", record.architecture.model_dump(), architecture.model_dump())
    flow = build_flow(
        record.architecture, action_from_name(record.action, record.architecture.shape, **record.parameters)
    )
    for name, rank in record.lora_ranks.items():
        if name not in flow.base_layers():
            raise CheckpointError(f"{path}: LoRA for layer {name!r}, but the flow has {list(flow.base_layers())}")
        flow.add_lora(rank, layers=[name])
    tensors, _ = read_tensors(path)
    if record.kind == "adapter":
        assert record.base_file is not None
        base, _ = read_tensors(path.with_name(record.base_file))
        tensors = {n: t for n, t in base.items() if n in _base_tensor_names(flow)} | tensors
    wanted = flow.state_dict()
    _require(
        path,
        "tensors",
        {n: tuple(t.shape) for n, t in sorted(tensors.items())},
        {n: tuple(t.shape) for n, t in sorted(wanted.items())},
    )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name} holds values that are not finite")
    flow.load_state_dict(tensors)
    _require(path, "base weights (SHA-256)", base_digest(flow), record.base_digest)
    return flow, record


def shipped(action: Action, kind: str | None = None, *, smallest: bool = False) -> Path:
    """The file of the shipped flow for this action, its couplings and its lattice: of `kind` (``"mixer"``,
    ``"field"``) or any, the one with the highest ESS; with `smallest` the one with the fewest cells in arrays.

    Raises:
        CheckpointError: none is shipped; the message lists what is, and how to make one.
    """
    candidates = {
        path: record for path, record in shipped_records().items() if kind in (None, record.architecture.kind)
    }
    fitting = [
        path
        for path, record in candidates.items()
        if (record.action, record.architecture.shape, record.parameters)
        == (action.name, tuple(action.shape), dict(action.parameters))
    ]
    if fitting:
        if smallest:
            return min(fitting, key=lambda path: _cells(candidates[path], action))
        return max(fitting, key=lambda path: candidates[path].ess or 0.0)
    raise CheckpointError(
        f"no {'' if kind is None else kind + ' '}flow is shipped for {action.name} on {_sides(action.shape)} at "
        f"{_couplings(action.parameters)}; {_alike(action, candidates.values())}. Train one (xbar train), or "
        "fine-tune the nearest (xbar finetune)"
    )


def _alike(action: Action, records: Iterable[FlowRecord]) -> str:
    """What there is for an action: couplings on its lattice, or lattices."""
    same = [record for record in records if record.action == action.name]
    here = [record for record in same if record.architecture.shape == tuple(action.shape)]
    if here:
        return "there it is for " + " and ".join(sorted({_couplings(record.parameters) for record in here}))
    shapes = sorted({record.architecture.shape for record in same})
    return f"it is on {', '.join(map(_sides, shapes))}" if shapes else "for this action there is none"


def _sides(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _couplings(parameters: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in parameters.items())


def _cells(record: FlowRecord, action: Action) -> int:
    """Numbers in the base matrices of a flow."""
    return sum(layer.weight.numel() for layer in build_flow(record.architecture, action).base_layers().values())


def shipped_records() -> dict[Path, FlowRecord]:
    """The records of all shipped flows, by file."""
    return {path: read_record(path) for path in sorted(WEIGHTS.glob("*.safetensors"))}


def base_digest(flow: Flow) -> str:
    """SHA-256 over names, shapes and float32 values of the base weights."""
    digest = hashlib.sha256()
    for name, layer in flow.base_layers().items():
        digest.update(f"{name}{tuple(layer.weight.shape)}".encode())
        digest.update(layer.weight.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file so that `path` is at every moment either the old file or the new one, whole."""
    replace_file(path, serialise(tensors, metadata=header))


def read_tensors(path: Path, keys: tuple[str, ...] | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors (all, or those in `keys`) and the header of a safetensors file. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="pt") as file:
            names = file.keys() if keys is None else keys
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


def _base_tensor_names(flow: Flow) -> set[str]:
    return {name for name, _ in flow.named_parameters() if flow.group_of(name) == "weights"}


def _require(path: Path, what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise CheckpointError(
            f"{path}: {what} is {json.dumps(found, default=str)}, needed {json.dumps(wanted, default=str)}"
        )
