"""Test points of the mock board: what stands there, and what a current from outside does."""

import math

import numpy as np
import pytest

from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.connect import mock_board, open_crossbar
from drivers.crossbar import Crossbar
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import Gate
from firmware_bridge.mock.array import excess_voltage
from firmware_bridge.mock.board import MockParams
from firmware_bridge.mock.probe import BIAS_OHM, OPEN_OHM, Probe
from firmware_bridge.program import Program

RF_OHM = 3500.0


@pytest.fixture(params=[MockParams(), MockParams.ideal()], ids=["real", "ideal"])
def crossbar(request):
    with open_crossbar("mock", mock=request.param, seed=3) as it:
        yield it


@pytest.fixture
def board(crossbar):
    return mock_board(crossbar)


@pytest.fixture
def probe(board):
    return Probe(board)


def drive(crossbar, connect):
    """Bit lines connected to their DACs, or not, with the rows on and read voltages on the DACs."""
    crossbar.mvm(np.linspace(-0.1, 0.1, 32))
    crossbar._lines.run(Program([Gate(connect)]))


def test_a_driven_bit_line_stands_at_its_dac_less_what_its_driver_loses(crossbar, board, probe):
    drive(crossbar, True)
    response = board.array.response(board.array.now_s, board.lines_v(math.inf)[1], np.full(32, 2.5))
    for line in (0, 17, 31):
        dac_v = board.dacs[line // 8].settled_v[line % 8]
        drawn_a = response.transfer_s[:, line] @ (
            dac_v - 2.5 + response.nonlinear[:, line] * excess_voltage(dac_v - 2.5)
        )
        loss_v = drawn_a * board.array.wires.bl_source_ohm[line]
        assert probe.port(f"BL{line}").voltage_v(0.0) == pytest.approx(dac_v - loss_v, abs=1e-12)
        assert probe.port(f"DAC{line}").voltage_v(0.0) == dac_v


def test_a_line_that_nothing_drives_floats_to_the_reference(crossbar, probe):
    port = probe.port("BL5")
    assert port.voltage_v(0.0) == 2.5
    assert port.voltage_v(1e-9) == pytest.approx(2.5 + 1e-9 * BIAS_OHM)


def test_word_lines_and_references(crossbar, board, probe):
    drive(crossbar, True)
    assert probe.port("WL7").voltage_v(0.0) == board.lines_v(math.inf)[1][7]
    assert probe.port("REF").voltage_v(0.0) == probe.port("VCM").voltage_v(0.0) == 2.5


def test_a_source_line_is_a_virtual_ground_until_its_amplifier_is_at_a_rail(crossbar, board, probe):
    port = probe.port("SL4")
    wires = board.params.array.wires
    series_ohm = wires.sl_series_ohm if wires else 0.0
    ground_v, rf_ohm = 2.5 + board.tia.v_os_v[4], board.tia.rf_ohm[4]
    low_v, high_v = board.tia.output_range_v
    inside = np.array([-0.5e-3, 0.0, 0.5e-3])
    assert [port.voltage_v(i) for i in inside] == pytest.approx(ground_v + series_ohm * inside, abs=1e-12)
    # 1 mA is 3.5 V over Rf: more than the amplifier has on either side, so that the line leaves its ground.
    array_a = (ground_v - probe.port("TIA4").voltage_v(0.0)) / rf_ohm
    for amps, rail_v in ((1e-3, low_v), (-1e-3, high_v)):
        expected = rail_v + rf_ohm * (amps + array_a) + series_ohm * amps
        assert port.voltage_v(amps) == pytest.approx(expected, abs=1e-9)


def test_voltage_and_current_at_a_source_line_are_one_curve(crossbar, probe):
    port = probe.port("SL4")
    for amps in (-2e-3, -1e-3, 1e-3, 2e-3):
        assert port.current_a(port.voltage_v(amps)) == pytest.approx(amps)
    for volts in (1.0, 3.5):
        assert port.voltage_v(port.current_a(volts)) == pytest.approx(volts)


@pytest.mark.parametrize("amps", [-200e-6, 50e-6, 200e-6])
def test_a_current_into_a_source_line_moves_its_codes_by_rf_over_the_lsb(amps):
    with open_crossbar("mock", mock=MockParams.ideal(), seed=3) as crossbar:
        probe = Probe(mock_board(crossbar))
        before = crossbar.measure(np.zeros((4, 32))).adc_code.copy()
        probe.port("SL9").carry(amps)
        after = crossbar.measure(np.zeros((4, 32))).adc_code
        probe.release("SL9")
        again = crossbar.measure(np.zeros((4, 32))).adc_code
    step = np.zeros((4, 32), int)
    step[:, 9] = np.rint(-amps * RF_OHM / (1.8 / 16384))
    np.testing.assert_array_equal(after - before, step)
    np.testing.assert_array_equal(again, before)


def test_streams_and_single_conversions_see_the_same_current():
    volts = np.random.default_rng(0).uniform(-0.1, 0.1, (16, 32))
    codes = []
    for spell_out in (False, True):
        board = load_board()
        bridge = open_bridge("mock", board=board, seed=3)
        if spell_out:
            bridge._stream = lambda *_: False
        with Crossbar(bridge, board) as crossbar:
            Probe(bridge.board).port("SL9").carry(120e-6)
            codes.append(crossbar.measure(volts).adc_code)
    np.testing.assert_array_equal(*codes)


def test_an_amplifiers_output_is_what_its_converter_reads():
    with open_crossbar("mock", mock=MockParams.ideal(), seed=3) as crossbar:
        board = mock_board(crossbar)
        probe = Probe(board)
        probe.port("SL9").carry(100e-6)
        volts = np.linspace(-0.1, 0.1, 32)
        code = crossbar.measure(volts[None]).adc_code[0]
        crossbar._lines.run(Program([Gate(True)]))
        seen = [probe.port(f"TIA{i}").voltage_v(0.0) - 2.5 for i in range(32)]
    np.testing.assert_allclose(code * 1.8 / 16384, seen, atol=0.51 * 1.8 / 16384)


def test_an_amplifier_that_takes_too_much_stays_at_its_rail(crossbar, board, probe):
    probe.port("SL9").carry(1e-3)
    assert probe.port("TIA9").voltage_v(0.0) == board.tia.output_range_v[0]


def test_a_cell_between_its_lines_with_one_row_on():
    with open_crossbar("mock", mock=MockParams.ideal(), seed=3) as crossbar:
        board = mock_board(crossbar)
        probe = Probe(board)
        lines = crossbar._lines
        lines._codes[lines._wl] = 0
        lines._codes[lines._wl[6]] = 64225  # 4.9 V
        program = Program([])
        lines._write_codes(program)
        lines.run(program)
        true_s = board.array.conductance_s(board.array.now_s)[6, 11]
        port = probe.port("CELL6,11")
        assert port.current_a(0.1) == pytest.approx(0.1 * true_s)
        assert port.voltage_v(0.1 * true_s) == pytest.approx(0.1)
        with pytest.raises(LimitError, match=r"voltage over CELL6,11 .* use pulses"):
            port.current_a(0.31)
        port.carry(port.current_a(0.1))
        # All that goes in at the bit line comes out at the source line: its amplifier sees nothing.
        np.testing.assert_allclose(board.injected_a, np.zeros(32), atol=1e-18)


def test_a_cell_is_not_probed_under_its_driver(crossbar, probe):
    drive(crossbar, True)
    with pytest.raises(ProtocolError, match="CELL6,11: its bit line is driven; disconnect"):
        probe.port("CELL6,11")


def test_a_mux_is_its_resistance_while_it_connects(crossbar, board, probe):
    assert probe.port("MUX_REF").voltage_v(1e-3) == pytest.approx(1e-3 * board.reference_mux.r_on_ohm[0])
    assert probe.port("MUX_BL5").voltage_v(1e-3) == 1e-3 * OPEN_OHM
    drive(crossbar, True)
    assert probe.port("MUX_BL5").voltage_v(1e-3) == pytest.approx(1e-3 * board.bl_mux.r_on_ohm[5])
    probe.port("MUX_BL5").carry(1e-3)
    assert not board.injected_a.any()


def test_a_current_that_the_mock_cannot_follow_is_refused(crossbar, probe):
    drive(crossbar, True)
    probe.port("BL5").carry(0.5e-6)
    with pytest.raises(ProtocolError, match=r"2e-06 A into BL5 would move its line, which the mock does not follow"):
        probe.port("BL5").carry(2e-6)


@pytest.mark.parametrize(
    "name", ["", "BL32", "SL", "CELL1", "CELL1,32", "SL1,2", "TIA-1", "MUX_ADC8", "DAC64", "sl3", "REF0"]
)
def test_a_test_point_that_there_is_not(probe, name):
    with pytest.raises(ProtocolError, match="is not on this board; see"):
        probe.port(name)


@pytest.mark.parametrize("side", [-1, 1])
def test_beyond_its_rail_an_amplifiers_feedback_resistor_carries_what_a_line_is_given(board, probe, side):
    # A line forced 2 V past the ground: the output stays at its rail, the rest lies over Rf and the line.
    port = probe.port("SL4")
    wires = board.params.array.wires
    series_ohm = wires.sl_series_ohm if wires else 0.0
    slope_ohm = board.tia.rf_ohm[4] + series_ohm
    first, second = (port.current_a(2.5 + side * volts) for volts in (2.0, 2.1))
    assert (second - first) * side == pytest.approx(0.1 / slope_ohm, rel=0.05)
    assert first * side > 0


@pytest.mark.parametrize("name", ["DAC12", "WL3", "TIA4", "REF", "VCM"])
def test_outputs_are_stiff(probe, name):
    port = probe.port(name)
    assert port.voltage_v(1e-3) == port.voltage_v(0.0)
    assert port.current_a(port.voltage_v(0.0)) == 0.0
    assert port.current_a(port.voltage_v(0.0) + 1e-3) == math.inf


def test_voltage_and_current_at_a_source_line_that_is_fed_already_are_one_curve(crossbar, board, probe):
    drive(crossbar, True)
    probe.bridge(4, 0, 2e3)
    port = probe.port("SL4")
    assert (2.5 - probe.port("TIA4").voltage_v(0.0)) / board.tia.rf_ohm[4] < -40e-6  # of −0.1 V over 2 kΩ
    for amps in (-2e-3, -1e-3, 1e-3, 2e-3):
        assert port.current_a(port.voltage_v(amps)) == pytest.approx(amps)


def test_an_amplifiers_offset_takes_its_share_of_every_cells_voltage():
    params = MockParams.ideal()
    params = params.model_copy(update={"tia": params.tia.model_copy(update={"v_os_sigma_v": 1e-3, "v_os_max_v": 2e-3})})
    with open_crossbar("mock", mock=params, seed=3) as crossbar:
        board = mock_board(crossbar)
        probe = Probe(board)
        crossbar.mvm(np.zeros(32))
        crossbar._lines.run(Program([Gate(True)]))
        response = board.array.response(board.array.now_s, board.lines_v(math.inf)[1], np.full(32, 2.5))
        assert np.abs(board.tia.v_os_v).max() > 1e-4
        # Bit lines at the common mode: a cell sees the offset alone, and Rf turns its current into volts.
        for line in (0, 9, 31):
            into_a = -response.transfer_s[line].sum() * board.tia.v_os_v[line]
            expected = 2.5 + board.tia.v_os_v[line] - board.tia.rf_ohm[line] * into_a
            assert probe.port(f"TIA{line}").voltage_v(0.0) == pytest.approx(expected, abs=1e-9)
