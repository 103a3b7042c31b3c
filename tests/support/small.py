"""Options that make a command quick."""

CHARACTERISATIONS = {
    "iv-sweeps": ("--cycles", 2, "--step-v", 0.35),
    "set-curve": ("--points", 3, "--shots", 2, "--columns", 1),
    "forming": ("--mock", "virgin.toml", "--step-v", 0.5),
    "endurance": ("--cycles", 10),
    "read-disturb": ("--reads", 20_000),
    "noise": ("--reads", 256),
}
"""By the name of the characterisation."""
