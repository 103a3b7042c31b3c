"""A product and a table of pulses, as small as they come."""

import numpy as np

from firmware_bridge.isa import (
    Mvm,
    Pulses,
)

LDAC = 0x050010


def one_vector_mvm(**changes: object) -> Mvm:
    fields = dict(
        codes=np.arange(8, dtype=np.uint16).reshape(1, 1, 8),
        dac_mask=0b1,
        ldac_frame=LDAC,
        settle=10,
        positions=(0xA5,),
        sr_bits=8,
        adc_mask=0b1,
        mux_settle=7,
    )
    return Mvm(**(fields | changes))  # type: ignore[arg-type]


def two_pulses(**changes: object) -> Pulses:
    fields = dict(
        codes=np.arange(16, dtype=np.uint16).reshape(2, 1, 8),
        dac_mask=0b1,
        ldac_frame=LDAC,
        settle=10,
        widths=np.array([100, 200], np.uint32),
    )
    return Pulses(**(fields | changes))  # type: ignore[arg-type]
