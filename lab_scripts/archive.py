"""Measured runs in a folder, each under a hash of what was asked: nothing is measured twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
import xarray as xr

from lab_scripts.console import Report
from lab_scripts.exits import FileError
from lab_scripts.options import action_title
from lab_scripts.runs import RunFile

if TYPE_CHECKING:
    from anf.lattice.actions import Action
    from anf.samplers.ensembles import Ensemble, HmcPlan

Runs = Annotated[Path, typer.Option("--runs", help="Folder of measured runs: what is there is not run again.")]
RUNS = Path("runs")
_FORMAT = 1
"""Raised when the same plan would give other numbers: runs made before are then made again."""


@dataclass
class Archive:
    """The ensembles of a folder, run when they are not there.

    Raises `FileError` for a folder that cannot be made, `CheckpointError` for a flow file that cannot be read.

    choice: the kind of flow to use, or the file; without it the best that is shipped.
    """

    folder: Path
    context: typer.Context
    report: Report
    choice: str | None = None

    def __post_init__(self) -> None:
        if self.choice is not None:
            from anf.flows.checkpoint import read_record
            from lab_scripts.flows import KINDS

            if self.choice not in KINDS:
                read_record(self.choice)

    def hmc(self, action: Action, plan: HmcPlan) -> Ensemble:
        """HMC of `action` as planned."""
        from anf.samplers.ensembles import as_plain, run_hmc

        return self._kept("hmc", action, as_plain(plan), lambda step: run_hmc(action, plan, step))

    def flow(
        self, action: Action, proposals: int, seed: int, *, chains: int = 8, exactly: bool = True
    ) -> Ensemble | None:
        """What a flow gave (`anf.samplers.ensembles.Runs`), with cluster averages."""
        from anf.flows.checkpoint import CheckpointError
        from anf.samplers.ensembles import FlowPlan, as_plain, run_flow
        from lab_scripts.flows import nearest_flow

        try:
            path, flow, record = nearest_flow(action, self.choice)
        except CheckpointError as error:
            self.report.say(f"{action_title(action)}: HMC alone: {error}")
            return None
        if exactly and record.parameters != action.parameters:
            return None
        flow.aim(action)
        plan = FlowPlan(proposals, seed, _digest(path, record.base_file), chains, improve=True)
        drawn = self._kept("flow", action, as_plain(plan), lambda step: run_flow(flow, action, plan, step))
        seconds = record.summary.get("seconds")
        return replace(
            drawn, statistics=drawn.statistics | {"training_s": np.nan if seconds is None else float(seconds)}
        )

    def _kept(self, sampler: str, action: Action, plan: dict[str, Any], run: Any) -> Ensemble:
        asked = {"format": _FORMAT, "sampler": sampler, "action": action.name, "shape": action.shape, "plan": plan}
        key = json.dumps(asked | {"parameters": action.parameters}, sort_keys=True)
        name = f"{sampler}-{action.name}-{action.shape[0]}x{action.shape[1]}"
        path = self.folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.nc"
        if not path.exists():
            self._make_folder()
            run_file = RunFile.open(self.context, path, force=False)
            with self.report.task(f"{sampler} {action_title(action)}") as step:
                ensemble = run(step)
            run_file.write(_dataset(ensemble).assign_attrs(plan=key))
        return _load(path, key)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"--runs {self.folder}: {error.strerror or error}") from error


def _digest(path: Path, base: str | None) -> str:
    files = [path] if base is None else [path, path.with_name(base)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _dataset(ensemble: Ensemble) -> xr.Dataset:
    dims = ("proposal",) if ensemble.log_weights is not None else ("chain", "draw")
    variables: dict[str, Any] = {name: (dims, value) for name, value in ensemble.series.values.items()}
    variables["correlator"] = ((*dims, "t"), ensemble.series.slices)
    if ensemble.log_weights is not None and ensemble.state is not None:
        variables["log_weight"] = (dims, ensemble.log_weights)
        variables["state"] = (("chain", "draw"), ensemble.state.astype(np.int32))
    return xr.Dataset(variables, attrs=ensemble.statistics)


def _load(path: Path, key: str) -> Ensemble:
    from anf.measurement.observables import Series
    from anf.samplers.ensembles import Ensemble

    try:
        run = xr.load_dataset(path, engine="h5netcdf")
    except OSError as error:
        raise FileError(f"{path}: not a run file ({error}); remove it to run it again") from error
    if run.attrs.get("plan") != key:
        raise FileError(f"{path}: is not the run that its name stands for; remove it to run it again")
    arrays = {str(name): variable.to_numpy() for name, variable in run.data_vars.items()}
    slices, log_weights, state = (arrays.pop(name, None) for name in ("correlator", "log_weight", "state"))
    statistics = {name: float(value) for name, value in run.attrs.items() if isinstance(value, (float, np.floating))}
    assert slices is not None
    return Ensemble(Series(arrays, slices), statistics, log_weights, state)
