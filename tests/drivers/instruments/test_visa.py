"""Answers that cannot be used, each refused with instrument, command, answer, and what to do."""

import subprocess
import sys

import pytest
import pyvisa

from drivers.instruments.dmm import open_dmm
from drivers.instruments.smu import open_smu
from drivers.instruments.temperature import open_stage
from drivers.instruments.visa import InstrumentError, InstrumentLost, ScpiInstrument, SerialLine, VisaLink, resources
from firmware_bridge.errors import BoardError, LimitError

IDN = "MAKER,MODEL 7,42,1.0"


class Seven(ScpiInstrument):
    MODELS = (("MAKER", "7"),)


def test_a_number_is_read_with_its_sign_and_exponent(simulated):
    with VisaLink(**simulated(IDN, answers={"X?": "-1.25E-03"})) as link:
        assert link.numbers("X?", 1) == [-1.25e-3]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("OVLD", "'OVLD' is not a number; check the instrument's front panel"),
        ("+9.9E+37", "9.9E37 is SCPI's infinity, an overload; choose a larger range"),
        ("-9.90000000E+37", "9.9E37 is SCPI's infinity, an overload"),
        ("9.91E37", "9.91E37 is SCPI's NaN: nothing was measured"),
        ("-9.91E37", "9.91E37 is SCPI's NaN: nothing was measured"),
        ("9.905E37", "9.91E37 is SCPI's NaN: nothing was measured"),
        ("9.904E37", "9.9E37 is SCPI's infinity, an overload"),
        ("9.895E37", "9.9E37 is SCPI's infinity, an overload"),
        ("nan", "9.91E37 is SCPI's NaN: nothing was measured"),
        ("inf", "nothing was measured"),
        ("1,2", "2 values where 1 belong; is it the answer to another question?"),
    ],
)
def test_an_answer_that_is_no_value_names_instrument_command_and_answer(simulated, answer, reason):
    with (
        VisaLink(**simulated(IDN, answers={"X?": answer})) as link,
        pytest.raises(InstrumentError) as refusal,
    ):
        link.numbers("X?", 1)
    text = str(refusal.value)
    assert text.startswith(f"instrument at {link.address}: 'X?' was answered by {answer!r}: ")
    assert reason in text


@pytest.mark.parametrize("value", [9.894e37, -9.894e37, 1e30, 0.0])
def test_a_number_below_scpis_infinity_is_a_value(simulated, value):
    with VisaLink(**simulated(IDN, answers={"X?": f"1,{value:E}"})) as link:
        assert link.numbers("X?", 2) == [1.0, value]


def test_an_answer_is_waited_for_as_long_as_its_question_takes(simulated):
    with VisaLink(**simulated(IDN, answers={"X?": "1", "*TST?": "0"})) as link:
        link.query("X?")
        assert link._resource.timeout == 50  # ms
        link.query("X?", extra_s=1.5)
        assert link._resource.timeout == 1550
        it, waited = Seven(link), []
        query = link.query
        link.query = lambda command, **options: (waited.append((command, options)), query(command, **options))[1]
        it.self_test()
    assert waited == [("*TST?", {"extra_s": 30.0}), (":SYST:ERR?", {})]


def test_a_line_that_was_closed_is_let_go_and_takes_nothing_more(simulated, mocker):
    link = VisaLink(**simulated(IDN))
    closed = mocker.spy(link._resource, "close")
    link.close()
    assert closed.call_count == 1
    with pytest.raises(InstrumentLost, match="since it was closed; open it anew"):
        link.write("X")


@pytest.mark.parametrize(("parity", "bits"), [("none", 8), ("odd", 7), ("even", 7)])
def test_a_serial_port_is_set_and_no_other_line_is(simulated, mocker, parity, bits):
    opened = mocker.patch.object(pyvisa.ResourceManager, "open_resource")
    line = SerialLine(57600, bits, parity)
    VisaLink(**(simulated(IDN) | {"line": line}))
    assert set(opened.call_args.kwargs) == {"open_timeout", "timeout", "read_termination", "write_termination"}
    VisaLink(**(simulated(IDN) | {"line": line, "address": "asrl/dev/ttyUSB0::INSTR"}))
    options = opened.call_args.kwargs
    assert (options["baud_rate"], options["data_bits"]) == (57600, bits)
    assert options["parity"] == pyvisa.constants.Parity[parity]
    assert SerialLine(9600) == SerialLine(9600, 8, "none")


def test_an_empty_line_is_not_an_answer(simulated):
    with VisaLink(**simulated(IDN, answers={"X?": ""})) as link, pytest.raises(InstrumentError, match="an empty line"):
        link.query("X?")


def test_bytes_that_are_not_ascii_point_to_the_cable(simulated):
    with (
        VisaLink(**simulated(IDN, answers={"X?": "1\u00b5"})) as link,
        pytest.raises(InstrumentError, match="not ASCII: check baud rate and cable"),
    ):
        link.query("X?")


def test_after_a_missing_answer_nothing_more_is_asked(simulated, sent):
    with VisaLink(**simulated(IDN, takes=["X?"])) as link:
        with pytest.raises(InstrumentLost, match=r"no answer to 'X\?' within 0.05 s .*open it anew"):
            link.query("X?")
        with pytest.raises(InstrumentLost, match=r"'\*IDN\?' is not sent, since 'X\?' was not answered; open it anew"):
            link.query("*IDN?")


