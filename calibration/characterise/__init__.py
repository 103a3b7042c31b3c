"""What a lab measures of an array, each by `Crossbar` alone, so on any board: see docs/characterisation.md."""

from __future__ import annotations

from calibration.characterise.experiment import Experiment
from calibration.characterise.levels import Levels
from calibration.characterise.linearity import Linearity
from calibration.characterise.pattern import Pattern
from calibration.characterise.products import Products
from calibration.characterise.retention import Retention
from calibration.characterise.set_curve import SetCurve

EXPERIMENTS: dict[str, type[Experiment]] = {
    kind.name: kind for kind in (SetCurve, Levels, Pattern, Retention, Linearity, Products)
}
"""By the name of the command."""
