"""An example of every command, shown below its help; tests parse each of them."""

from __future__ import annotations

EXAMPLES = {
    "xbar doctor": "xbar doctor",
    "xbar config": "xbar config",
    "xbar program": "xbar program AI4S --seed 1 --out ai4s.nc",
    "xbar compare-write-verify": "xbar compare-write-verify --chips 3 --out compared.nc",
    "xbar mvm": "xbar mvm --weights w.npy --inputs v.npy --out mvm.nc",
    "xbar calibrate self": "xbar calibrate self --out record.json",
    "xbar calibrate reference": "xbar calibrate reference --ohm 1000 --uncertainty 0.2 --out record.json",
    "xbar calibrate bench": "xbar calibrate bench --dmm mock --smu mock --out record.json",
    "xbar calibrate show": "xbar calibrate show record.json",
    "xbar calibrate mvm": "xbar calibrate mvm --calibration record.json",
    "xbar fit-device": "xbar fit-device set-curve.nc retention.nc --out ours.toml",
    "xbar figure": "xbar figure 2g --out levels.pdf",
    "xbar ledger": "xbar ledger",
    "xbar resume": "xbar resume ai4s.nc",
    "xbar report": "xbar report ai4s.nc",
    "xbar dashboard": "xbar dashboard runs",
    "xbar runs list": "xbar runs list runs",
    "xbar runs show": "xbar runs show ai4s.nc",
    "xbar runs compare": "xbar runs compare ai4s.nc again.nc",
    "xbar runs replay": "xbar runs replay ai4s.nc",
    "xbar runs export": "xbar runs export ai4s.nc --variable g_read_s --out g.csv",
    "xbar campaign": "xbar campaign campaign.toml --out runs",
    "xbar bench list": "xbar bench list",
    "xbar bench check": "xbar bench check mock",
    "xbar train": "xbar train --lam 5 --L 4 --out phi4.safetensors",
    "xbar finetune": "xbar finetune --lam 5.2 --out phi4_5.2.safetensors",
    "xbar place": "xbar place phi4_L4 --arrays 1 --picture plan.png",
    "xbar performance": "xbar performance",
    "xbar hmc": "xbar hmc --lam 5.5 --out h.nc",
    "xbar sample": "xbar sample --lam 5.5 --layers crossbar --out s.nc",
    "xbar check-physics": "xbar check-physics --lattice phi4:4 --sampler hmc",
    "xbar demo": "xbar demo --out demo.nc",
    "xbar serve": "xbar serve --listen tcp://127.0.0.1:7706",
}
"""By the words of the command."""


def example(words: str) -> str:
    """The example of a command; characterisations are all alike, and a command without one has none."""
    if words.startswith("xbar characterise "):
        return f"{words} --seed 1 --out {words.split()[-1]}.nc"
    return EXAMPLES.get(words, "")
