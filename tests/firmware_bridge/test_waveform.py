"""What the pins show: decoded by somebody else's decoder, and held against the datasheets."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from needs import needs_verilator
from vcd import Signal, frames, read_vcd, violations

from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.connect import open_crossbar
from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import ProtocolError
from firmware_bridge.isa import Gate, Pulse, SpiRead, SpiWrite, Wait
from firmware_bridge.program import Program

pytestmark = needs_verilator
BOARD = load_board()
N_DACS, N_ADCS = BOARD.wiring.n_dacs, BOARD.wiring.n_adcs
READ_ID, NOP, RESET, CRC_EN = 0x810000, 0x000000, 0x05000A, 0x030800


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A session with everything in it: power-up, products, a pulse, registers read at both clocks, the end."""
    path = tmp_path_factory.mktemp("vcd") / "session.vcd"
    with open_crossbar("rtl", seed=3, vcd=path) as crossbar:
        crossbar.mvm(np.linspace(-0.1, 0.1, 96).reshape(3, 32))
        crossbar.apply_pulses(np.where(np.eye(32) > 0, 1.0, np.nan), 1.5, 1e-6)
        lines = crossbar._lines
        words = lines.run(Program([SpiWrite(0xFF, (READ_ID,) * 8), SpiRead(0xFF, (NOP,) * 8)])).words
        assert {int(w) >> 16 for w in words} == {0x81}
    return path


@pytest.fixture(scope="module")
def pins(recorded):
    return read_vcd(recorded)


def meant(path, chip):
    return [entry["frame"] for entry in json.loads(path.with_suffix(".json").read_text()) if entry["chip"] == chip]


def test_the_pins_have_the_names_that_the_documentation_gives(pins):
    chain = {"sr_ser", "sr_srclk", "sr_rclk", "sr_oe_n", "gate"}
    dacs = {f"dac{d}_{pin}" for d in range(N_DACS) for pin in ("cs_n", "sclk", "sdi", "sdo")}
    adcs = {f"adc{a}_{pin}" for a in range(N_ADCS) for pin in ("cs_n", "dclock", "dout")}
    assert set(pins[0]) == chain | dacs | adcs


def test_a_dump_lasts_as_long_as_the_board_time(tmp_path):
    path = tmp_path / "long.vcd"
    with open_crossbar("rtl", vcd=path) as crossbar:
        crossbar.mvm(np.zeros((1, 32)))
        busy = crossbar.cycles
    safe = BOARD.sequencer().safe_wait_cycles + len(BOARD.sequencer().safe_frames) * BOARD.timing.spi_frame_cycles(
        24, read=False
    )
    assert read_vcd(path)[1] == 10 * (busy + safe)


