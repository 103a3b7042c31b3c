"""The kinds of flow, by their configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from anf.flows.field_flow import FieldFlow, FieldFlowConfig
from anf.flows.flow import Flow
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Action

Architecture = Annotated[MixerFlowConfig | FieldFlowConfig, Field(discriminator="kind")]


def build_flow(architecture: Architecture, action: Action, seed: int = 0) -> Flow:
    """A fresh flow of this architecture for `action`. Raises ValueError for an action on another lattice."""
    if isinstance(architecture, FieldFlowConfig):
        return FieldFlow(architecture, action)
    return MixerFlow(architecture, seed, action)