def test_an_interrupt_while_an_answer_is_under_way_loses_the_line(simulated, mocker):
    with VisaLink(**simulated(IDN, answers={"X?": "1"})) as link:
        mocker.patch.object(link._resource, "read_raw", side_effect=KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            link.query("X?")
        with pytest.raises(InstrumentLost, match="open it anew"):
            link.query("*IDN?")


def test_a_late_answer_in_place_of_the_error_queue_is_noticed(simulated):
    with VisaLink(**simulated(IDN, answers={":SYST:ERR?": "+1.0E-06"})) as link:
        with pytest.raises(InstrumentLost, match=r"'\+1.0E-06', which is no entry of an error queue"):
            Seven(link)
        with pytest.raises(InstrumentLost):
            link.query("*IDN?")


def test_a_refused_command_raises_with_the_instruments_words(simulated):
    with VisaLink(**simulated(IDN, takes=["A"])) as link:
        it = Seven(link)
        it.send("A")
        with pytest.raises(
            InstrumentError, match=r"7 42 at .* refused 'A; B; C': -113 Undefined header, -113 Undefined"
        ):
            it.send("A", "B", "C")
        it.send("A")


def test_an_error_queue_that_does_not_end_ends_here(simulated):
    with (
        VisaLink(**simulated(IDN, errors=("-350", "Queue overflow"))) as link,
        pytest.raises(InstrumentError, match="the error queue does not end, last -350 Queue overflow"),
    ):
        Seven(link)


def test_another_instrument_is_told_nothing(simulated, sent):
    with (
        VisaLink(**simulated("MAKER,MODEL 8,42,1.0")) as link,
        pytest.raises(InstrumentError, match="is MAKER 8; Seven drives 7: check the address"),
    ):
        Seven(link)
    assert sent == ["*IDN?"]


@pytest.mark.parametrize("idn", ["MAKER", "1.0E-3"])
def test_an_identity_of_another_form_is_refused(simulated, idn):
    with VisaLink(**simulated(idn)) as link, pytest.raises(InstrumentError, match="not maker, model, serial, firmware"):
        Seven(link)


def test_an_unknown_model_lists_those_that_can_be_driven(simulated):
    with pytest.raises(InstrumentError, match="is a 8; there are drivers for 2400 and 2450"):
        open_smu(**simulated("MAKER,MODEL 8,42,1.0"))


def test_an_address_where_nothing_answers_says_what_to_check():
    address = "TCPIP0::127.0.0.1::1::SOCKET"
    with pytest.raises(InstrumentLost, match=rf"{address}: .* check cable and power"):
        open_smu(address, timeout_s=0.5)


@pytest.mark.parametrize("address", ["nonsense", "192.168.0.5:5025", ""])
def test_what_is_no_address_is_told_what_one_looks_like(address):
    with pytest.raises(InstrumentLost, match=rf"'{address}' is no VISA address; write TCPIP0::HOST::PORT::SOCKET"):
        open_smu(address)


def test_a_serial_port_that_is_not_there_says_what_to_check():
    with pytest.raises(
        InstrumentLost, match=r"ASRL/dev/ttyNONE::INSTR cannot be opened: .*; check that the instrument"
    ):
        open_smu("ASRL/dev/ttyNONE::INSTR")


@pytest.mark.parametrize(("answer", "passes"), [("0", True), ("+0", True), ("1", False), ("", False)])
def test_a_self_test_must_say_that_it_passed(simulated, answer, passes):
    with VisaLink(**simulated(IDN, answers={"*TST?": answer})) as link:
        it = Seven(link)
        if passes:
            it.self_test()
        else:
            with pytest.raises(InstrumentError, match=r"'\*TST\?' was answered by"):
                it.self_test()


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_must_be_a_time(timeout_s):
    with pytest.raises(LimitError, match="timeout_s"):
        VisaLink("TCPIP0::127.0.0.1::1::SOCKET", timeout_s=timeout_s)


def test_the_time_for_opening_and_for_an_answer_is_the_one_that_was_given(simulated, mocker):
    spy = mocker.spy(pyvisa.ResourceManager, "open_resource")
    with VisaLink(**(simulated(IDN) | {"timeout_s": 2.5})):
        options = spy.call_args.kwargs
    assert (options["open_timeout"], options["timeout"]) == (2500, 2500)  # ms


def test_instrument_errors_are_errors_of_the_board():
    assert issubclass(InstrumentLost, InstrumentError)
    assert issubclass(InstrumentError, BoardError)


def test_what_can_be_found_is_listed_without_being_opened(simulated, mocker):
    libraries = [simulated("M,8,1,1", address=a)["visa_library"] for a in ("GPIB0::24::INSTR", "TCPIP0::a::1::SOCKET")]
    opened = mocker.spy(pyvisa.ResourceManager, "open_resource")
    assert [resources(library) for library in libraries] == [["GPIB0::24::INSTR"], []]
    assert opened.call_count == 0


def test_importing_the_drivers_does_not_import_pyvisa():
    code = (
        "import sys, drivers.instruments.smu, drivers.instruments.dmm, drivers.instruments.catalogue, drivers.connect\n"
        "assert 'pyvisa' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("open_it", [open_smu, open_dmm, open_stage])
def test_an_instrument_of_another_kind_is_let_go_and_sent_nothing_but_its_question(simulated, sent, mocker, open_it):
    close = mocker.spy(VisaLink, "close")
    with pytest.raises(InstrumentError):
        open_it(**simulated(IDN))
    assert close.called
    assert set(sent) == {"*IDN?"}
