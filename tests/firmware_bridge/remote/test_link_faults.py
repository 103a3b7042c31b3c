"""Whatever the link does: a program is executed at most once, and the host is told the truth."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import ConnectionLost
from firmware_bridge.isa import Wait
from firmware_bridge.program import Program
from firmware_bridge.remote.client import ATTEMPTS
from firmware_bridge.remote.faults import Planned
from firmware_bridge.remote.framing import FrameReader, Kind, decode, encode
from firmware_bridge.timing import SequencerTiming

FAULTS = st.one_of(
    st.just(("pass", 0, 0)),
    st.tuples(st.sampled_from(["drop", "double", "late", "cut"]), st.just(0), st.just(0)),
    st.tuples(st.sampled_from(["flip", "truncate", "insert", "cut inside"]), st.integers(0, 200), st.integers(1, 255)),
)


def program(k):
    return Program([Wait(1000 + k)])


def executions(network, k):
    return network.bridge.executed.count(program(k).words().tobytes())


@settings(max_examples=400, deadline=None)
@given(up=st.lists(FAULTS, max_size=12), down=st.lists(FAULTS, max_size=12))
def test_a_program_is_executed_at_most_once_and_its_fate_is_told(make_network, up, down):
    network = make_network()
    network.up, network.down = Planned(list(up)), Planned(list(down))
    try:
        remote = network.open()
    except ConnectionLost:
        assert network.bridge.executed == []
        return
    lost = False
    for k in range(8):
        try:
            result = remote.run(program(k))
        except ConnectionLost as error:
            if not lost:  # the one that was in flight
                expected = {True: {1}, False: {0}, None: {0, 1}}[error.executed]
                assert executions(network, k) in expected
            lost = True
        else:
            assert not lost
            assert executions(network, k) == 1
            assert result.cycles == program(k).cycles(SequencerTiming())
            assert result.words.tolist() == [len(network.bridge.executed)]
    assert len(set(network.bridge.executed)) == len(network.bridge.executed)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("fault", ["flip", "truncate", "insert"])
def test_one_fault_at_any_byte_is_repaired_and_nothing_is_executed_twice(network, remote, direction, fault):
    length = 45
    for position in range(length):
        setattr(network, direction, Planned([(fault, position, 0x5A)]))
        remote.run(program(position))
        assert executions(network, position) == 1, position


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("failures", range(1, ATTEMPTS))
def test_as_many_losses_in_a_row_as_there_are_repeats_cost_nothing(network, remote, direction, failures):
    setattr(network, direction, Planned([("drop", 0, 0)] * failures))
    remote.run(program(0))
    assert executions(network, 0) == 1


@pytest.mark.parametrize(("direction", "executed"), [("up", False), ("down", True)])
def test_a_line_that_goes_dead_in_one_direction_gives_up_and_tells_the_fate(network, remote, direction, executed):
    setattr(network, direction, Planned([("drop", 0, 0)] * ATTEMPTS))
    with pytest.raises(ConnectionLost, match=f"no answer after {ATTEMPTS} attempts") as lost:
        remote.run(program(0))
    assert lost.value.executed is executed
    assert executions(network, 0) == executed
    assert network.bridge.is_safe


def test_a_link_cut_before_the_program_left_means_not_executed(network, remote):
    network.up = Planned([("cut", 0, 0)])
    with pytest.raises(ConnectionLost, match="the program was not executed; open the board anew") as lost:
        remote.run(program(0))
    assert lost.value.executed is False
    assert network.bridge.executed == []
    assert network.bridge.is_safe


def test_a_link_cut_before_the_answer_means_executed(network, remote):
    network.down = Planned([("cut", 0, 0)])
    with pytest.raises(ConnectionLost, match="the program was executed, and it ended normally") as lost:
        remote.run(program(0))
    assert lost.value.executed is True
    assert executions(network, 0) == 1
    assert network.bridge.is_safe


def test_an_error_that_was_lost_with_the_link_is_part_of_the_fate(network, remote):
    network.bridge.error = ZeroDivisionError("here")
    network.down = Planned([("cut", 0, 0)])
    with pytest.raises(ConnectionLost, match=r"was executed, and it ended with: .*ZeroDivisionError: here"):
        remote.run(program(0))


def test_a_server_that_cannot_be_reached_again_leaves_the_fate_unknown(network, remote):
    def down(data):
        network.reachable = False
        return None

    network.down = down
    with pytest.raises(ConnectionLost, match="unknown: take all of its pulses as given") as lost:
        remote.run(program(0))
    assert lost.value.executed is None


def test_a_program_that_never_left_was_not_executed_even_if_nobody_can_be_asked(network, remote):
    def up(data):
        network.reachable = False
        return None

    network.up = up
    with pytest.raises(ConnectionLost, match=r"cannot be reached\); the program was not executed") as lost:
        remote.run(program(0))
    assert lost.value.executed is False


def test_an_answer_to_somebody_else_is_not_taken(network, remote):
    def down(data):
        (encoded,) = FrameReader(4096).feed(data)
        frame = decode(encoded)
        return [encode(replace(frame, session=frame.session ^ 1, body=bytes(12))), data]

    network.down = down
    assert remote.run(program(0)).cycles == program(0).cycles(SequencerTiming())


def test_patience_doubles_and_allows_for_the_program_from_the_first_repeat_on(network, remote):
    network.up = Planned([("drop", 0, 0)] * (ATTEMPTS - 1))
    remote.run(Program([Wait(3 * 10**8)]))  # 3 s at 100 MHz
    assert network.links[0].patience_s == pytest.approx([1.0, 2.0 + 3.0, 4.0 + 3.0], abs=0.05)


def test_the_lease_is_not_asked_for_once_the_link_is_lost(network, remote):
    network.up = Planned([("cut", 0, 0)])
    with pytest.raises(ConnectionLost):
        remote.run(program(0))
    assert remote._stop.is_set()


def test_a_server_that_was_started_anew_leaves_the_fate_unknown(network, remote, make_network):
    def down(data):
        network.desk = make_network().desk
        network.down = Planned([])
        return None

    network.down = down
    with pytest.raises(ConnectionLost, match=r"has been started anew\); whether the program was executed is unknown"):
        remote.run(program(0))


def test_a_bridge_that_lost_its_link_says_so_again_and_executes_nothing_more(network, remote):
    network.down = Planned([("cut", 0, 0)])
    with pytest.raises(ConnectionLost) as first:
        remote.run(program(0))
    for call in (remote.safe, remote.reset, remote.identify, lambda: remote.run(program(1))):
        with pytest.raises(ConnectionLost) as again:
            call()
        assert again.value is first.value
    remote.close()  # nothing new to say
    assert len(network.bridge.executed) == 1


def test_a_loss_that_only_the_lease_thread_saw_is_raised_when_the_bridge_is_closed(network):
    remote = network.open()
    network.up = Planned([("cut", 0, 0)])
    with pytest.raises(ConnectionLost):
        remote._ask(Kind.PING)
    with pytest.raises(ConnectionLost, match="no program was in flight"):
        remote.close()
