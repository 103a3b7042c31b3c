"""The `zc706` bridge through pynq's own Overlay, DefaultIP, MMIO and allocate, over the Verilated gateware."""

import os
import threading
import time

import numpy as np
import pytest
from needs import needs_pynq

from drivers.board import load_board
from drivers.bridges import BackendUnavailable, open_bridge
from firmware_bridge import zc706_bridge
from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import ProtocolError
from firmware_bridge.exclusive import BoardInUse
from firmware_bridge.gateware import ADDRESS, GATEWARE_ID, MAP_HASH, REGISTERS, Event, Status
from firmware_bridge.isa import Gate, Mvm, OutputEnable, Pulse, Shift, SpiRead, Wait
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program
from firmware_bridge.zc706_bridge import Zc706Bridge

pytestmark = needs_pynq
BOARD = load_board()
CONFIG = SequencerConfig(safe_wait_cycles=25_000, safe_frames=(0x05000A,), watchdog_cycles=40_000)
READY = Wait(26_000)
CONNECTED = Program([READY, Shift(16, 0), OutputEnable(True), Gate(True)])
LDAC = 0x050010


@pytest.fixture
def stage():
    """A pynq device with the Verilated gateware and a mock board at its pins, active."""
    from pynq_stage import Device, StageDevice

    Device.active_device = StageDevice(MockBoard(BOARD.wiring, MockParams(), seed=0))
    yield Device.active_device
    del Device._active_device


@pytest.fixture
def bitstream(tmp_path):
    from overlay import write_overlay
    from pynq_stage import BASE

    return write_overlay(tmp_path, BASE)


@pytest.fixture
def bridge(stage, bitstream):
    bridge = open_bridge(f"zc706:{bitstream}", board=BOARD)
    yield bridge
    bridge.close()


def test_the_overlay_is_loaded_and_the_core_in_it_found_by_what_it_is_bound_to(stage, bridge):
    identity = bridge.identify()
    assert (identity.kind, identity.n_dacs, identity.n_adcs, identity.sr_bits) == ("zc706", 8, 8, 16)
    assert isinstance(bridge._bus._ip, zc706_bridge.driver())
    assert stage.downloads == 1


def test_a_bitstream_that_is_loaded_is_left_alone_with_its_limits(stage, bridge, bitstream):
    bridge.configure(CONFIG)
    bridge.close()
    again = open_bridge(f"zc706:{bitstream}?loaded", board=BOARD)
    assert stage.downloads == 1
    with pytest.raises(ProtocolError, match=r"limits.fixed = \(\(4, 255\),\) differs from what .*, \(\)"):
        again.configure(BOARD.sequencer())
    again.close()


def test_the_fabric_has_one_process_at_a_time_and_is_not_loaded_again_under_it(stage, bridge, bitstream):
    text = rf"the fabric of this board \(zc706\) is in use by process {os.getpid()} since"
    for address in (f"zc706:{bitstream}", f"zc706:{bitstream}?loaded"):
        with pytest.raises(BoardInUse, match=text):
            open_bridge(address, board=BOARD)
    assert stage.downloads == 1


def test_pynqs_register_map_names_every_register(bridge):
    registers = bridge._bus._ip.register_map
    assert int(registers.ID) == GATEWARE_ID
    assert int(registers.MAP_HASH) == MAP_HASH
    assert int(registers.DAC_PRESENT) == 0xFF
    registers.SAFE_FRAME_15 = 0x123456
    assert bridge._bus.read(4 * (ADDRESS["SAFE_FRAME"] + 15)) == 0x123456
    assert len(zc706_bridge.register_description()) == sum(r.repeat for r in REGISTERS)


def test_a_program_takes_as_many_accesses_whatever_is_in_it(stage, bridge):
    bridge.configure(CONFIG.model_copy(update={"watchdog_cycles": 0}))
    bridge.run(Program([READY]))
    counts = []
    for n in (1, 60):
        codes = np.full((n, 8, 8), 32768, np.uint16)
        program = Program([Gate(True), Mvm(codes, 0xFF, LDAC, 800, (0, 1, 2, 3), 16, 0xFF, 100)])
        before = stage.accesses
        result = bridge.run(program)
        assert len(result.words) == 16 * n
        counts.append(stage.accesses - before)
    # 3840 frames more, not one access more.
    assert counts[0] == counts[1] < 20


def test_words_lie_in_the_buffers_when_the_gateware_and_the_host_look(bridge):
    # The stage's memory is not coherent: without flush and invalidate either side would see what was there before.
    bridge.configure(CONFIG)
    mock = MockBridge(MockBoard(BOARD.wiring, MockParams(), seed=0))
    mock.configure(CONFIG)
    for n in (3, 1, 5):
        program = Program([READY, *[SpiRead(0xFF, (0x810000,) * 8)] * n])
        np.testing.assert_array_equal(bridge.run(program).words, mock.run(program).words)


