"""The multimeter: commands to the letter, ranges, averages."""

import math

import pytest

from drivers.instruments.dmm import DC_CURRENT, DC_VOLTAGE, RESISTANCE, open_dmm
from drivers.instruments.visa import InstrumentError
from firmware_bridge.errors import LimitError

IDN = "Keysight Technologies,34465A,MY54505388,A.02.17-02.40-02.17-00.52-03-02"
VOLTS = [":CONF:VOLT:DC 10", ":SENS:VOLT:DC:NPLC 10", ":SENS:VOLT:DC:IMP:AUTO ON", ":SAMP:COUN 3"]
AMPS = [":CONF:CURR:DC 0.001", ":SENS:CURR:DC:NPLC 1", ":SAMP:COUN 1"]
FOUR_WIRE = [":CONF:FRES 1000", ":SENS:FRES:NPLC 100", ":SAMP:COUN 1"]
TWO_WIRE = [":CONF:RES 1000", ":SENS:RES:NPLC 10", ":SAMP:COUN 1"]


@pytest.fixture
def dmm(simulated):
    def make(answer):
        takes = dict.fromkeys([*VOLTS, *AMPS, *FOUR_WIRE, *TWO_WIRE])
        return open_dmm(**simulated(IDN, takes=takes, answers={":READ?": answer}, errors=("+0", "No error")))

    return make


def test_dc_volts_are_averaged_with_their_scatter(dmm, sent):
    with dmm("+2.50000000E+00,+2.50010000E+00,+2.50020000E+00") as it:
        assert sent == ["*IDN?", "*CLS", ":SYST:ERR?", "*RST", ":SYST:ERR?"]
        del sent[:]
        seen = it.dc_voltage(3.0, samples=3)
        assert sent == [*VOLTS, ":SYST:ERR?", ":READ?", ":SYST:ERR?"]
    bound = 0.0035e-2 * 2.5001 + 0.0005e-2 * 10
    assert seen.value == pytest.approx(2.5001)
    assert seen.standard_deviation == pytest.approx(1e-4)
    assert seen.standard_uncertainty == pytest.approx(math.hypot(bound / math.sqrt(3), 1e-4 / math.sqrt(3)))
    assert (seen.unit, seen.samples) == ("V", 3)


def test_the_meter_is_let_go_at_the_end_of_its_block(dmm):
    with dmm("+2.5E+00") as it:
        assert it.link.lost == ""
    assert it.link.lost == "it was closed"
    with pytest.raises(InstrumentError, match="it was closed"):
        it.dc_current(1e-3, nplc=1)


def test_a_setting_that_stands_is_not_sent_again(dmm, sent):
    with dmm("+1.0E-04") as it:
        it.dc_current(0.5e-3, nplc=1)
        assert sent[5:] == [*AMPS, ":SYST:ERR?", ":READ?", ":SYST:ERR?"]
        del sent[:]
        assert str(it.dc_current(0.9e-3, nplc=1)) == "(0.0001 ± 6.4e-08) A"
        assert sent == [":READ?", ":SYST:ERR?"]


def test_resistance_by_four_wires_or_two(dmm, sent):
    with dmm("+4.14000000E+02") as it:
        four = it.resistance(500, nplc=100)
        assert sent[5:8] == FOUR_WIRE
        del sent[:]
        two = it.resistance(500, four_wire=False)
        assert sent[:3] == TWO_WIRE
    # The leads' own 0.2 Ω.
    assert two.standard_uncertainty - four.standard_uncertainty == pytest.approx(0.2 / math.sqrt(3))


def test_an_overload_is_an_error(dmm):
    with dmm("+9.90000000E+37") as it, pytest.raises(InstrumentError, match="an overload; choose a larger range"):
        it.dc_current(1e-3, nplc=1)


def test_fewer_samples_than_asked_for_are_an_error(dmm):
    with dmm("+2.5E+00,+2.5E+00") as it, pytest.raises(InstrumentError, match="2 values where 3 belong"):
        it.dc_voltage(3.0, samples=3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda it: it.dc_voltage(1001.0), "range of DC voltage = 1.001 kV"),
        (lambda it: it.dc_voltage(float("nan")), "range of DC voltage = nan V"),
        (lambda it: it.dc_current(2.0), "range of DC current = 2 A"),
        (lambda it: it.resistance(2e6), "range of resistance = 2 MΩ"),
        (lambda it: it.dc_voltage(1.0, nplc=0.02), "give 1, 10 or 100"),
        (lambda it: it.dc_voltage(1.0, samples=0), "samples = 0"),
    ],
)
def test_a_range_or_time_that_there_is_not_is_refused_before_anything_is_sent(dmm, sent, call, text):
    with dmm("1") as it:
        del sent[:]
        with pytest.raises(LimitError) as refusal:
            call(it)
        assert sent == []
    assert text in str(refusal.value)


def test_the_tables_say_that_they_are_to_be_verified():
    assert all(table.source.startswith("to be verified: ") for table in (DC_VOLTAGE, DC_CURRENT, RESISTANCE))


def test_another_meter_is_refused(simulated):
    with pytest.raises(InstrumentError, match="is Keysight Technologies 34460A; Keysight34465A drives 34465A"):
        open_dmm(**simulated("Keysight Technologies,34460A,MY1,A.02"))
