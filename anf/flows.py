"""The kinds of flow, by their configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from anf.actions import Action
from anf.field_flow import FieldFlow, FieldFlowConfig
from anf.flow import Flow
from anf.mixer_flow import MixerFlow, MixerFlowConfig

Architecture = Annotated[MixerFlowConfig | FieldFlowConfig, Field(discriminator="kind")]


def build_flow(architecture: Architecture, action: Action, seed: int = 0) -> Flow:
    """A fresh flow of this architecture for `action`. Raises ValueError for an action on another lattice."""
    if isinstance(architecture, FieldFlowConfig):
        return FieldFlow(architecture, action)
    return MixerFlow(architecture, seed, action)
