"""`xbar check-physics`: all that is known exactly about the two theories, held against the samplers."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer

from lab_scripts.archive import RUNS, Archive, Runs
from lab_scripts.console import Report, with_error
from lab_scripts.exits import InputError, OutsideBound, bad_input
from lab_scripts.observables import NAMES
from lab_scripts.options import FlowChoice, Json, Seed, Threads, couplings_title, set_threads


class Sampler(str, Enum):
    """What is checked."""

    hmc = "hmc"
    flow = "flow"
    both = "both"


def check_physics(
    context: typer.Context,
    lattice: Annotated[
        list[str] | None,
        typer.Option("--lattice", help="ACTION:L, e.g. phi4:24; may be repeated.", show_default="all of the paper's"),
    ] = None,
    sampler: Annotated[Sampler, typer.Option("--sampler", help="Which sampler to check.")] = Sampler.both,
    flow: FlowChoice = None,
    runs: Runs = RUNS,
    seed: Seed = 1,
    threads: Threads = 1,
    json_output: Json = False,
) -> None:
    """Hold identities, closed forms, exact values and free energies against HMC and the shipped flows, on every lattice
    of the paper.

    A statement holds within 3σ and with a relative error of at most 10⁻³ (HMC) or 5·10⁻³ (flow). The first time is
    long, eight minutes for the wire on 48 × 48 by HMC alone; runs are kept in --runs.
    """
    report = Report(as_json=json_output)
    set_threads(threads)
    from anf.samplers.checks import CASES, check_flow, check_hmc

    cases = [_case(text, CASES) for text in lattice] if lattice else CASES
    archive = Archive(runs, context, report, flow)
    answer: dict[str, Any] = {}
    missed, without = [], []
    for name, L in cases:
        with bad_input():
            rows = [] if sampler is Sampler.flow else check_hmc(name, L, archive, seed)
            of_flow = [] if sampler is Sampler.hmc else check_flow(name, L, archive, seed)
        if sampler is not Sampler.hmc and not of_flow:
            without.append(f"{name}:{L}")
        rows += of_flow
        report.table(
            f"{name} {L}×{L}", ("", "couplings", "sampler", "value", "expected", "pull", "rel. error", "holds"),
            [
                (
                    _name(row.name), couplings_title(row.couplings), row.sampler, with_error(row.value, row.error),
                    with_error(row.expected, row.expected_error), f"{row.pull:+.1f} σ",
                    "" if row.relative_error != row.relative_error else f"{row.relative_error:.1e}",
                    "yes" if row.holds else "NO",
                )
                for row in rows
            ],
        )  # fmt: skip
        answer[f"{name}:{L}"] = [
            asdict(row) | {"pull": row.pull, "relative_error": row.relative_error, "holds": row.holds} for row in rows
        ]
        missed += [
            f"{name}:{L} {row.sampler} {row.name}{': ' + row.problems[0] if row.problems else ''}"
            for row in rows if not row.holds
        ]  # fmt: skip
    pulls = [abs(row["pull"]) for rows in answer.values() for row in rows]
    report.say(
        f"{len(pulls)} statements, {len(missed)} do not hold; largest pull {max(pulls, default=0.0):.1f} σ, rms "
        f"{(sum(p * p for p in pulls) / max(len(pulls), 1)) ** 0.5:.2f}"
    )
    if without:
        report.say(f"no flow is shipped for {', '.join(without)}: checked with HMC only")
    report.finish({"checks": answer, "without_flow": without})
    if missed:
        raise OutsideBound("; ".join(missed))


def _case(text: str, cases: tuple[tuple[str, int], ...]) -> tuple[str, int]:
    name, _, side = text.partition(":")
    if side.isdecimal() and (name, int(side)) in cases:
        return name, int(side)
    raise InputError(f"--lattice {text}: choose of {', '.join(f'{name}:{L}' for name, L in cases)}")


def _name(name: str) -> str:
    first, space, rest = name.partition(" ")
    return f"{NAMES.get(first, first)}{space}{rest}"
