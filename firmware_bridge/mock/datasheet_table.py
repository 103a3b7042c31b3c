"""The datasheet limits that the chip models enforce; ``python -m firmware_bridge.mock.datasheet_table`` prints them."""

from __future__ import annotations

from collections.abc import Iterator

from firmware_bridge.mock import ads8324, cd4051b, dac80508_sheet, dac81416_sheet, opa4322, sn74hc595
from firmware_bridge.mock.limits import Limit

CHIPS = (dac80508_sheet, dac81416_sheet, sn74hc595, cd4051b, opa4322, ads8324)
TEST = "test_a_value_beyond_the_limit_is_refused"
"""In each chip's test file: parametrised over the chip's ``LIMITS``, so that no limit can lack its violation."""

_HEAD = """# Datasheet limits that the mock board enforces

Printed by `python -m firmware_bridge.mock.datasheet_table` from the `LIMITS` of the chip models. Certainty:
**D** = datasheet text; **recalled** = not checked against the document, or chosen where it is silent. Each limit is
violated by the named case of `{test}` in `tests/firmware_bridge/mock/`, and met exactly by the same case of
`test_a_value_at_the_limit_passes`.

| chip | symbol | minimum | maximum | unit | raises | certainty | source | violated by |
|---|---|---|---|---|---|---|---|---|
"""


def _rows() -> Iterator[tuple[str, Limit]]:
    for module in CHIPS:
        for limit in module.LIMITS:
            yield module.__name__.rsplit(".", 1)[-1].removesuffix("_sheet"), limit


def table() -> str:
    """The whole document, Markdown."""
    lines = []
    for module, limit in _rows():
        low, high = ("" if bound is None else f"{bound:g}" for bound in (limit.minimum, limit.maximum))
        cases = ", ".join(f"`test_{module}.py[{limit.symbol}-{bound}]`" for bound, _ in limit.bounds())
        cells = (
            limit.chip,
            limit.symbol,
            low,
            high,
            limit.unit,
            limit.error.__name__,
            limit.certainty,
            limit.source,
            cases,
        )
        lines.append("| " + " | ".join(cells) + " |\n")
    return _HEAD.format(test=TEST) + "".join(lines)


if __name__ == "__main__":
    print(table(), end="")
