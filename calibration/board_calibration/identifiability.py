"""Which parameters of a board can be told from which observations: the observation model, its Jacobian, its rank.

    python -m calibration.board_calibration.identifiability

prints the table of docs/calibration.md. The model is the one written there, on a small array of random cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drivers.line_resistance import LineResistance

Array = np.ndarray
Parameters = dict[str, Array]

N = 8
"""Source lines and bit lines."""
VCM_V, VFORM_V, VERIFY_V = 2.5, 1.0, 0.1
DAC_LSB_V, ADC_LSB_V, RF_OHM = 5.0 / 65536, 1.8 / 16384, 3500.0
CODE_NOISE, METER_V = 0.03, 2e-6
"""Standard error of a mean code and of a multimeter's reading, scatter alone."""


@dataclass(frozen=True)
class Kind:
    """A kind of parameter: its prior standard deviation, and what one unit of the model's variable stands for."""

    prior: float
    text: str


KINDS = {
    "cells": Kind(0.5, "ln of each cell's conductance"),
    "tia.rf_ohm": Kind(0.03, "relative"),
    "tia.offset_v": Kind(1e-3, "V"),
    "adc.gain": Kind(0.03, "relative, one ADC for each source line"),
    "adc.zero_code": Kind(5.0, "codes"),
    "bl.zero_code": Kind(900.0, "codes: offset and gain over half the range"),
    "bl.volts_per_code": Kind(0.03, "relative"),
    "bl.driver_ohm": Kind(1.0, "Ω"),
    "reference.vcm_v": Kind(0.007, "V"),
    "reference.vform_v": Kind(0.003, "V"),
}
METHODS = ("self", "reference", "bench")


def nominal(driver_ohm: float, seed: int = 0) -> tuple[Parameters, Array]:
    """Parameters at zero deviation, and the conductances (N, N) S that deviations are from."""
    rng = np.random.default_rng(seed)
    shapes = {"cells": (N, N), "reference.vcm_v": (1,), "reference.vform_v": (1,)}
    parameters = {name: np.zeros(shapes.get(name, (N,))) for name in KINDS}
    parameters["bl.driver_ohm"] += driver_ohm
    parameters["tia.offset_v"] += 1e-3 * rng.standard_normal(N)
    return parameters, 50e-6 * np.exp(0.3 * rng.standard_normal((N, N)))


def observe(p: Parameters, cells_s: Array, method: str) -> Array:
    """Observations, each over its standard error.

    code = zero + V (1 + gain) / LSB, V = V_os − Rf I, I_i = Σ_j T_ij (u_j − V_os,i), T the cells behind their lines.
    """
    rf, gain = RF_OHM * (1 + p["tia.rf_ohm"]), (1 + p["adc.gain"]) / ADC_LSB_V
    volts_per_code = DAC_LSB_V * (1 + p["bl.volts_per_code"])
    vcm_v, vform_v = VCM_V + p["reference.vcm_v"], VFORM_V + p["reference.vform_v"]
    zero_code = VCM_V / DAC_LSB_V + p["bl.zero_code"]
    lines = LineResistance(p["bl.driver_ohm"], 0.1, 0.1, np.full(N, 0.5))
    cells = cells_s * np.exp(p["cells"])

    def code(current: Array) -> Array:
        return p["adc.zero_code"] + gain * (p["tia.offset_v"] - rf * current)

    def bl_v(codes: Array) -> Array:
        """Absolute volts of bit lines at DAC codes."""
        return vcm_v + volts_per_code * (codes - zero_code)

    def currents(transfer: Array, over_v: Array) -> Array:
        return over_v @ transfer.T - transfer.sum(axis=1) * p["tia.offset_v"]

    steps = np.vstack([np.zeros(N), np.eye(N)]) * VERIFY_V / DAC_LSB_V
    together = lines.transfer(cells)
    seen = [p["adc.zero_code"], code(np.zeros(N)), code(currents(together, np.zeros(N)))]
    for level_v, reference_v in ((VCM_V, vcm_v), (VFORM_V, vform_v)):
        seen.append(code(currents(together, bl_v(level_v / DAC_LSB_V + steps) - reference_v)).ravel())
    for row in range(N):
        alone = np.zeros((N, N))
        alone[row] = cells[row]
        seen.append(code(currents(lines.transfer(alone), bl_v(VCM_V / DAC_LSB_V + steps) - vcm_v))[:, row])
    result = [np.concatenate(seen) / CODE_NOISE]
    if method == "reference":
        over_v = bl_v(VCM_V / DAC_LSB_V + steps[1:].sum(axis=0)) - vcm_v
        current = (over_v - p["tia.offset_v"]) / (1000.0 + p["bl.driver_ohm"])
        result.append(code(current) / CODE_NOISE)
    if method == "bench":
        amps = np.array([-2e-4, 2e-4])[:, None]
        result += [code(np.broadcast_to(amps, (2, N))).ravel() / CODE_NOISE]
        result += [(vcm_v + p["tia.offset_v"] - rf * amps).ravel() / METER_V, vcm_v / METER_V]
        held = bl_v(VCM_V / DAC_LSB_V + np.array([-1, 1])[:, None] * VERIFY_V / DAC_LSB_V)
        drop = p["bl.driver_ohm"] * together.sum(axis=0) * VERIFY_V
        result += [held.ravel() / METER_V, drop / METER_V]
    return np.concatenate(result)


