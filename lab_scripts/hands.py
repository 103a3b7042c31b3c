"""A person who moves probes and resistors, when asked on the terminal."""

from __future__ import annotations

import math
import sys

import typer

from lab_scripts.exits import InputError


class Hands:
    """Asks for each move and waits for Enter. Raises `InputError` where nobody can answer."""

    def __init__(self) -> None:
        self._at: dict[str, str | None] = {}

    def connect(self, name: str, point: str | None) -> None:
        """Ask for an instrument's probes to be put at a test point, or taken away."""
        if self._at.get(name) != point:
            self._ask(
                f"{name.upper()}: " + ("take the probes away" if point is None else f"HI to {point}, LO to ground")
            )
            self._at[name] = point

    def connect_resistor(self, sl: int, bl: int, ohm: float) -> None:
        """Ask for the resistor to be hung between two test points, or taken away."""
        where = "take it away" if math.isinf(ohm) else f"from BL{bl} to SL{sl}"
        if self._at.get("resistor") != where:
            self._ask(f"Resistor of {ohm:g} Ω: {where}" if math.isfinite(ohm) else f"Resistor: {where}")
            self._at["resistor"] = where

    @staticmethod
    def _ask(what: str) -> None:
        if not sys.stdin.isatty():
            raise InputError(f"{what}: nobody is there to do it; run this on a terminal, or on the mock")
        typer.prompt(f"{what}; then press Enter", default="", show_default=False, err=True)
