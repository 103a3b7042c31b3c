"""A link with faults in front of a real one: what passes, what is lost, and that it is cut for both sides."""

import pytest

from firmware_bridge.errors import ConnectionLost
from firmware_bridge.isa import Wait
from firmware_bridge.program import Program
from firmware_bridge.remote import faults
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.remote.faults import Dead, FaultyLink, Planned, Slow
from firmware_bridge.remote.links import LinkDown

PROGRAM = Program([Wait(1000)])


class Wire:
    """A link that keeps what it is sent, and gives what is put into it."""

    name, seconds_per_byte = "wire", 1e-5

    def __init__(self, arriving=()):
        self.sent, self.arriving, self.closed = [], list(arriving), False

    def fileno(self):
        return 7

    def send(self, data):
        self.sent.append(data)

    def receive(self, timeout_s):
        self.timeout_s = timeout_s
        return self.arriving.pop(0) if self.arriving else b""

    def close(self):
        self.closed = True


def test_without_faults_it_is_the_link_behind_it():
    wire = Wire([b"down"])
    link = FaultyLink(wire)
    link.send(b"up")
    assert (wire.sent, link.receive(0.5), wire.timeout_s) == ([b"up"], b"down", 0.5)
    assert (link.fileno(), link.name, link.seconds_per_byte) == (7, "wire", 1e-5)
    link.close()
    assert wire.closed


def test_each_way_has_its_own_faults():
    wire = Wire([b"\x01\x02", b"\x01\x02"])
    link = FaultyLink(wire, up=Planned([("double", 0, 0)]), down=Planned([("flip", 1, 0x80), ("drop", 0, 0)]))
    link.send(b"up")
    link.send(b"up")
    assert wire.sent == [b"up"] * 3
    assert [link.receive(0.0), link.receive(0.0), link.receive(0.0)] == [b"\x01\x82", b"", b""]


@pytest.mark.parametrize(
    ("kind", "arrives"),
    [
        ("pass", [b"\x0f\xf0"]),
        ("drop", []),
        ("double", [b"\x0f\xf0", b"\x0f\xf0"]),
        ("flip", [b"\x0f\xf1"]),
        ("truncate", [b"\x0f"]),
        ("insert", [b"\x0f\x01\xf0"]),
        ("cut inside", [b"\x0f"]),
        ("cut", None),
    ],
)
def test_a_planned_fault_acts_at_its_byte_and_once(kind, arrives):
    fault = Planned([(kind, 3, 1)])  # byte 3 of two: the second
    assert fault(b"\x0f\xf0") == arrives
    assert fault(b"\x0f\xf0") == [b"\x0f\xf0"]


def test_what_is_late_is_overtaken_by_the_next():
    fault = Planned([("late", 0, 0), ("late", 0, 0), ("pass", 0, 0)])
    assert [fault(b"1"), fault(b"2"), fault(b"3"), fault(b"4")] == [[b""], [b"1"], [b"3", b"2"], [b"4"]]


def test_a_cut_link_is_closed_and_says_so():
    wire = Wire()
    with pytest.raises(LinkDown, match="wire was cut"):
        FaultyLink(wire, up=Planned([("cut", 0, 0)])).send(b"up")
    assert wire.closed
    assert wire.sent == []


def test_a_dead_link_passes_so_many_things_and_nothing_after():
    fault = Dead(after=2)
    assert [fault(b"x") for _ in range(4)] == [[b"x"], [b"x"], [], []]
    assert Dead()(b"x") == []


def test_a_slow_link_passes_everything_after_its_delay(mocker):
    slept = mocker.patch.object(faults.time, "sleep")
    assert Slow(0.25)(b"x") == [b"x"]
    slept.assert_called_once_with(0.25)


def test_a_board_behind_a_link_that_dies_is_lost_once_nothing_answers_any_more(network):
    alive = RemoteBridge(lambda: FaultyLink(network.connect()), reconnects_s=(), keep_alive=False)
    assert alive.run(PROGRAM).words.tolist() == [1]
    alive.close()
    down = Dead(after=1 << 30)
    remote = RemoteBridge(lambda: FaultyLink(network.connect(), down=down), reconnects_s=(0.0,), keep_alive=False)
    down.after = 0
    with pytest.raises(ConnectionLost):
        remote.run(PROGRAM)
