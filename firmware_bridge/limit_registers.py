"""`SequencerLimits` as words of the gateware's registers, and back."""

from __future__ import annotations

from collections.abc import Callable

from firmware_bridge.bridge import MAX_CODE, MAX_FIXED, SequencerLimits
from firmware_bridge.gateware import ADDRESS, REGISTERS

N_CODES = next(register.repeat for register in REGISTERS if register.name == "LIMIT_CODE")
USED = 1 << 24
"""In a word of LIMIT_FIXED."""


def limit_registers(limits: SequencerLimits) -> dict[int, int]:
    """Words by their word addresses."""
    pairs = [*limits.code, *[(0, MAX_CODE)] * (N_CODES - len(limits.code))]
    fixed = [USED | register << 16 | value for register, value in limits.fixed]
    fixed += [0] * (MAX_FIXED - len(fixed))
    return {
        ADDRESS["LIMIT_WIDE"]: int(limits.dac_channels == 16),
        ADDRESS["LIMIT_REGISTERS"]: limits.register_mask,
        ADDRESS["LIMIT_WIDTH_LOW"]: limits.pulse_width[0],
        ADDRESS["LIMIT_WIDTH_HIGH"]: limits.pulse_width[1],
        ADDRESS["LIMIT_INTERVAL"]: limits.pulse_interval,
        ADDRESS["LIMIT_SR_BITS"]: limits.sr_bits,
        **{ADDRESS["LIMIT_FIXED"] + i: word for i, word in enumerate(fixed)},
    } | {ADDRESS["LIMIT_CODE"] + i: high << 16 | low for i, (low, high) in enumerate(pairs)}


def held_limits(word: Callable[[int], int]) -> SequencerLimits:
    """What the registers hold; `word` reads one by its word address."""
    fixed = [word(ADDRESS["LIMIT_FIXED"] + i) for i in range(MAX_FIXED)]
    codes = [word(ADDRESS["LIMIT_CODE"] + i) for i in range(N_CODES)]
    # Not validated: what was latched was latched.
    return SequencerLimits.model_construct(
        code=tuple((code & MAX_CODE, code >> 16) for code in codes),
        dac_channels=16 if word(ADDRESS["LIMIT_WIDE"]) else 8,
        fixed=tuple((w >> 16 & 0x7F, w & MAX_CODE) for w in fixed if w & USED),
        registers=word(ADDRESS["LIMIT_REGISTERS"]),
        pulse_width=(word(ADDRESS["LIMIT_WIDTH_LOW"]), word(ADDRESS["LIMIT_WIDTH_HIGH"])),
        pulse_interval=word(ADDRESS["LIMIT_INTERVAL"]),
        sr_bits=word(ADDRESS["LIMIT_SR_BITS"]),
    )
