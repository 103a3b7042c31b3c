"""The DACs that the mock board has models of, by the names that a board file calls them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Tag

from firmware_bridge.mock.dac import DacChip
from firmware_bridge.mock.dac80508 import Dac80508
from firmware_bridge.mock.dac80508_sheet import DacParams
from firmware_bridge.mock.dac81416 import Dac81416
from firmware_bridge.mock.dac81416_sheet import Dac81416Params

DEFAULT = "DAC80508"
CHIPS: dict[str, tuple[type[Any], type[Any]]] = {
    "DAC80508": (Dac80508, DacParams),
    "DAC81416": (Dac81416, Dac81416Params),
}
"""Model and its parameters."""


def _part(params: Any) -> Any:
    return params.get("part", DEFAULT) if isinstance(params, dict) else getattr(params, "part", DEFAULT)


AnyDacParams = Annotated[
    Annotated[DacParams, Tag("DAC80508")] | Annotated[Dac81416Params, Tag("DAC81416")],
    Discriminator(_part),
]


def dac_chip(params: DacParams | Dac81416Params, rng: np.random.Generator) -> DacChip:
    """A chip of the part whose parameters these are."""
    chip: DacChip = CHIPS[params.part][0](params, rng)
    return chip
