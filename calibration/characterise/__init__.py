"""What a lab measures of an array, each by `Crossbar` alone, so on any board: see docs/characterisation.md."""

from __future__ import annotations

from calibration.characterise.endurance import Endurance
from calibration.characterise.experiment import Experiment
from calibration.characterise.forming import Forming
from calibration.characterise.iv_sweeps import IvSweeps
from calibration.characterise.levels import Levels
from calibration.characterise.linearity import Linearity
from calibration.characterise.noise import Noise
from calibration.characterise.pattern import Pattern
from calibration.characterise.products import Products
from calibration.characterise.read_disturb import ReadDisturb
from calibration.characterise.retention import Retention
from calibration.characterise.set_curve import SetCurve
from calibration.characterise.traces import Traces
from calibration.characterise.yield_map import YieldMap

EXPERIMENTS: dict[str, type[Experiment]] = {
    kind.name: kind
    for kind in (
        IvSweeps, SetCurve, Traces, Levels, Pattern, Retention, Linearity, Products,
        Forming, YieldMap, Endurance, ReadDisturb, Noise,
    )
}  # fmt: skip
"""By the name of the command."""
