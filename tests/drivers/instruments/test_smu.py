"""Source-measure units: the commands of each model to the letter, and an output that is off on every way out."""

import math

import pytest

from drivers.board import Instruments
from drivers.instruments.smu import ComplianceReached, Keithley2400, Keithley2450, _Setting, open_smu
from drivers.instruments.visa import InstrumentError, InstrumentLost
from firmware_bridge.errors import LimitError, ProtocolError

IDN = {
    "2400": "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C33   Mar 31 2015 09:32:39/A02  /K/J",
    "2450": "KEITHLEY INSTRUMENTS,MODEL 2450,04096331,1.7.0b",
}
OPENED = {
    "2400": [
        "*IDN?", "*IDN?", "*CLS", ":SYST:ERR?",
        "*RST", ":OUTP:SMOD HIMP", ":SENS:FUNC:CONC ON", ':SENS:FUNC "VOLT","CURR"', ":FORM:ELEM VOLT,CURR,STAT",
        ":SYST:ERR?",
    ],
    "2450": [
        "*IDN?", "*LANG?", "*IDN?", "*CLS", ":SYST:ERR?",
        "*RST", ":OUTP:VOLT:SMOD HIMP", ":OUTP:CURR:SMOD HIMP", ":SOUR:VOLT:READ:BACK ON", ":SOUR:CURR:READ:BACK ON",
        ":SYST:ERR?",
    ],
}  # fmt: skip
VOLTAGE = {
    "2400": [
        ":SYST:RSEN OFF", ":SENS:CURR:NPLC 1", ":SOUR:FUNC VOLT", ":SOUR:VOLT:MODE FIX", ":SOUR:VOLT:LEV 0",
        ":SOUR:VOLT:RANG 0.2", ":SENS:CURR:PROT 0.0005", ":SENS:CURR:RANG 0.001", ":SOUR:VOLT:LEV 0.1",
    ],
    "2450": [
        ":SOUR:FUNC VOLT", ":SOUR:VOLT:LEV 0", ":SOUR:VOLT:RANG 0.2", ':SENS:FUNC "CURR"', ":SENS:CURR:RSEN OFF",
        ":SENS:CURR:NPLC 1", ":SENS:CURR:RANG 0.001", ":SOUR:VOLT:ILIM 0.0005", ":SOUR:VOLT:LEV 0.1",
    ],
}  # fmt: skip
CURRENT = {
    "2400": [
        ":SYST:RSEN ON", ":SENS:VOLT:NPLC 10", ":SOUR:FUNC CURR", ":SOUR:CURR:MODE FIX", ":SOUR:CURR:LEV 0",
        ":SOUR:CURR:RANG 0.0001", ":SENS:VOLT:PROT 3", ":SENS:VOLT:RANG 20", ":SOUR:CURR:LEV -5e-05",
    ],
    "2450": [
        ":SOUR:FUNC CURR", ":SOUR:CURR:LEV 0", ":SOUR:CURR:RANG 0.0001", ':SENS:FUNC "VOLT"', ":SENS:VOLT:RSEN ON",
        ":SENS:VOLT:NPLC 10", ":SENS:VOLT:RANG 20", ":SOUR:CURR:VLIM 3", ":SOUR:CURR:LEV -5e-05",
    ],
}  # fmt: skip
READ = {"2400": ":READ?", "2450": ':READ? "defbuffer1",SOUR,READ,SOURSTAT'}
GOOD = {"2400": "+1.000200E-01,+5.000000E-06,+2.150400E+04", "2450": "1.000200E-01,5.000000E-06,128"}
LIMITED = {"2400": "+4.000000E-02,+5.000000E-04,+2.151200E+04", "2450": "4.000000E-02,5.000000E-04,160"}
OFF = [":OUTP OFF", ":OUTP?"]

both = pytest.mark.parametrize("model", ["2400", "2450"])


@pytest.fixture
def smu(simulated, model):
    """Open a simulated SMU that knows the commands above; further answers by keyword."""

    def make(answers=None, takes=(), **options):
        known = {*OPENED[model], *VOLTAGE[model], *CURRENT[model], ":OUTP ON", ":OUTP OFF", *takes}
        said = {"*LANG?": "SCPI", ":OUTP?": "0", READ[model]: GOOD[model], **(answers or {})}
        queries = {q for q in known if "?" in q}
        return open_smu(**simulated(IDN[model], takes=sorted(known - queries), answers=said), **options)

    return make


