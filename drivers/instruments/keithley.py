"""Accuracy tables of the Keithley 2400 and 2450: 1 year, 23 °C ± 5 °C, integration over 1 power line cycle or more."""

from __future__ import annotations

from drivers.instruments.accuracy import Accuracy, Span

_SHEET_2400 = "SPEC-2400 Rev. H, 2004, 1 year, 23 °C ± 5 °C"
_SHEET_2450 = "SPEC-2450 Rev. A, 2013, 1 year, 23 °C ± 5 °C"


def _table(quantity: str, unit: str, source: str, rows: tuple[tuple[float, float, float], ...]) -> Accuracy:
    """Rows (range, % of reading, offset), as data sheets print them."""
    return Accuracy(quantity, unit, tuple(Span(top, percent / 100, offset) for top, percent, offset in rows), source)


VOLTAGE_2400 = _table(
    "voltage", "V", f"{_SHEET_2400}, voltage measurement accuracy",
    ((0.2, 0.012, 300e-6), (2, 0.012, 300e-6), (20, 0.015, 1.5e-3), (200, 0.015, 10e-3)),
)  # fmt: skip
CURRENT_2400 = _table(
    "current", "A", f"{_SHEET_2400}, current measurement accuracy",
    (
        (1e-6, 0.029, 300e-12), (10e-6, 0.027, 700e-12), (100e-6, 0.025, 6e-9), (1e-3, 0.027, 60e-9),
        (10e-3, 0.035, 600e-9), (100e-3, 0.055, 6e-6), (1, 0.22, 570e-6),
    ),
)  # fmt: skip
VOLTAGE_2450 = _table(
    "voltage", "V", f"{_SHEET_2450}, voltage measurement accuracy",
    ((0.02, 0.1, 150e-6), (0.2, 0.012, 200e-6), (2, 0.012, 300e-6), (20, 0.015, 1e-3), (200, 0.015, 10e-3)),
)  # fmt: skip
CURRENT_2450 = _table(
    "current", "A", f"{_SHEET_2450}, current measurement accuracy",
    (
        (10e-9, 0.1, 50e-12), (100e-9, 0.06, 100e-12), (1e-6, 0.025, 300e-12), (10e-6, 0.025, 700e-12),
        (100e-6, 0.02, 6e-9), (1e-3, 0.02, 60e-9), (10e-3, 0.02, 600e-9), (100e-3, 0.025, 6e-6), (1, 0.03, 500e-6),
    ),
)  # fmt: skip
