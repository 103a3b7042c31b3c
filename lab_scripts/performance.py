"""`xbar performance`: time and energy of the paper's estimate, beside what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab_scripts.console import Report
from lab_scripts.options import Json

if TYPE_CHECKING:
    from anf.arrays.published import Published


def performance(json_output: Json = False) -> None:
    """The paper's estimate of time and energy for its eight lattices: as printed, by the text literally, by the reading
    that comes nearest to print, and corrected. Each assumption is listed with its source."""
    from anf.arrays.performance import READINGS, Assumptions
    from anf.arrays.published import PUBLISHED

    report = Report(as_json=json_output)
    report.table("Assumptions", ("", *(r.name for r in READINGS)), _assumptions())
    report.table(
        "What they are, and their source",
        ("", ""),
        [(name, field.description or "") for name, field in Assumptions.model_fields.items()],
    )
    lattices = {paper.name: _lattice(paper) for paper in PUBLISHED}
    for paper in PUBLISHED:
        _table(report, paper, lattices[paper.name])
    report.finish({
        "assumptions": {r.name: r.assumed.model_dump() | {"transposed": r.transposed} for r in READINGS},
        "lattices": lattices,
    })  # fmt: skip


def _assumptions() -> list[tuple[str, ...]]:
    """The value of each assumption in each reading, and what follows."""
    from anf.arrays.performance import READINGS, Assumptions

    def text(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    names = (*Assumptions.model_fields, "operation_s", "analog_macs_per_s_mm2")
    return [
        *((name, *(text(getattr(r.assumed, name)) for r in READINGS)) for name in names),
        ("MACs of transposed convolution", *(r.transposed for r in READINGS)),
    ]


def _lattice(paper: Published) -> dict[str, Any]:
    """Everything about one lattice, by reading."""
    from anf.arrays.counting import totals
    from anf.arrays.performance import LITERAL, NEAREST, READINGS, implied_analog_mac_j, implied_speedup

    share = paper.macs_percent / 100
    readings = {}
    for reading in READINGS:
        counts, found = totals(paper.mixer.count(reading.transposed)), reading.of(paper.mixer)
        readings[reading.name] = {
            "weights_percent": 100 * counts.analog_weights, "macs_percent": 100 * counts.analog_macs,
            "time_s": found.time_s, "digital_only_s": found.digital_only_s, "speedup": found.speedup,
            "cells_j": found.cells_j, "periphery_j": found.periphery_j, "lora_j": found.lora_j,
            "digital_only_j": found.digital_only_j, "energy_saved_percent": 100 * found.energy_saved,
            "efficiency": found.efficiency,
        }  # fmt: skip
    printed = ("weights_percent", "macs_percent", "speedup", "energy_saved_percent", "efficiency")
    return {
        "printed": {name: getattr(paper, name) for name in printed},
        "readings": readings,
        "speedup_from_printed_macs": implied_speedup(share, NEAREST.assumed),
        "analog_mac_j_from_print": implied_analog_mac_j(share, paper.efficiency, LITERAL.assumed),
    }


_ROWS = (
    ("weights in arrays", "weights_percent", ".1f", 1, "%"),
    ("MACs in arrays", "macs_percent", ".1f", 1, "%"),
    ("time, hybrid, 1 mm²", "time_s", ".4g", 1e6, "µs"),
    ("time, digital only", "digital_only_s", ".4g", 1e6, "µs"),
    ("speed-up", "speedup", ".1f", 1, "×"),
    ("energy: cells", "cells_j", ".4g", 1e9, "nJ"),
    ("energy: DAC, TIA, ADC", "periphery_j", ".4g", 1e9, "nJ"),
    ("energy: LoRA", "lora_j", ".4g", 1e9, "nJ"),
    ("energy, digital only", "digital_only_j", ".4g", 1e9, "nJ"),
    ("energy saved", "energy_saved_percent", ".1f", 1, "%"),
    ("MACs per joule", "efficiency", ".2f", 1, "×"),
)


def _table(report: Report, paper: Published, found: dict[str, Any]) -> None:
    readings, mixer = found["readings"], paper.mixer
    report.table(
        f"{paper.name}: patch {mixer.patch}, width {mixer.width}, {mixer.blocks} blocks, rank {mixer.rank}, "
        f"{mixer.steps} steps",
        ("", "paper", *readings),
        [
            (
                f"{text} ({unit})",
                f"{found['printed'][name]:g}" if name in found["printed"] else "",
                *(f"{scale * r[name]:{form}}" for r in readings.values()),
            )
            for text, name, form, scale, unit in _ROWS
        ],
    )
    report.say(
        f"From the printed numbers alone: MACs give a speed-up of {found['speedup_from_printed_macs']:.1f} on shared "
        f"area; MACs and energy give {1e15 * found['analog_mac_j_from_print']:.1f} fJ per analog MAC.\n"
    )