@both
def test_opening_identifies_resets_and_makes_off_an_open_relay(smu, sent, model):
    with smu() as it:
        assert sent == OPENED[model]
        assert (it.maker[:8], it.model) == ("KEITHLEY", model)
        assert isinstance(it, {"2400": Keithley2400, "2450": Keithley2450}[model])
    assert sent[len(OPENED[model]) :] == OFF


@both
def test_sourcing_a_voltage_sends_range_and_limit_before_the_level(smu, sent, model):
    with smu() as it:
        del sent[:]
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        seen = it.measure()
        assert sent == [*VOLTAGE[model], ":SYST:ERR?", ":OUTP ON", ":SYST:ERR?", READ[model], ":SYST:ERR?"]
    assert sent[-2:] == OFF
    assert (seen.voltage.value, seen.voltage.unit) == (0.10002, "V")
    assert (seen.current.value, seen.current.unit) == (5e-6, "A")


@both
def test_sourcing_a_current_four_wire_over_ten_cycles(smu, sent, model):
    with smu() as it:
        it.configure(four_wire=True, nplc=10)
        del sent[:]
        it.source_current(-50e-6, limit_v=3.0)
        assert sent == [*CURRENT[model], ":SYST:ERR?"]


@both
def test_a_reading_carries_the_accuracy_of_the_ranges_in_use(smu, model):
    with smu() as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        seen = it.measure(samples=4)
    volts, amps = {"2400": (300e-6, (0.027e-2, 60e-9)), "2450": (200e-6, (0.02e-2, 60e-9))}[model]
    assert seen.voltage.standard_uncertainty == pytest.approx((0.012e-2 * 0.10002 + volts) / math.sqrt(3))
    assert seen.current.standard_uncertainty == pytest.approx((amps[0] * 5e-6 + amps[1]) / math.sqrt(3))
    assert (seen.voltage.samples, seen.voltage.standard_deviation) == (4, 0.0)


@both
def test_a_new_level_on_the_same_ranges_is_one_command(smu, sent, model):
    with smu(takes=[":SOUR:VOLT:LEV 0.05"]) as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        del sent[:]
        it.source_voltage(0.05, limit_a=0.5e-3)
        assert sent == [":SOUR:VOLT:LEV 0.05", ":SYST:ERR?"]


@both
@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.source_voltage(0.1, limit_a=0.4e-3),
        lambda it: it.source_voltage(1.5, limit_a=0.5e-3),
        lambda it: it.source_voltage(0.1, limit_a=0.5e-3, range_v=2),
        lambda it: it.source_current(1e-6, limit_v=1.0),
        lambda it: it.configure(four_wire=True),
    ],
)
def test_nothing_but_the_level_changes_under_a_live_output(smu, sent, model, change):
    with smu() as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        del sent[:]
        with pytest.raises(ProtocolError, match="the output off only"):
            change(it)
        assert sent == []
        assert it.output


@both
@pytest.mark.parametrize(
    ("change", "parameter", "limit"),
    [
        (lambda it: it.source_voltage(5.01, limit_a=1e-3), "source voltage = 5.01 V", "-300 mV … 5 V"),
        (lambda it: it.source_voltage(-0.31, limit_a=1e-3), "source voltage = -310 mV", "outside"),
        (lambda it: it.source_voltage(float("nan"), limit_a=1e-3), "source voltage = nan V", "outside"),
        (
            lambda it: it.source_voltage(1.0, limit_a=1.1e-3),
            "limit_a = 1.1 mA",
            "… 1 mA (instruments.max_current_a of the board file)",
        ),
        (lambda it: it.source_voltage(1.0, limit_a=float("nan")), "limit_a = nan A", "outside"),
        (lambda it: it.source_current(-1.1e-3, limit_v=1), "source current = -1.1 mA", "outside"),
        (lambda it: it.source_current(float("inf"), limit_v=1), "source current = inf A", "outside"),
        (lambda it: it.source_current(1e-6, limit_v=5.5), "limit_v = 5.5 V", "… 5 V"),
        (lambda it: it.source_current(1e-6, limit_v=-1.0), "limit_v = -1 V", "outside"),
        (lambda it: it.source_current(1e-6, limit_v=0.0), "limit_v = 0 V", "outside"),
        (lambda it: it.source_current(1e-4, limit_v=1.0, range_a=1e-5), "source level = 0.0001", "larger source range"),
        (lambda it: it.source_voltage(1.0, limit_a=1e-3, range_v=1e3), "range of voltage = 1 kV", "outside"),
        (lambda it: it.configure(nplc=0.1), "nplc = 0.1", "outside 1 … 10"),
        (lambda it: it.measure(samples=0), "samples = 0", "below the minimum of 1"),
    ],
)
def test_what_the_board_cannot_bear_is_refused_before_anything_is_sent(smu, sent, model, change, parameter, limit):
    with smu() as it:
        del sent[:]
        with pytest.raises(LimitError) as refusal:
            change(it)
        assert sent == []
    assert parameter in str(refusal.value)
    assert limit in str(refusal.value)


