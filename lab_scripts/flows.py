"""Which flow file a command means."""

from __future__ import annotations

from pathlib import Path

from anf.actions import Action
from anf.checkpoint import WEIGHTS, CheckpointError, FlowRecord, load_flow, read_record, shipped
from anf.flow import Flow


def flow_for(action: Action, path: Path | None) -> tuple[Path, Flow, FlowRecord]:
    """The flow in `path`, or the shipped one, for exactly this action. Raises `CheckpointError`."""
    path = shipped(action) if path is None else path
    return path, *load_flow(path, action)


def flow_named(model: str) -> tuple[Path, Flow, FlowRecord]:
    """The flow in the file `model`, or the shipped one of that name. Raises `CheckpointError`."""
    names = {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}
    path = names.get(model, Path(model))
    if not path.exists():
        raise CheckpointError(f"{model}: there is no such file; shipped are {', '.join(names)}")
    return path, *load_flow(path)


def nearest_flow(action: Action, path: Path | None) -> tuple[Path, Flow, FlowRecord]:
    """The flow in `path`, or the shipped one with the nearest couplings, for this action and lattice at any couplings.

    Raises `CheckpointError`.
    """
    if path is None:
        candidates = {
            candidate: record
            for candidate in sorted(WEIGHTS.glob("*.safetensors"))
            if (record := read_record(candidate)).action == action.name and record.architecture.shape == action.shape
        }
        if not candidates:
            raise CheckpointError(
                f"no flow is shipped for {action.name} on {action.shape}; make one by `xbar train`, name it by --flow"
            )

        def distance(candidate: Path) -> float:
            return sum(
                (candidates[candidate].parameters[name] - value) ** 2 for name, value in action.parameters.items()
            )

        path = min(candidates, key=distance)
    flow, record = load_flow(path)
    if (record.action, record.architecture.shape) != (action.name, tuple(action.shape)):
        raise CheckpointError(
            f"{path}: is for {record.action} on {record.architecture.shape}; needed {action.name} on {action.shape}"
        )
    return path, flow, record


def base_path(path: Path, record: FlowRecord) -> Path:
    """The base file that holds the matrices of a flow file."""
    return path if record.base_file is None else path.with_name(record.base_file)
