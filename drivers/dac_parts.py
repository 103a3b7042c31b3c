"""The DACs that a board may have: one module each, chosen by `part` in the table ``[dac]`` of the board file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from drivers.dac80508 import Dac80508
from drivers.dac81416 import Dac81416

DEFAULT = "DAC80508"
"""That of the paper."""


def _part(settings: Any) -> Any:
    return settings.get("part", DEFAULT) if isinstance(settings, dict) else getattr(settings, "part", DEFAULT)


AnyDac = Annotated[
    Annotated[Dac80508, Tag("DAC80508")] | Annotated[Dac81416, Tag("DAC81416")],
    Discriminator(_part),
]