@both
def test_limits_are_those_of_the_board_file(smu, model):
    with smu(limits=Instruments(max_voltage_v=0.05, max_current_a=1e-6)) as it:
        with pytest.raises(
            LimitError, match=r"above|outside .* 50 mV \(instruments.min_voltage_v, max_voltage_v of the"
        ):
            it.source_voltage(0.1, limit_a=1e-6)
        with pytest.raises(LimitError, match=r"… 1 µA \(instruments.max_current_a of the board file"):
            it.source_voltage(0.01, limit_a=2e-6)


@both
def test_a_limit_that_holds_the_output_is_an_error_and_the_output_is_off(smu, sent, model):
    with smu(answers={READ[model]: LIMITED[model]}) as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        with pytest.raises(ComplianceReached) as refusal:
            it.measure()
        assert sent[-2:] == OFF
        assert not it.output
    assert refusal.value.measurement.voltage.value == 0.04
    assert "0.1 V asked for" in str(refusal.value)
    assert "limit 0.0005 A on the 0.001 A range; the output is off" in str(refusal.value)


@both
def test_the_order_of_use_is_checked_before_anything_is_sent(smu, sent, model):
    with smu() as it:
        del sent[:]
        with pytest.raises(ProtocolError, match=r"give source_voltage\(\) or source_current\(\) before output_on\(\)"):
            it.output_on()
        it.source_voltage(0.1, limit_a=0.5e-3)
        with pytest.raises(ProtocolError, match=r"measure\(\) with the output off"):
            it.measure()
        assert sent == [*VOLTAGE[model], ":SYST:ERR?"]


@both
@pytest.mark.parametrize("answer", ["+9.9E37,1,0", "OVERFLOW", "1.0"])
def test_an_answer_that_cannot_be_used_switches_the_output_off(smu, sent, model, answer):
    with smu(answers={READ[model]: answer}) as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        with pytest.raises(InstrumentError, match="READ"):
            it.measure()
        assert sent[-2:] == OFF


@both
def test_a_refused_command_switches_the_output_off(smu, sent, model):
    with smu() as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        with pytest.raises(InstrumentError, match=r"refused ':SOUR:VOLT:LEV 0\.09': -113 Undefined header"):
            it.source_voltage(0.09, limit_a=0.5e-3)
        assert sent[-2:] == OFF


@both
def test_an_exception_in_the_callers_code_switches_the_output_off(smu, sent, model):
    def use():
        with smu() as it:
            it.source_voltage(0.1, limit_a=0.5e-3)
            it.output_on()
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        use()
    assert sent[-2:] == OFF


@both
def test_an_output_that_does_not_go_off_is_said_loudly(smu, model):
    it = smu(answers={":OUTP?": "1"})
    with pytest.raises(InstrumentLost, match="its output may still be ON, switch it off at the front panel now"):
        it.close()


@both
def test_an_smu_that_nobody_closes_goes_off_when_it_is_forgotten(smu, sent, model):
    it = smu()
    it.source_voltage(0.1, limit_a=0.5e-3)
    it.output_on()
    del it
    assert sent[-2:] == OFF


@pytest.mark.parametrize("model", ["2450"])
@pytest.mark.parametrize("language", ["TSP", "SCPI2400"])
def test_a_2450_in_another_language_is_refused(smu, sent, model, language):
    with pytest.raises(InstrumentError, match=rf"speaks {language}; choose the SCPI command set"):
        smu(answers={"*LANG?": language})
    assert sent == ["*IDN?", "*LANG?"]


