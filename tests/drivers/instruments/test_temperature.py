"""The temperature stage at a serial port: a pseudo-terminal with a controller whose time the tests drive."""

import math

import pytest
from mock_stage import AMBIENT_K, MockStage, PtyPort

from drivers.board import Instruments
from drivers.instruments import temperature
from drivers.instruments.temperature import LakeShore335, NotSettled, Settling, open_stage
from drivers.instruments.visa import InstrumentError, InstrumentLost, SerialLine
from firmware_bridge.errors import LimitError

IDN = MockStage.IDN
OPENED = [
    "*IDN?", "*CLS", "*ESR?", "RANGE 1,0", "RANGE? 1", "INTYPE? A", "*ESR?", "OUTMODE? 1", "*ESR?", "TLIMIT A,358.15",
    "*ESR?",
]  # fmt: skip
OFF = ["RANGE 1,0", "RANGE? 1"]


class Clock:
    """Sleeping lets the time of a stage pass."""

    def __init__(self, stage):
        self.now_s, self._stage = 0.0, stage

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds
        self._stage.advance(seconds)


@pytest.fixture
def model():
    return MockStage()


@pytest.fixture
def clock(model, mocker):
    clock = Clock(model)
    mocker.patch.object(temperature, "time", clock)
    return clock


@pytest.fixture
def port(model, clock, mocker):
    # A pseudo-terminal has no parity.
    mocker.patch.object(temperature, "LINE", SerialLine(57600))
    with PtyPort(model) as port:
        yield port


@pytest.fixture
def stage(port):
    with open_stage(port.address, timeout_s=1.0) as stage:
        yield stage


def test_opening_switches_the_heater_off_and_sets_the_boards_limit(model, port):
    model.settings["RANGE"] = "1,3"
    with open_stage(port.address) as stage:
        assert model.log == OPENED
        assert not model.heater_on
        assert (stage.model, stage.serial) == ("335", "335A123/1234567")
    assert model.log[len(OPENED) :] == OFF


def test_the_port_is_set_as_the_manual_says(simulated, mocker):
    import pyvisa

    spy = mocker.spy(pyvisa.ResourceManager, "open_resource")
    answers = {"*ESR?": "000", "RANGE? 1": "0", "INTYPE? A": "1,0,0,0,1", "OUTMODE? 1": "1,1,0"}
    takes = ["RANGE 1,0", "TLIMIT A,358.15"]
    with open_stage(**simulated(IDN, takes=takes, answers=answers, address="ASRL1::INSTR", end="\r\n")):
        options = spy.call_args.kwargs
    assert (options["baud_rate"], options["data_bits"], options["parity"].name) == (57600, 7, "odd")


def test_a_temperature_is_reached_when_it_has_stayed_not_when_it_is_crossed(stage, model, clock):
    settling = Settling(within_k=0.5, for_s=40.0, timeout_s=600.0)
    seen_k = stage.settle(330.0, settling)
    assert seen_k == pytest.approx(330.0, abs=0.5)
    # Of a damped oscillation of 35 K, an envelope A exp(-ζωt) with A = 35 K/√(1-ζ²): below 0.5 K from 143 s on, and a
    # crossing of the set-point long before.
    last_s = math.log(35 / math.sqrt(1 - 0.3**2) / 0.5) / (0.3 * 0.1)
    assert 40 < clock.now_s <= last_s + 40 + 2
    assert clock.now_s > 100
    assert model.heater_on


def test_settling_sends_the_set_point_before_the_heater(stage, model):
    del model.log[:]
    stage.settle(AMBIENT_K, Settling(for_s=2.0, timeout_s=10.0))
    assert model.log[:3] == ["SETP 1,295.000", "RANGE 1,3", "*ESR?"]
    assert model.log[3:7] == ["KRDG? A", "*ESR?", "RDGST? A", "HTRST? 1"]


def test_the_mean_is_of_the_settled_readings(stage, model, mocker):
    readings = [290.0, 300.05, 299.0, 300.01, 300.03, 300.05]
    mocker.patch.object(LakeShore335, "temperature_k", side_effect=readings)
    assert stage.settle(300.0, Settling(for_s=2.0, timeout_s=60.0)) == pytest.approx(300.03)


