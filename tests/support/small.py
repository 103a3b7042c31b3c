"""What makes a command quick: its options, or the sizes that it takes from elsewhere."""

from anf.samplers import checks

CHARACTERISATIONS = {
    "iv-sweeps": ("--cycles", 2, "--step-v", 0.35),
    "set-curve": ("--points", 3, "--shots", 2, "--columns", 1),
    "forming": ("--mock", "virgin.toml", "--step-v", 0.5),
    "endurance": ("--cycles", 10),
    "read-disturb": ("--reads", 20_000),
    "noise": ("--reads", 256),
}
"""By the name of the characterisation."""


def physics(monkeypatch, action, L):
    """`xbar check-physics` of one lattice with a fraction of its draws."""
    monkeypatch.setattr(checks, "INTERACTING_DRAWS", {L: 4e4})
    monkeypatch.setattr(checks, "FREE_DRAWS", {(action, L): 4e4})
    monkeypatch.setattr(checks, "NODE_DRAWS", {L: 8e3})
    monkeypatch.setattr(checks, "HMC_PRECISION", 0.03)
    monkeypatch.setattr(checks, "FLOW_PRECISION", 0.03)
    monkeypatch.setattr(checks, "PROPOSALS", {L: 16_384})
