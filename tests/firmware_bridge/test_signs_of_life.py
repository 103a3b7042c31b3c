"""How often the `zc706` bridge tells the watchdog that its host lives, and when it stops. Needs no pynq."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from register_file import Bus

from firmware_bridge import zc706_bridge
from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.gateware import ADDRESS, Control
from firmware_bridge.timing import SequencerTiming
from firmware_bridge.zc706_bridge import KICKS, POLL_S, PynqBus, Zc706Bridge

WIRING = SimpleNamespace(n_dacs=8, n_adcs=8, sr_bits=16, dac_channels=8)


class Life:
    """Says how often a sign was asked for, and gives one when a test wants it."""

    def __init__(self, give, period_s):
        self.give, self.period_s, self.ended = give, period_s, 0

    def end(self):
        self.ended += 1


@pytest.fixture
def bus(monkeypatch):
    bus = Bus()
    monkeypatch.setattr(zc706_bridge, "_SignsOfLife", Life)
    monkeypatch.setattr(PynqBus, "allocate", lambda self, n_words: bus.allocate(n_words))
    return bus


def test_signs_come_four_times_within_the_time_that_the_watchdog_allows_and_write_its_register(bus):
    bridge = Zc706Bridge(bus, WIRING)
    bus.values["CLOCK_HZ"] = 50_000_000
    bridge.configure(SequencerConfig(timing=SequencerTiming(clock_hz=50e6), watchdog_cycles=40_000))
    assert bridge._life.period_s * KICKS == pytest.approx(40_000 / 50e6, rel=1e-12)
    assert KICKS >= 4  # three may be late
    bus.written.clear()
    bridge._life.give()
    assert bus.written == [("WATCHDOG", 40_000)]


def test_a_configuration_ends_the_signs_of_the_one_before_and_closing_ends_the_last(bus, mocker):
    lock = mocker.Mock()
    bridge = Zc706Bridge(bus, WIRING, lock=lock)
    bridge.close()  # never configured
    assert lock.close.call_count == 1
    bridge.configure(SequencerConfig(watchdog_cycles=40_000))
    first = bridge._life
    bridge.configure(SequencerConfig(watchdog_cycles=50_000))
    second = bridge._life
    assert (first.ended, second.ended) == (1, 0)
    bus.happened.clear()
    bridge.close()
    assert (second.ended, bridge._life, bus.happened) == (1, None, [Control.SAFE])
    assert lock.close.call_count == 2
    bridge.configure(SequencerConfig(watchdog_cycles=0))
    assert bridge._life is None


def test_the_fabric_is_let_go_of_even_if_it_cannot_be_made_safe(bus, mocker):
    lock = mocker.Mock()
    bridge = Zc706Bridge(bus, WIRING, lock=lock)
    mocker.patch.object(bridge, "safe", side_effect=OSError("the bus is gone"))
    with pytest.raises(OSError, match="the bus is gone"):
        bridge.close()
    lock.close.assert_called_once_with()


def test_accesses_are_plain_numbers_at_the_cores_own_offsets_and_a_look_is_paused_for(mocker):
    core = mocker.Mock(**{"read.return_value": True})
    bus = PynqBus(core)
    assert bus.read(4 * ADDRESS["STATUS"]) == 1
    assert type(bus.read(0)) is int
    bus.write(4 * ADDRESS["CONTROL"], Control.SAFE)
    assert core.write.call_args.args == (12, 2)
    assert type(core.write.call_args.args[1]) is int
    sleep = mocker.patch("time.sleep")
    bus.wait()
    sleep.assert_called_once_with(POLL_S)


def test_a_thread_gives_signs_until_it_is_ended_and_keeps_no_process_alive():
    given, enough = [], threading.Event()

    def give():
        given.append(None)
        if len(given) == 3:
            enough.set()

    life = zc706_bridge._SignsOfLife(give, 1e-4)
    assert life._thread.daemon
    assert enough.wait(5.0)
    life.end()
    assert not life._thread.is_alive()
    n = len(given)
    assert n == len(given) >= 3


def test_registers_are_described_one_by_one_with_their_byte_and_what_may_be_done_to_them():
    described = zc706_bridge.register_description()
    assert described["STATUS"]["address_offset"] == 16
    assert described["LIMIT_CODE_127"]["address_offset"] == 4 * (0x80 + 127)
    assert {described[name]["access"] for name in ("ID", "STATUS")} == {"read-only"}
    assert described["CONTROL"]["access"] == "write-only"
    assert described["SAFE_FRAME_0"]["access"] == "read-write"
    assert {register["size"] for register in described.values()} == {32}