@both
def test_an_answer_may_take_as_long_as_its_six_conversions_over_the_timeout(smu, mocker, model):
    with smu(takes=[line.replace("NPLC 1", "NPLC 10") for line in VOLTAGE[model]]) as it:
        it.configure(nplc=10)
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        query = mocker.spy(it.link, "query")
        it.measure()
    # Voltage and current, each with zero and reference, over 10 cycles of 20 ms.
    assert query.call_args_list[0].kwargs == {"extra_s": pytest.approx(6 * 10 / 50)}


@both
def test_a_unit_that_cannot_be_set_up_is_let_go_with_its_output_off(simulated, sent, model):
    said = {"*LANG?": "SCPI", ":OUTP?": "0"}
    with pytest.raises(InstrumentError, match="Undefined header"):  # its setup is not among what it takes
        open_smu(**simulated(IDN[model], takes=[":OUTP OFF"], answers=said))
    assert sent[-2:] == OFF


@pytest.mark.parametrize(
    ("kind", "function", "limiting"),
    [(Keithley2400, "VOLT", {0, 3, 4, 16}), (Keithley2450, "VOLT", {2, 4, 5}), (Keithley2450, "CURR", {2, 4, 5})],
)
def test_each_bit_of_the_status_that_means_a_limit_is_one_and_no_other(kind, function, limiting, mocker):
    it = object.__new__(kind)
    it._nplc = 1.0
    span = kind.VOLTAGE.spans[0]
    setting = _Setting(function, 0.1, 1e-3, span, span)
    found = set()
    for bit in range(24):
        mocker.patch.object(kind, "ask", return_value=[0.25, 0.5, float(1 << bit)])
        *values, limited = it._read(setting)
        assert values == ([0.25, 0.5] if function == "VOLT" else [0.5, 0.25])
        if limited:
            found.add(bit)
    assert found == limiting


@both
def test_limits_may_be_a_thousandth_of_the_smallest_range_and_levels_the_boards_limit(smu, mocker, model):
    with smu() as it:
        send = mocker.patch.object(it, "send")
        least_a, least_v = 1e-3 * it.CURRENT.spans[0].full_scale, 1e-3 * it.VOLTAGE.spans[0].full_scale
        limits = it.limits
        it.source_voltage(limits.max_voltage_v, limit_a=least_a)
        it.source_voltage(limits.min_voltage_v, limit_a=limits.max_current_a)
        it.source_current(limits.max_current_a, limit_v=least_v)
        it.source_current(-limits.max_current_a, limit_v=limits.max_voltage_v)
        it.configure(nplc=10.0)
        it.configure(nplc=1.0)
        assert send.call_count == 4
        for change in (
            lambda: it.source_voltage(1.0, limit_a=0.999 * least_a),
            lambda: it.source_current(1e-6, limit_v=0.999 * least_v),
            lambda: it.configure(nplc=10.01),
            lambda: it.configure(nplc=0.99),
        ):
            with pytest.raises(LimitError):
                change()
        assert send.call_count == 4


@both
def test_under_a_live_output_a_level_may_go_to_the_end_of_its_range_and_not_to_another(smu, mocker, model):
    with smu() as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        send = mocker.patch.object(it, "send")
        for level in (0.2, -0.2, 0.01):
            it.source_voltage(level, limit_a=0.5e-3)
        assert [call.args for call in send.call_args_list] == [(f":SOUR:VOLT:LEV {v}",) for v in (0.2, -0.2, 0.01)]
        with pytest.raises(ProtocolError, match="with the output off only"):
            it.source_voltage(0.2001, limit_a=0.5e-3)
        with pytest.raises(ProtocolError, match="with the output off only"):
            it.source_voltage(0.1, limit_a=0.4e-3)
        assert send.call_count == 3


@both
def test_a_measurement_is_of_as_many_samples_as_asked_for_one_by_default(smu, sent, model):
    with smu() as it:
        it.source_voltage(0.1, limit_a=0.5e-3)
        it.output_on()
        for samples, count in (({}, 1), ({"samples": 3}, 3)):
            del sent[:]
            it.measure(**samples)
            assert sent.count(READ[model]) == count
        it.output_off()
        with pytest.raises(ProtocolError, match="with the output off"):
            it.measure()
        with pytest.raises(LimitError, match="samples = 0"):
            it.measure(0)