@pytest.mark.skipif(shutil.which("sigrok-cli") is None, reason="needs sigrok-cli (apt-get install sigrok-cli)")
def test_the_spi_decoder_of_sigrok_finds_exactly_the_frames_that_were_meant(recorded):
    for dac in range(N_DACS):
        done = subprocess.run(
            ["sigrok-cli", "-i", str(recorded), "-I", "vcd:downsample=10",
             "-P", f"spi:clk=dac{dac}_sclk:mosi=dac{dac}_sdi:cs=dac{dac}_cs_n:cs_polarity=active-low:cpol=0:cpha=1",
             "-A", "spi=mosi-transfer"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = ["".join(line.partition(":")[2].split()).lower() for line in done.stdout.splitlines()]
        assert len(found) > 100
        assert found == meant(recorded, f"dac{dac}")


def test_the_frames_that_were_meant_are_those_on_the_pins(recorded, pins):
    for dac in range(N_DACS):
        found = frames({name.partition("_")[2]: s for name, s in pins[0].items() if name.startswith(f"dac{dac}_")})
        assert found == meant(recorded, f"dac{dac}")


def test_frames_with_crc_and_those_of_refused_programs_are_meant_too(tmp_path):
    path = tmp_path / "refused.vcd"
    bridge = open_bridge("rtl", board=BOARD, vcd=path)
    bridge.configure(SequencerConfig(safe_wait_cycles=25_000, safe_frames=(RESET,)))
    bridge.run(Program([Wait(26_000), SpiWrite(1, (CRC_EN,)), SpiWrite(1, (0x080001,), crc=True)]))
    with pytest.raises(ProtocolError, match="bit lines are connected"):
        bridge.run(Program([Gate(True), SpiWrite(2, (0x08ABCD,)), Pulse(5)]))
    bridge.close()
    assert meant(path, "dac0") == ["030800", "08000156", "05000a", "05000a"]
    assert meant(path, "dac1") == ["08abcd", "05000a", "05000a"]
    signals, _ = read_vcd(path)
    for dac in range(N_DACS):
        pins = {name.partition("_")[2]: s for name, s in signals.items() if name.startswith(f"dac{dac}_")}
        assert frames(pins) == meant(path, f"dac{dac}")


def test_every_interval_is_within_the_datasheets(pins):
    assert violations(*pins) == []


def moved(name, edge, ns, which=5):
    """An edge of a pin, `ns` later."""

    def mutate(signals):
        times, levels = signals[name].times.copy(), signals[name].levels
        at = np.flatnonzero(levels[1:] == edge)[which] + 1
        times[at] += ns
        return {**signals, name: Signal(times, levels)}

    return mutate


def dropped(name, which=50):
    """Two edges of a pin left out: one clock, or a whole selection."""

    def mutate(signals):
        rising = np.flatnonzero(signals[name].levels[1:] == 1)[which] + 1
        keep = np.delete(np.arange(len(signals[name].times)), [rising, rising + 1])
        return {**signals, name: Signal(signals[name].times[keep], signals[name].levels[keep])}

    return mutate


def released_late(signals):
    """CS high for 14 ns."""
    times, levels = signals["dac6_cs_n"].times.copy(), signals["dac6_cs_n"].levels
    at = np.flatnonzero(levels[1:] == 1)[5] + 1
    times[at] = times[at + 1] - 14
    return {**signals, "dac6_cs_n": Signal(times, levels)}


def read_at_the_write_clock(signals):
    """The clock of the last frame but the safe ones, three times as fast."""
    times, levels = signals["dac2_sclk"].times.copy(), signals["dac2_sclk"].levels
    slow = np.flatnonzero(np.diff(times) == 30)
    times[slow[0] : slow[-1] + 2] = times[slow[0]] + (times[slow[0] : slow[-1] + 2] - times[slow[0]]) // 3
    return {**signals, "dac2_sclk": Signal(times, levels)}


MUTATIONS = {
    "dac1 high": moved("dac1_sclk", 0, -2),
    "dac1 low": moved("dac1_sclk", 0, 2),
    "dac1 period": moved("dac1_sclk", 1, 1),
    "dac6 tCSS": moved("dac6_cs_n", 0, 8),
    "dac6 tCSH": moved("dac6_cs_n", 1, -11),
    "dac6 tCSHIGH": released_late,
    "dac0 tSDIS": moved("dac0_sdi", 1, 6),
    "dac0 tSDIH": moved("dac0_sdi", 0, -1, 0),
    "dac3 clocks of a frame": dropped("dac3_sclk"),
    "dac3 SCLK while CS is high": moved("dac3_cs_n", 1, -200),
    "dac2 read period": read_at_the_write_clock,
    "chain high": moved("sr_srclk", 0, -1),
    "chain low": moved("sr_srclk", 0, 1),
    "chain period": moved("sr_srclk", 1, 1),
    "chain SER setup": moved("sr_ser", 1, 1, 0),
    "chain latch setup": moved("sr_rclk", 1, -60),
    "chain RCLK high": moved("sr_rclk", 0, -1),
    "adc4 high": moved("adc4_dclock", 0, -221),
    "adc4 low": moved("adc4_dclock", 0, 221),
    "adc4 DCLOCK period": moved("adc4_dclock", 1, 10),
    "adc5 clocks of a conversion": dropped("adc5_dclock"),
    "adc5 clocks with CS low": moved("adc5_cs_n", 1, -841),
    "adc6 CS high": moved("adc6_cs_n", 1, 3300),
    "adc7 clocks with CS low": dropped("adc7_cs_n", 1),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_a_dump_with_one_edge_in_the_wrong_place_is_found(pins, what):
    signals, end = pins
    chip, _, parameter = what.partition(" ")
    found = violations(MUTATIONS[what](signals), end)
    assert parameter in {v.parameter for v in found if v.chip == chip}
    assert {v.chip for v in found} == {chip}
