"""All shipped flows, measured again: ESS over 65 536 fresh proposals of each and how fast they come, beside limits.

Prints the table of docs/flows.md. ``--check`` fails beyond a limit; ``--up-to L`` leaves larger lattices out.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from anf.flows.checkpoint import FlowRecord, load_flow, shipped_records
from anf.flows.flow import Flow
from anf.lattice.actions import action_from_name
from anf.samplers.proposals import measure_ess_forward
from anf.training.evaluation import evaluate
from anf.training.loop import group_sizes

PROPOSALS = 65_536
APART = 0.05
"""Largest difference of reverse and forward ESS."""
LEAST_ESS = {
    ("phi4", 4): {5.0: 0.98, 5.5: 0.98, 6.0: 0.98},
    ("phi4", 6): {5.0: 0.98, 5.5: 0.99, 6.0: 0.99},
    ("phi4", 12): {5.0: 0.96, 5.5: 0.98, 6.0: 0.98},
    ("phi4", 24): {5.0: 0.88, 5.5: 0.93, 6.0: 0.95},
    ("graphene", 6): {(0.5, 0.1): 0.98, (1.0, 0.5): 0.99},
    ("graphene", 12): {(0.5, 0.1): 0.97, (1.0, 0.5): 0.97},
    ("graphene", 24): {(0.5, 0.1): 0.92, (1.0, 0.5): 0.92},
    ("graphene", 48): {(0.5, 0.1): 0.70, (1.0, 0.5): 0.70},
}
"""Of the best flow, by action and L, by λ or (g, u)."""
LEAST_MIXER_ESS = {
    ("phi4", 4): {5.0: 0.95, 5.5: 0.95, 6.0: 0.95},
    ("phi4", 6): {5.0: 0.85, 5.5: 0.90, 6.0: 0.92},
    ("phi4", 12): {5.0: 0.60, 5.5: 0.75, 6.0: 0.80},
    ("phi4", 24): {5.0: 0.20, 5.5: 0.35, 6.0: 0.45},
}
"""Of the mixer flow."""
LEAST_PER_S = {("phi4", 12): (20_000, 0.95), ("phi4", 24): (3_000, 0.9)}
"""Configurations per CPU second with their log q, and the ESS at which that counts."""


@dataclass(frozen=True)
class Row:
    """One flow: what it is and what was measured."""

    record: FlowRecord
    name: str
    numbers: int
    ess: float
    ess_forward: float
    acceptance: float
    largest_weight: float
    free_energy: float
    free_energy_error: float
    per_s: float

    @property
    def case(self) -> tuple[str, int]:
        return self.record.action, self.record.architecture.shape[1]

    @property
    def couplings(self) -> float | tuple[float, float]:
        values = self.record.parameters
        return values["lam"] if "lam" in values else (values["g"], values["u"])

    def __str__(self) -> str:
        couplings = ", ".join(f"{name} = {value:g}" for name, value in self.record.parameters.items() if name != "m2")
        lx, ly = self.record.architecture.shape
        cells = (
            self.record.action, f"{lx} × {ly}", couplings, self.record.architecture.kind, str(self.numbers),
            f"{self.ess:.4f}", f"{self.ess_forward:.4f}", f"{self.acceptance:.3f}", f"{self.largest_weight:.2f}",
            f"{self.free_energy:.4f} ± {self.free_energy_error:.4f}", f"{self.per_s:,.0f}".replace(",", " "),
        )  # fmt: skip
        return "| " + " | ".join(cells) + " |"


HEADER = (
    "| action | lattice | couplings | flow | parameters | ESS | forward | acceptance | largest w / mean | F = −ln Z | "
    "per CPU s |\n|" + "---|" * 11
)


def measure(flow: Flow, record: FlowRecord, name: str, n: int) -> Row:
    """ESS and its companions, and the speed of drawing alone."""
    action = action_from_name(record.action, record.architecture.shape, **record.parameters)
    generator = torch.Generator().manual_seed(7)
    flow.sample(512, generator)  # compiles
    start = process_time()
    draws = 0
    while process_time() - start < 1.0:
        flow.sample(512, generator)
        draws += 512
    per_s = draws / (process_time() - start)
    found = evaluate(flow, action, n, seed=2, batch=512)
    forward = measure_ess_forward(flow, action, seed=2)
    return Row(
        record, name, sum(group_sizes(flow).values()), found.ess, forward, found.acceptance, found.largest_weight,
        found.free_energy, found.free_energy_error, per_s,
    )  # fmt: skip


def misses(rows: list[Row]) -> list[str]:
    """Limits that the best flow of a case, or its mixer flow, does not reach, in words.

    Mixer flows alone say nothing about the best flow.
    """
    found = []
    mixers = [row for row in rows if row.record.architecture.kind == "mixer"]
    for floors_of, among in ((LEAST_ESS, rows), (LEAST_MIXER_ESS, mixers)):
        for case, floors in floors_of.items():
            for couplings, floor in floors.items():
                here = [row for row in among if row.case == case and row.couplings == couplings and square(row)]
                best = max(here, key=lambda row: row.ess, default=None)
                if best is None or (floors_of is LEAST_ESS and all(row in mixers for row in here)):
                    continue
                if best.ess < floor:
                    found.append(f"{best.name}: ESS {best.ess:.4f} < {floor}")
                if abs(best.ess - best.ess_forward) > APART:
                    found.append(f"{best.name}: ESS {best.ess:.4f}, forward {best.ess_forward:.4f}")
    for case, (least, ess) in LEAST_PER_S.items():
        good = [row for row in rows if row.case == case and row.ess >= ess]
        if good and (fastest := max(row.per_s for row in good)) < least:
            found.append(f"{case[0]} L = {case[1]}: {fastest:.0f} per CPU s at ESS ≥ {ess} < {least}")
    return found


def square(row: Row) -> bool:
    """Whether the lattice is L × L."""
    lx, ly = row.record.architecture.shape
    return lx == ly


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    parser.add_argument("--up-to", type=int, default=48, metavar="L", help="largest side to measure")
    parser.add_argument("--match", default="", metavar="TEXT", help="only files with TEXT in their name")
    parser.add_argument("--proposals", type=int, default=PROPOSALS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(HEADER)
    rows = []
    order = sorted(
        shipped_records().items(),
        key=lambda item: (item[1].action != "phi4", item[1].architecture.shape, *item[1].parameters.values()),
    )
    for path, record in order:
        if max(record.architecture.shape) <= arguments.up_to and arguments.match in path.stem:
            rows.append(measure(load_flow(path)[0], record, path.stem, arguments.proposals))
            print(rows[-1], flush=True)
    missed = misses(rows)
    print(f"\n{len(rows)} flows over {arguments.proposals} proposals: " + ("; ".join(missed) or "all limits hold"))
    return int(arguments.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
