"""Models of what the sequencer is told: nobody changes them, and they are looked up by their content all the time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from typing_extensions import Self


class FrozenModel(BaseModel):
    """Hashed once. A copy with changes keeps nothing that was worked out before them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __hash__(self) -> int:
        # Programs look up schedules and limits by it on the hot path.
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(self.__dict__[name] for name in type(self).model_fields))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, which are not checked, as in pydantic."""
        copied = super().model_copy(update=update, deep=deep)
        # pydantic copies what `cached_property` keeps as well.
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied
