"""Which flow file a command means."""

from __future__ import annotations

from pathlib import Path

from anf.flows.checkpoint import CheckpointError, FlowRecord, load_flow, shipped, shipped_records
from anf.flows.flow import Flow
from anf.lattice.actions import Action

KINDS = ("mixer", "field")


def flow_for(action: Action, choice: str | Path | None) -> tuple[Path, Flow, FlowRecord]:
    """The flow for exactly this action: the shipped one of a kind (`KINDS`), that in a file, or without a choice the
    shipped one with the highest ESS. Raises `CheckpointError`."""
    if choice is None or choice in KINDS:
        path = shipped(action, None if choice is None else str(choice))
    else:
        path = Path(choice)
    return path, *load_flow(path, action)


def flow_named(model: str) -> tuple[Path, Flow, FlowRecord]:
    """The flow in the file `model`, or the shipped one of that name. Raises `CheckpointError`."""
    names = {path.stem: path for path in shipped_records()}
    path = names.get(model, Path(model))
    if not path.exists():
        raise CheckpointError(f"{model}: there is no such file; shipped are {', '.join(names)}")
    return path, *load_flow(path)


def nearest_flow(action: Action, choice: str | Path | None) -> tuple[Path, Flow, FlowRecord]:
    """The flow in a file, or the shipped one with the nearest couplings, of a kind (`KINDS`) or of any: for this action
    and lattice, at any couplings. Among equally near ones that with the highest ESS.

    Raises `CheckpointError`.
    """
    if choice is None or choice in KINDS:
        candidates = {
            path: record
            for path, record in shipped_records().items()
            if (record.action, record.architecture.shape) == (action.name, tuple(action.shape))
            and choice in (None, record.architecture.kind)
        }
        if not candidates:
            raise CheckpointError(
                f"no {'' if choice is None else f'{choice} '}flow is shipped for {action.name} on {action.shape}; make "
                "one by `xbar train`, name it by --flow"
            )

        def distance(path: Path) -> tuple[float, float]:
            record = candidates[path]
            apart = sum((record.parameters[name] - value) ** 2 for name, value in action.parameters.items())
            return apart, -(record.ess or 0.0)

        path = min(candidates, key=distance)
    else:
        path = Path(choice)
    flow, record = load_flow(path)
    if (record.action, record.architecture.shape) != (action.name, tuple(action.shape)):
        raise CheckpointError(
            f"{path}: is for {record.action} on {record.architecture.shape}; needed {action.name} on {action.shape}"
        )
    return path, flow, record


def base_path(path: Path, record: FlowRecord) -> Path:
    """The base file that holds the matrices of a flow file."""
    return path if record.base_file is None else path.with_name(record.base_file)
