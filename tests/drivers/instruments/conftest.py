"""Instruments by dialogue: what is said to them to the letter, and what they answer."""

import pytest
import yaml

from drivers.instruments.visa import VisaLink

ADDRESS = "TCPIP0::192.0.2.1::5025::SOCKET"


@pytest.fixture
def simulated(tmp_path):
    """Make a simulated instrument; returns what `VisaLink` and the `open_…` functions take.

    Commands that are neither in `takes` nor in `answers` land in the error queue.
    """
    made = []

    def make(idn, takes=(), answers=None, errors=("0", "No error"), address=ADDRESS, end="\n"):
        said = {"*IDN?": idn, **(answers or {})}
        device = {
            "eom": {kind: {"q": "\n", "r": end} for kind in ("TCPIP SOCKET", "ASRL INSTR")},
            "error": {
                "error_queue": [
                    {
                        "q": ":SYST:ERR?",
                        "default": f'{errors[0]},"{errors[1]}"',
                        "command_error": '-113,"Undefined header"',
                    }
                ]
            },
            "dialogues": [{"q": q} for q in ("*CLS", "*RST", *takes)] + [{"q": q, "r": r} for q, r in said.items()],
        }
        path = tmp_path / f"bench{len(made)}.yaml"
        spec = {"spec": "1.1", "devices": {"it": device}, "resources": {address: {"device": "it"}}}
        path.write_text(yaml.safe_dump(spec))
        made.append(path)
        return {"address": address, "visa_library": f"{path}@sim", "timeout_s": 0.05}

    return make


@pytest.fixture
def sent(mocker):
    """Every line that goes to an instrument, in order."""
    lines = []
    write = VisaLink.write

    def spy(self, command):
        lines.append(command)
        write(self, command)

    mocker.patch.object(VisaLink, "write", spy)
    return lines
