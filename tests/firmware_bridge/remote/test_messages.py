"""Bodies: numbers and errors cross the link as they are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.bridge import Identity, Result, SequencerConfig, SequencerLimits
from firmware_bridge.errors import BoardError, ConnectionLost, LimitError, ProtocolError, TimingViolation
from firmware_bridge.remote.links import MAX_TOKEN
from firmware_bridge.remote.messages import (
    Failure,
    Hello,
    Welcome,
    identity_body,
    identity_of,
    parse,
    result_body,
    result_of,
    words_body,
    words_of,
)
from firmware_bridge.timing import SequencerTiming


@pytest.mark.parametrize(
    ("model", "fields", "passes"),
    [
        (Welcome, {"lease_s": 0.5, "max_frame": 1}, True), (Welcome, {"lease_s": 0.0, "max_frame": 1}, False),
        (Welcome, {"lease_s": -1.0, "max_frame": 1}, False), (Welcome, {"lease_s": 0.5, "max_frame": 0}, False),
        (Hello, {"isa_version": 1, "isa_hash": 2}, True), (Hello, {"isa_version": 1}, False),
        (Hello, {"isa_version": 1, "isa_hash": 2, "token": "x" * MAX_TOKEN}, True),
        (Hello, {"isa_version": 1, "isa_hash": 2, "token": "x" * (MAX_TOKEN + 1)}, False),
        (Hello, {"isa_version": 1, "isa_hash": 2, "root": True}, False),
    ],
)  # fmt: skip
def test_a_message_that_no_server_or_client_of_this_project_sends_is_refused(model, fields, passes):
    body = json.dumps(fields).encode()
    if passes:
        assert parse(model, body).model_dump(exclude_unset=True) == fields
    else:
        with pytest.raises(ProtocolError, match=f"{model.__name__.lower()} message: ") as error:
            parse(model, body)
        assert "xxx" not in str(error.value)


def test_a_token_is_not_printed():
    assert "secret" not in repr(Hello(isa_version=1, isa_hash=2, token="a secret of the lab"))


class HouseError(ProtocolError):
    """An error of a kind that the other side does not know."""


def across(error: BoardError) -> BoardError:
    return parse(Failure, Failure.of(error).body()).exception()


@pytest.mark.parametrize("kind", [LimitError, TimingViolation])
@pytest.mark.parametrize(
    ("value", "limit", "unit"),
    [(5e-9, 9e-9, "s"), (np.float64(0.1) * 3, (0.0, 0.2), "V"), (24577, 24576, ""), (np.int64(3), (4, 5), ""),
     (float("nan"), (-np.inf, np.inf), "V"), (float("inf"), 1.0, "A")],
)  # fmt: skip
def test_a_limit_error_keeps_its_class_text_and_fields(kind, value, limit, unit):
    error = kind("tSCLKHIGH", value, limit, unit, source="DAC80508, table 7.6", advice="lower the clock")
    again = across(error)
    assert type(again) is kind
    assert str(again) == str(error)
    np.testing.assert_equal(
        (again.parameter, again.value, again.limit, again.unit, again.source, again.advice),
        (error.parameter, error.value, error.limit, error.unit, error.source, error.advice),
    )


@pytest.mark.parametrize("kind", [BoardError, ProtocolError, ConnectionLost])
def test_other_errors_keep_their_class_and_text(kind):
    again = across(kind("word 3: ΔV – „unknown“ opcode"))
    assert (type(again), str(again)) == (kind, "word 3: ΔV – „unknown“ opcode")


def test_an_error_of_an_unknown_kind_arrives_as_its_nearest_known_one():
    again = across(HouseError("here"))
    assert (type(again), str(again)) == (ProtocolError, "here")


def test_only_errors_of_the_board_can_be_named():
    with pytest.raises(ProtocolError, match=r"failure message: error: Input should be 'BoardError'"):
        parse(Failure, b'{"error": "SystemExit", "text": "0"}')


@given(st.lists(st.integers(0, 2**32 - 1), max_size=50), st.integers(0, 2**64 - 1))
def test_words_and_cycles_arrive_exactly(words, cycles):
    array = np.array(words, np.uint32)
    assert np.array_equal(words_of(words_body(array)), array)
    result = result_of(result_body(Result(array, cycles)))
    assert np.array_equal(result.words, array)
    assert result.words.dtype == np.uint32
    assert result.cycles == cycles


def test_a_result_may_be_written_into():
    assert result_of(result_body(Result(np.zeros(4, np.uint32), 1))).words.flags.writeable


@pytest.mark.parametrize("body", [b"", b"\0" * 7, b"\0" * 10])
def test_a_result_cut_short_is_refused(body):
    with pytest.raises(ProtocolError, match="cut short"):
        result_of(body)


def test_half_a_word_is_refused():
    with pytest.raises(ProtocolError, match="5 bytes are not a whole number of 32-bit words"):
        words_of(b"12345")


def test_an_identity_arrives_as_it_is():
    identity = Identity("mock", "mock-1", 1, 0xFFFFFFFF, 8, 32, 64, 24576, 100, 16)
    assert identity_of(identity_body(identity)) == identity


def test_a_configuration_arrives_to_the_last_bit():
    config = SequencerConfig(
        timing=SequencerTiming(clock_hz=1e8 / 3, adc_half_cycles=43), safe_wait_cycles=7, safe_frames=(0x05000A, 1),
        limits=SequencerLimits(
            dac_channels=16, code=((0, 65535), (7, 7)), fixed=((4, 0xFF), (9, 0)), registers=0xFF35,
            pulse_width=(100, 200), pulse_interval=500, sr_bits=16,
        ),
    )  # fmt: skip
    assert parse(SequencerConfig, config.model_dump_json().encode()) == config


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"\x80\x04K\x01.", "not JSON"), (b"", "not JSON"), (b"[" * 100000, "not JSON"), (b"1", "body: Input should be"),
     (b'{"isa_version": 1}', "isa_hash: Field required"),
     (b'{"isa_version": 1, "isa_hash": 2, "x": 3}', "x: Extra inputs are not permitted")],
)  # fmt: skip
def test_a_body_that_makes_no_sense_says_where(body, why):
    with pytest.raises(ProtocolError, match=f"hello message: {why}"):
        parse(Hello, body)


def test_a_token_is_not_shown():
    assert "secret" not in repr(Hello(isa_version=1, isa_hash=1, token="secret"))