def test_time_up_is_an_error_that_says_how_far_it_came_and_the_heater_is_off(stage, model, clock):
    with pytest.raises(NotSettled, match=r"330 K not settled within 30 s: 3\d\d\.\d\d K last, within ±0\.1 K for 0 s"):
        stage.settle(330.0, Settling(timeout_s=30.0, for_s=10.0))
    assert clock.now_s == pytest.approx(31.0)
    assert not model.heater_on


@pytest.mark.parametrize("kelvin", [358.2, 233.0, 0.0, math.nan, math.inf])
def test_a_temperature_that_the_board_cannot_bear_is_refused_before_anything_is_sent(stage, model, kelvin):
    del model.log[:]
    with pytest.raises(LimitError, match=r"outside 233\.15 K … 358\.15 K \(instruments\.min_temperature_k, max_temp"):
        stage.settle(kelvin)
    assert model.log == []


def test_an_overshoot_beyond_the_limit_switches_the_heater_off(port, model):
    with open_stage(port.address, limits=Instruments(max_temperature_k=335.0)) as stage:
        with pytest.raises(
            InstrumentError, match=r"3\d\d\.\d\d K on the way to 330 K is outside 233\.15 … 335 K; the h"
        ):
            stage.settle(330.0)
        assert not model.heater_on


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"sensor_status": 1}, "the sensor at input A: reading invalid; check its cable"),
        ({"sensor_status": 128 + 32}, "the sensor at input A: over range, sensor over range"),
        ({"heater_status": 1}, "heater open; check its cable"),
    ],
)
def test_a_sensor_or_a_heater_that_is_not_well(stage, model, status, text):
    for name, value in status.items():
        setattr(model, name, value)
    with pytest.raises(InstrumentError, match=text):
        stage.settle(300.0)
    assert not model.heater_on


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"units": 2}, r"'INTYPE\? A' says that set-points are not in kelvin; choose Preferred Units K"),
        ({"outmode": "3,1,0"}, r"'OUTMODE\? 1' says mode 3, input 1, where output 1 must follow input A"),
        ({"outmode": "1,2,0"}, r"mode 1, input 2"),
    ],
)
def test_a_set_up_under_which_a_set_point_means_something_else_is_refused(port, model, wrong, text):
    for name, value in wrong.items():
        setattr(model, name, value)
    with pytest.raises(InstrumentError, match=text):
        open_stage(port.address)
    assert not any(line.startswith("SETP") for line in model.log)
    assert model.log[-2:] == OFF


def test_a_refused_command_is_found_in_the_event_register(stage, model):
    with pytest.raises(
        InstrumentError, match=r"335 335A123/1234567 at ASRL.* refused 'WARM 1': unknown command; see the"
    ):
        stage.send("WARM 1")
    stage.send("TLIMIT A,350")


def test_a_controller_that_falls_silent_is_told_about_and_switched_off_over_a_new_line(stage, model, mocker):
    answer = model.answer
    mocker.patch.object(model, "answer", lambda c, a: None if c == "KRDG?" else answer(c, a))
    stage.link._timeout_s = 0.05
    with pytest.raises(InstrumentLost, match=r"no answer to 'KRDG\? A' within 0\.05 s"):
        stage.settle(300.0)
    assert not model.heater_on
    assert model.log[-2:] == OFF


@pytest.mark.parametrize(
    ("settling", "text"),
    [
        (dict(within_k=0.0), "within_k = 0 K"),
        (dict(for_s=-1.0), "for_s = -1 s"),
        (dict(timeout_s=math.inf), "timeout_s = inf s"),
        (dict(poll_s=math.nan), "poll_s = nan s"),
        (dict(for_s=60.0, timeout_s=60.0), "it includes for_s"),
    ],
)
def test_a_criterion_needs_numbers(settling, text):
    with pytest.raises(LimitError, match=text):
        Settling(**settling)


