"""Write-verify that could leave the board's linked windows is refused before its first pulse."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.write_verify import WriteVerifyConfig, program
from drivers.board import load_board
from drivers.connect import open_crossbar
from firmware_bridge.errors import LimitError

TARGET_S = np.where(np.indices((32, 32)).sum(axis=0) == 5, 50e-6, np.nan)
ALL = {"gate_v": (0.0, 2.5), "width_s": (1e-7, 1e-2)}


def board(**linked):
    it = load_board()
    kinds = {
        kind: getattr(it.limits, kind).model_validate({**getattr(it.limits, kind).model_dump(), "linked": windows})
        for kind, windows in linked.items()
    }
    return it.model_copy(update={"limits": it.limits.model_copy(update=kinds)})


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ({"set": [{"amplitude_v": (0.0, 1.4), **ALL}]}, r"set_v, .* = 1.5 V is outside 0 V … 1.4 V"),
        ({"set": [{"amplitude_v": (0.0, 1.6), **ALL, "gate_v": (0.0, 2.0)}]}, r"at set_gate_v = 2.\d* V .* outside 0"),
        ({"set": [{"amplitude_v": (0.0, 1.6), **ALL, "width_s": (2e-6, 1e-3)}]}, "set_width_s = 1e-06 s"),
        ({"set": [{"amplitude_v": (0.0, 1.6), **ALL, "bl": tuple(range(31))}]}, "set_v"),
        ({"reset": [{"amplitude_v": (0.0, 1.0), **ALL}, {"amplitude_v": (1.2, 2.2), **ALL}]}, "reset_v, .* = 1.1 V"),
        ({"form": [{"amplitude_v": (0.0, 3.8), **ALL}]}, "form_v, .* = 3.95 V is outside 0 V … 3.8 V"),
    ],
)
def test_settings_that_can_leave_the_windows_are_refused_with_what_is_allowed_there(windows, message):
    with open_crossbar("mock", board=board(**windows)) as crossbar:
        with pytest.raises(LimitError, match=message) as refusal:
            program(crossbar, TARGET_S)
        assert "nothing was pulsed" in str(refusal.value)
        assert not crossbar.pulse_count.any()


@pytest.mark.parametrize(
    "windows",
    [
        {"set": [{"amplitude_v": (0.0, 1.5), **ALL}]},
        # Two windows that together leave no gap, and two halves of the lines.
        {"reset": [{"amplitude_v": (0.0, 1.0), **ALL}, {"amplitude_v": (1.0, 2.0), **ALL}]},
        {"set": [{"amplitude_v": (0.0, 1.5), **ALL, "bl": part} for part in (tuple(range(16)), tuple(range(16, 32)))]},
        {"form": [{"amplitude_v": (v, v), **ALL} for v in WriteVerifyConfig().form_v]},
    ],
)
def test_settings_that_cannot_leave_the_windows_are_taken(windows):
    WriteVerifyConfig().check(board(**windows))