def test_reset_leaves_the_chips_as_their_own_reset_does(stage, bridge):
    bridge.configure(CONFIG)
    bridge.run(CONNECTED)
    bridge.reset()
    board = stage.pins._board
    assert not board.gate
    assert board.chain.outputs() is None
    bridge.run(Program([READY]))
    assert {dac.registers["SYNC"] for dac in board.dacs} == {0xFF00}


def test_signs_of_life_keep_the_watchdog_quiet_and_end_with_the_bridge(stage, bridge):
    # 40 000 cycles: a sign of life every 100 µs.
    bridge.configure(CONFIG)
    bridge.run(CONNECTED)
    before, until = stage.accesses, time.monotonic() + 5
    while stage.accesses < before + 5 and time.monotonic() < until:
        time.sleep(1e-3)
    assert stage.accesses >= before + 5
    bridge.close()
    after = stage.accesses
    time.sleep(5e-3)
    assert stage.accesses == after
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_a_host_that_dies_during_a_pulse_leaves_safe_outputs(stage, bridge):
    bridge.configure(CONFIG)
    bridge._end_signs()
    bridge.run(Program([READY, Shift(16, 0), OutputEnable(True)]))
    # The host starts ten pulses of a second and is never seen again.
    words = Program([Pulse((1 << 24) - 1)] * 10).words()
    bridge._program[: len(words)] = words
    bridge._program.flush()
    bridge._write("PROGRAM_LENGTH", len(words))
    bridge._write("CONTROL", 1)
    stage.model.let_pass(1000)
    board = stage.pins._board
    assert stage.model.read(4 * ADDRESS["STATUS"]) & Status.RUNNING
    stage.model.let_pass(CONFIG.watchdog_cycles + 10)
    assert not board.gate
    assert board.chain.outputs() is None
    stage.model.let_pass(CONFIG.safe_wait_cycles + 100)
    assert bridge._read("EVENTS") & Event.WATCHDOG
    with pytest.raises(ProtocolError, match="watchdog has made the outputs safe"):
        bridge.run(Program([READY]))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("zc706:/nowhere/xbar.bit", "there is no bitstream /nowhere/xbar.bit: build it as firmware_bridge/overlay"),
        ("zc706", "there is no bitstream .*overlay/xbar.bit"),
        ("zc706?fast", r"\?fast is unknown; there is zc706\[:PATH\]\[\?loaded\]"),
    ],
)
def test_an_address_that_cannot_be_opened_says_why(stage, address, message):
    with pytest.raises(BackendUnavailable, match=message):
        open_bridge(address, board=BOARD)


def test_a_fabric_that_holds_nothing_is_never_touched(stage, bitstream, tmp_path, monkeypatch):
    state = tmp_path / "state"
    state.write_text("power off\n")
    monkeypatch.setattr(zc706_bridge, "FPGA_STATE", state)
    with pytest.raises(BackendUnavailable, match="holds no bitstream: its state is 'power off'"):
        open_bridge(f"zc706:{bitstream}?loaded", board=BOARD)
    assert stage.accesses == 0


@pytest.mark.parametrize(
    ("cores", "message"),
    [
        ({"gpio": "xilinx.com:ip:axi_gpio:2.0"}, "holds 0 cores xilinx.com:module_ref:xbar_top:1.0.*axi_gpio:2.0"),
        ({"a": zc706_bridge.VLNV, "b": zc706_bridge.VLNV}, "holds 2 cores"),
    ],
)
def test_a_bitstream_of_something_else_is_refused_before_it_is_touched(stage, tmp_path, cores, message):
    from overlay import write_overlay
    from pynq_stage import BASE

    with pytest.raises(BackendUnavailable, match=message):
        open_bridge(f"zc706:{write_overlay(tmp_path, BASE, cores)}", board=BOARD)
    assert stage.accesses == 0


def test_a_machine_without_a_device_is_told_apart(bitstream, monkeypatch):
    from pynq_stage import Device

    monkeypatch.setattr(Device, "_devices", [], raising=False)
    monkeypatch.delattr(Device, "_active_device", raising=False)
    with pytest.raises(BackendUnavailable, match=r"No Devices Found; is this the board, and are you root"):
        open_bridge(f"zc706:{bitstream}", board=BOARD)


def test_other_gateware_is_refused(stage, bitstream, monkeypatch):
    monkeypatch.setattr("firmware_bridge.gateware_client.MAP_HASH", MAP_HASH ^ 1)
    with pytest.raises(ProtocolError, match=r"register MAP_HASH reads .* load the bitstream"):
        Zc706Bridge.open(BOARD.wiring, f"zc706:{bitstream}")