@pytest.mark.parametrize(
    ("bit", "text"),
    [(0, "reading invalid"), (4, "under range"), (5, "over range"), (6, "sensor at zero"), (7, "sensor over range")],
)
def test_each_bit_of_a_readings_status_has_its_meaning(stage, model, bit, text):
    model.sensor_status = 1 << bit
    with pytest.raises(InstrumentError, match=f"the sensor at input A: {text}; check its cable"):
        stage.settle(300.0)


@pytest.mark.parametrize(
    ("bit", "text"), [(2, "query error"), (3, "device error"), (4, "value not allowed"), (5, "unknown command")]
)
def test_each_bit_of_the_event_register_has_its_meaning(stage, mocker, bit, text):
    mocker.patch.object(stage.link, "numbers", return_value=[1 << bit])
    with pytest.raises(InstrumentError, match=f"refused 'TLIMIT A,350': {text}; see"):
        stage.check("TLIMIT A,350")


@pytest.mark.parametrize("bit", [0, 1, 6, 7])
def test_bits_of_the_event_register_that_tell_of_no_refusal_are_none(stage, mocker, bit):
    mocker.patch.object(stage.link, "numbers", return_value=[1 << bit])
    stage.check("TLIMIT A,350")


def test_a_shorted_heater_is_named(stage, model):
    model.heater_status = 2
    with pytest.raises(InstrumentError, match="heater shorted; check its cable"):
        stage.settle(300.0)


def scripted(stage, mocker, *readings):
    """A stage whose sensor reads this, a second from one to the next."""
    mocker.patch.object(LakeShore335, "temperature_k", side_effect=readings)
    mocker.patch.object(LakeShore335, "_flags", return_value="")
    mocker.patch.object(stage.link, "write")


def test_a_reading_at_the_edge_of_the_band_is_within_and_one_beyond_begins_anew(stage, mocker, clock):
    settling = Settling(within_k=0.5, for_s=3.0, timeout_s=100.0)
    scripted(stage, mocker, 321.0, 320.5, 319.5, 320.25, 320.75, 320.5, 319.5, 320.5, 320.5)
    assert stage.settle(320.0, settling) == 320.25
    assert clock.now_s == 8.0


def test_the_time_given_is_over_when_it_has_passed_and_not_before(stage, mocker, clock):
    settling = Settling(within_k=0.5, for_s=3.0, timeout_s=5.0)
    scripted(stage, mocker, 321.0, 321.0, 320.0, 320.0, 320.0, 320.0)
    assert stage.settle(320.0, settling) == 320.0
    assert clock.now_s == 5.0
    scripted(stage, mocker, 321.0, 321.0, 321.0, 321.0, 320.0, 320.0, 320.0, 320.0)
    with pytest.raises(NotSettled, match=r"320\.00 K last, within ±0\.5 K for 2 s where 3 s are asked for"):
        stage.settle(320.0, settling)
    assert clock.now_s == 5.0 + 6.0


@pytest.mark.parametrize("sign", [1, -1])
def test_on_the_way_readings_may_reach_the_boards_limits_and_the_band_around_them(stage, mocker, sign):
    settling = Settling(within_k=0.25, for_s=2.0, timeout_s=100.0)
    edge = stage.limits.max_temperature_k if sign > 0 else stage.limits.min_temperature_k
    there = [edge] * 3
    scripted(stage, mocker, edge + sign * 0.25, *there)
    assert stage.settle(edge, settling) == pytest.approx(edge, abs=0.1)
    scripted(stage, mocker, edge + sign * 0.26, *there)
    with pytest.raises(InstrumentError, match=r"is outside 233\.15 … 358\.15 K; the heater is off"):
        stage.settle(edge, settling)


@pytest.mark.parametrize("value", [1.5, -1.0])
def test_a_status_is_a_whole_number_of_zero_or_more(stage, mocker, value):
    mocker.patch.object(stage.link, "numbers", return_value=[value])
    with pytest.raises(InstrumentError, match=r"'\*ESR\?' was answered by .*: not a status"):
        stage.check("X")


def test_a_criterion_without_numbers_is_a_minute_within_a_tenth_of_a_kelvin_in_half_an_hour():
    assert Settling() == Settling(within_k=0.1, for_s=60.0, timeout_s=1800.0, poll_s=1.0)
