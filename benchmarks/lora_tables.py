"""What LoRA beside a base that stays does: the tables of docs/flows.md.

``errors``: for what arrays hold instead of the base (programming errors and 1 % stuck cells), also together with
another coupling. ``couplings``: for other couplings, beside training from nothing for as many steps. ``conditioned``:
one flow for a range of couplings instead of an adapter for each. All print Markdown; CPU times are of this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from anf.arrays.adaptation import SMALL, Adapted, adapt
from anf.arrays.array_model import ArrayErrors, model_arrays
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.flow import Flow
from anf.lattice.actions import Action, Graphene, Phi4
from anf.training.conditioned import Conditioned
from anf.training.evaluation import evaluate
from anf.training.loop import DIGITAL, TrainingConfig, train
from anf.training.recipes import mixer_flow
from drivers.board import PAPER_BOARD, load_board

M2, BASE_LAM = -4.0, 5.5
STUCK = 0.01
CONFIG = TrainingConfig(steps=150, batch=256, learning_rate=1e-2)
COLUMNS = ("what is trained", "ESS before", "ESS after", "CPU s", "numbers trained", "share of the weights")
FLOWS: tuple[tuple[str, int, tuple[str, ...], str], ...] = (
    ("mixer", 1, SMALL, "LoRA, spectrum, site maps"),
    ("field", 0, ("base", "time", "site"), "spectrum, sites' own terms"),
)
"""Of each kind of flow the rank of LoRA, the groups that are trained, and their names."""


def phi4(side: int, lam: float) -> Action:
    return Phi4(M2, lam, (side, side))


def base(action: Action) -> Flow:
    """The shipped mixer flow for `action`."""
    return load_flow(shipped(action, "mixer"))[0]


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(*columns: str) -> None:
    row(*columns)
    print("|" + "---|" * len(columns))


def cells(name: str, found: Adapted) -> tuple[str, ...]:
    return (
        name, f"{found.ess_before:.3f}", f"{found.ess_after:.3f}", f"{found.cpu_s:.0f}", str(found.trained),
        f"{found.share:.1%}",
    )  # fmt: skip


def errors(side: int, proposals: int) -> None:
    """L1."""
    faulty = ArrayErrors(stuck_high=STUCK / 2, stuck_low=STUCK / 2)
    board = load_board(PAPER_BOARD)
    header("errors", "λ", *COLUMNS)
    for name, errors_, lam, what, groups in (
        ("programming", ArrayErrors(), BASE_LAM, "LoRA, spectrum, site maps", SMALL),
        ("programming, 1 % stuck", faulty, BASE_LAM, "LoRA, spectrum, site maps", SMALL),
        ("programming, 1 % stuck", faulty, BASE_LAM, "all digital", DIGITAL),
        ("programming, 1 % stuck", faulty, 5.0, "LoRA, spectrum, site maps", SMALL),
    ):
        flow = base(phi4(side, BASE_LAM))
        arrays = model_arrays(flow, board, errors=errors_, seed=1)
        found = adapt(flow, phi4(side, lam), CONFIG, groups=groups, arrays=arrays, proposals=proposals)
        row(name, f"{lam:g}", *cells(what, found))


def couplings(side: int, proposals: int) -> None:
    """L2."""
    header("action", *COLUMNS)
    for lam in (5.0, 6.0):
        action = phi4(side, lam)
        for what, rank, groups in (
            ("LoRA", 1, ("lora",)), ("LoRA, spectrum, site maps", 1, SMALL), ("all digital", 1, DIGITAL),
        ):  # fmt: skip
            found = adapt(base(phi4(side, BASE_LAM)), action, CONFIG, rank=rank, groups=groups, proposals=proposals)
            row(f"φ⁴, λ = {lam:g}", *cells(what, found))
        fresh = mixer_flow(action)
        start = process_time()
        train(fresh, action, CONFIG)
        cpu_s = process_time() - start
        ess = evaluate(fresh, action, proposals, seed=1).ess
        row(f"φ⁴, λ = {lam:g}", "from nothing, as many steps", "", f"{ess:.3f}", f"{cpu_s:.0f}", "", "100 %")
    wire, longer = Graphene(1.0, 0.5, (6, 6)), CONFIG.model_copy(update={"steps": 4 * CONFIG.steps})
    for kind, rank, groups, what in FLOWS:
        for g, u in ((1.0, 0.2), (0.5, 0.1), (0.2, 0.5)):
            flow, action = load_flow(shipped(wire, kind))[0], Graphene(g, u, (6, 6))
            found = adapt(flow, action, longer, rank=rank, groups=groups, proposals=proposals)
            row(f"graphene, g = {g:g}, u = {u:g}", *cells(f"{kind}: {what}", found))


def conditioned(side: int, proposals: int) -> None:
    """One flow whose digital numbers are polynomials of λ, beside the flows that it began from."""
    lams = (5.0, 5.25, 5.5, 5.75, 6.0)
    header("flow", "what follows λ", *(f"λ = {lam:g}" for lam in lams), "CPU s", "numbers trained")
    for kind, rank, groups, what in FLOWS:
        flow = load_flow(shipped(phi4(side, BASE_LAM), kind))[0]
        before = []
        for lam in lams:
            flow.aim(phi4(side, lam))
            before.append(evaluate(flow, phi4(side, lam), proposals, seed=1).ess)
        row(f"{kind}, shipped", "", *(f"{ess:.3f}" for ess in before), "", "")
        if rank:
            flow.add_lora(rank)
        one = Conditioned(flow, "lam", (lams[0], lams[-1]), groups=groups)
        start = process_time()
        one.train(lambda lam: phi4(side, lam), CONFIG.model_copy(update={"steps": 2 * CONFIG.steps}))
        cpu_s = process_time() - start
        after = [evaluate(one.at(phi4(side, lam)), phi4(side, lam), proposals, seed=1).ess for lam in lams]
        row(f"{kind}, conditioned", what, *(f"{ess:.3f}" for ess in after), f"{cpu_s:.0f}", one.trained)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("table", choices=("errors", "couplings", "conditioned"))
    parser.add_argument("--L", type=int, default=6, dest="side")
    parser.add_argument("--proposals", type=int, default=16_384)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = {"errors": errors, "couplings": couplings, "conditioned": conditioned}
    tables[arguments.table](arguments.side, arguments.proposals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