def jacobian(function: Callable[[Parameters], Array], at: Parameters) -> tuple[Array, list[str]]:
    """Derivatives of observations with respect to every parameter, in units of its prior; and each column's kind."""
    columns, kinds = [], []
    for name, values in at.items():
        step = 1e-4 * KINDS[name].prior
        for index in np.ndindex(values.shape):
            moved = [{**at, name: values.copy()} for _ in range(2)]
            moved[0][name][index] += step
            moved[1][name][index] -= step
            columns.append((function(moved[0]) - function(moved[1])) / (2 * step) * KINDS[name].prior)
            kinds.append(name)
    return np.stack(columns, axis=1), kinds


@dataclass(frozen=True)
class Identifiability:
    """parameters, rank: of the Jacobian, with singular values below 10⁻⁹ of the largest counted as none. left: by kind,
    the share of the prior uncertainty that is left (median); ratios: the same of differences within the kind."""

    parameters: int
    rank: int
    left: dict[str, float]
    ratios: dict[str, float]


def analyse(method: str, driver_ohm: float = 1.0) -> Identifiability:
    """What a method tells of a board at rest, its priors those of `KINDS`."""
    at, cells_s = nominal(driver_ohm)
    derivative, kinds = jacobian(lambda p: observe(p, cells_s, method), at)
    singular = np.linalg.svd(derivative, compute_uv=False)
    posterior = np.linalg.inv(derivative.T @ derivative + np.eye(len(kinds)))
    left, ratios = {}, {}
    for name in KINDS:
        where = np.flatnonzero(np.array(kinds) == name)
        block = posterior[np.ix_(where, where)]
        left[name] = float(np.median(np.sqrt(np.diag(block))))
        if len(where) > 1:
            centred = np.eye(len(where)) - 1 / len(where)
            ratios[name] = float(np.median(np.sqrt(np.diag(centred @ block @ centred) / (1 - 1 / len(where)))))
    both = np.flatnonzero(np.isin(kinds, ("tia.rf_ohm", "adc.gain"))).reshape(2, N)
    product = np.array([posterior[np.ix_(both[:, i], both[:, i])].sum() / 2 for i in range(N)])
    left["sl.amperes_per_code"] = float(np.median(np.sqrt(product)))
    return Identifiability(len(kinds), int((singular > 1e-9 * singular[0]).sum()), left, ratios)


def table(driver_ohm: float = 1.0) -> str:
    """The analysis of all methods in Markdown."""
    found = {method: analyse(method, driver_ohm) for method in METHODS}
    lines = [f"| share of the prior uncertainty left, drivers of {driver_ohm:g} Ω | " + " | ".join(METHODS) + " |"]
    lines.append("|---|" + "---|" * len(METHODS))
    for name in (*KINDS, "sl.amperes_per_code"):
        lines.append(f"| {name} | " + " | ".join(f"{found[m].left[name]:.1e}" for m in METHODS) + " |")
        if name in found["self"].ratios:
            lines.append(
                "| … against each other | " + " | ".join(f"{found[m].ratios[name]:.1e}" for m in METHODS) + " |"
            )
    lines.append("| rank of the Jacobian | " + " | ".join(f"{f.rank} of {f.parameters}" for f in found.values()) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(1.0), table(470.0), sep="\n\n")
