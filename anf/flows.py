"""The kinds of flow, by their configuration."""

from __future__ import annotations

from anf.actions import Action
from anf.flow import Flow
from anf.mixer_flow import MixerFlow, MixerFlowConfig

Architecture = MixerFlowConfig


def build_flow(architecture: Architecture, action: Action, seed: int = 0) -> Flow:
    """A fresh flow of this architecture for `action`. Raises ValueError for an action on another lattice."""
    return MixerFlow(architecture, seed, action)
