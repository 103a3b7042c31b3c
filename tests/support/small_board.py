"""A small board behind several bridges, and what there is to compare after a program."""

import re

from firmware_bridge.bridge import SequencerConfig, SequencerLimits
from firmware_bridge.errors import BoardError
from firmware_bridge.isa import Collect, Sample, Wait
from firmware_bridge.mock.array_params import ArrayParams, NonlinearityParams, TelegraphParams
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.mock.dac81416_sheet import Dac81416Params
from firmware_bridge.program import Program
from firmware_bridge.rtl_bridge import RtlBridge
from firmware_bridge.timing import SequencerTiming
from firmware_bridge.wiring import Wiring

LDAC, RESET, SYNC_ALL, GAIN_2, CRC_EN = 0x050010, 0x05000A, 0x02FFFF, 0x0400FF, 0x0800
# 16 bit lines on DACs 0 and 1, 8 rows on DAC 2, three ADCs: an odd number fills its last word half.
WIRING = Wiring(
    bl_dac=(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7),
    wl_dac=tuple(range(16, 24)),
    sl_adc=(0, 0, 0, 1, 1, 1, 2, 2),
    sl_mux=(0, 1, 2, 2, 1, 0, 1, 3),
    sr_devices=5,
    bl_select={"lsb": 0},
    reference_select={"lsb": 3, "inhibit": 6},
    adc_select={"lsb": 33, "inhibit": 36},
    vcm_v=2.5,
    vform_v=1.0,
)
# Every non-ideality on; fluctuators so fast that each stream meets some of their transitions.
RESTLESS = MockParams(
    array=ArrayParams(
        n_sl=8,
        n_bl=16,
        telegraph=TelegraphParams(fraction=0.5, amplitude_rel=(0.05, 0.3), rate_per_s=(10.0, 3000.0)),
        nonlinearity=NonlinearityParams(coefficient=1.0),
    )
)
READY = 26_000  # cycles, longer than the DACs' reset


def small_board(seed=0):
    """The chips and their array, just powered up."""
    return MockBoard(WIRING, RESTLESS, seed=seed)


# The same lines on DACs of sixteen channels: bit lines on DAC 0, rows on DAC 1.
WIDE_WIRING = Wiring(
    **WIRING.model_dump(exclude={"dac_channels", "bl_dac", "wl_dac"}),
    dac_channels=16,
    bl_dac=tuple(reversed(range(16))),
    wl_dac=tuple(range(20, 28)),
)
WIDE_TIMING = SequencerTiming(spi_cs_high_cycles=240)
WIDE_RESET = 0x0E000A


def wide_board(seed=0):
    """The chips of `WIDE_WIRING` and their array, just powered up."""
    return MockBoard(WIDE_WIRING, RESTLESS.model_copy(update={"dac": Dac81416Params()}), seed=seed)


def config(timing=None, limits=None, reset=RESET, **fields):
    """What a driver would configure."""
    return SequencerConfig(
        timing=timing or SequencerTiming(),
        safe_wait_cycles=25_000 if reset == RESET else 100_000,
        safe_frames=(reset,),
        limits=limits or SequencerLimits(),
        **fields,
    )


def pair(timing=None, seed=0, limits=None, *, wide=False):
    """The same board behind both bridges."""
    bridges = [bridge(wide_board(seed) if wide else small_board(seed)) for bridge in (MockBridge, RtlBridge)]
    for bridge in bridges:
        bridge.configure(config(timing, limits, WIDE_RESET if wide else RESET))
    return bridges


def outcome(bridge, program):
    """Words and cycles, or what was refused; an address that only one bridge knows is left out."""
    try:
        result = bridge.run(program)
    except BoardError as error:
        return type(error), re.sub(r"^word \d+: ", "", str(error))
    return result.words.tolist(), result.cycles


def cells(array):
    """What the array's cells and its pulse noise hold. Fluctuators are functions of time: where a board last looked at
    them, which a stream worked out at once leaves behind, is no state."""
    saved = array.save_state()
    return {name: saved[name].tolist() for name in saved if name != "now_s" and not name.startswith("telegraph_")}


def chips(board):
    """Everything that the chips and the array hold."""
    return {
        "dac": [(d.registers, d.active_code.tolist(), d.settled_v.tolist(), d.sdo_word(32)) for d in board.dacs],
        "chain": (board.chain.outputs(), board.chain._stage, board.chain._storage),
        "gate": board.gate,
        "adc": [adc._port[:3] for adc in board.adcs],
        "array": cells(board.array),
    }


LOOK = Program([Wait(3000), Sample(7), Collect()])
