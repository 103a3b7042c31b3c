"""Which study gives the run of each panel that is sampled: of Figs 3 and 4, and one that compares all samplers."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from drivers.board import load_board
from lab_scripts.archive import Archive
from lab_scripts.console import Step
from lab_scripts.options import PAPER
from lab_scripts.panels import graphene, phi4
from lab_scripts.panels.panel import Panel

# Studies are imported when they are asked for: they bring torch, which takes seconds that `xbar --help` should save.


def _autocorrelation(runs: Archive, seed: int) -> xr.Dataset:
    from anf.lattice.actions import Phi4
    from anf.studies.samplers import PAPER_LAM, PAPER_SIDES, compare

    return compare([Phi4(-4.0, PAPER_LAM, (L, L)) for L in PAPER_SIDES], runs, seed)


def _samplers(runs: Archive, seed: int) -> xr.Dataset:
    from anf.samplers.checks import CASES, interacting
    from anf.studies.samplers import compare

    return compare([interacting(name, L) for name, L in CASES], runs, seed)


def _along_lambda(runs: Archive, seed: int) -> xr.Dataset:
    from anf.studies.phi4 import along_lambda

    return along_lambda(runs, seed)


def _errors(runs: Archive, seed: int) -> xr.Dataset:
    from anf.studies.phi4 import errors_of_chi2

    return errors_of_chi2(runs, seed)


def _fields(runs: Archive, seed: int) -> xr.Dataset:
    from anf.studies.graphene import fields

    return fields(runs, seed)


def _gaps(runs: Archive, seed: int) -> xr.Dataset:
    from anf.studies.graphene import gaps

    return gaps(runs, seed)


def _condensates(runs: Archive, seed: int) -> xr.Dataset:
    from anf.studies.graphene import condensates

    return condensates(runs, seed)


def programming(seed: int, progress: Step) -> xr.Dataset:
    """The run of panel S3."""
    from anf.studies.programming import sweep

    return sweep(load_board(PAPER), seed, progress)


SAMPLED: tuple[tuple[Panel, Callable[[Archive, int], xr.Dataset]], ...] = (
    (phi4.AUTOCORRELATION, _autocorrelation),
    (phi4.ENERGY, _along_lambda),
    (phi4.LENGTH, _along_lambda),
    (phi4.ERRORS, _errors),
    (graphene.DISTRIBUTION, _fields),
    (graphene.CORRELATOR, _fields),
    (graphene.GAPS, _gaps),
    (graphene.CONDENSATE, _condensates),
    (phi4.SAMPLERS, _samplers),
)
"""Panels, each with the study that gives its run."""
