"""Somebody tries to break a server: nothing is executed, memory stays bounded, and who has the token gets in."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
import tracemalloc

import pytest
from loopback import serving

from firmware_bridge.errors import ProtocolError
from firmware_bridge.isa import ISA_HASH, ISA_VERSION, Wait
from firmware_bridge.program import Program
from firmware_bridge.remote import guesses
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.remote.desk import MAX_FRAME, Peer
from firmware_bridge.remote.framing import Frame, Kind, encode
from firmware_bridge.remote.guesses import MOST, WITHIN_S, Guesses
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.messages import Hello

PROGRAM = Program([Wait(1000)])
TOKEN = "correct horse battery staple"


def hello(token, session=1):
    return encode(Frame(Kind.HELLO, session, 0, Hello(isa_version=ISA_VERSION, isa_hash=ISA_HASH, token=token).body()))


def connected(server):
    address = Address.parse(server.address)
    return socket.create_connection((address.host, address.port), timeout=5.0)


# -- guessing ----------------------------------------------------------------------------------------------------------


def test_after_five_wrong_tokens_a_host_waits_and_its_tokens_are_not_compared(network, mocker):
    network.desk.token = TOKEN
    compare = mocker.spy(guesses.Guesses, "wrong")
    for k in range(MOST):
        with pytest.raises(ProtocolError, match="token is missing or wrong"):
            network.open(token="x" * 20)
        network.pass_time(1.0)
        assert compare.call_count == k + 1
    for token in ("x" * 20, TOKEN):
        with pytest.raises(ProtocolError, match=r"too many wrong tokens came from host; try again in 55 s"):
            network.open(token=token)
    assert compare.call_count == MOST
    # The first guess was 60 s ago: one more is free.
    network.pass_time(WITHIN_S - MOST)
    bridge = network.open(token=TOKEN)
    assert bridge.run(PROGRAM).words.tolist() == [1]


def test_a_guesser_keeps_neither_the_holder_nor_other_hosts_out(network):
    network.desk.token = TOKEN
    bridge = network.open(token=TOKEN)
    for k in range(20):
        answer = network.desk.handle(Peer(f"mallory:{k}"), hello("x" * 20, session=k).strip(b"\0"))
        assert answer.kind is Kind.REFUSED
    assert bridge.run(PROGRAM).words.tolist() == [1]
    bridge.close()
    network.open(token=TOKEN).close()


def test_who_guesses_from_many_hosts_costs_bounded_memory():
    book = Guesses()
    for k in range(10_000):
        for _ in range(MOST + 2):
            book.wrong(f"host {k}", float(k))
    assert len(book._wrong) == guesses.REMEMBERED
    assert all(len(times) == MOST for times in book._wrong.values())
    assert book.wait_s("host 9999", 9999.0) == WITHIN_S
    assert book.wait_s("host 0", 9999.0) == 0.0


def test_a_host_that_guesses_on_is_not_forgotten_for_others_that_guessed_later():
    book = Guesses()
    for _ in range(MOST):
        book.wrong("mallory", 0.0)
    for k in range(2 * guesses.REMEMBERED):
        book.wrong(f"host {k}", 1.0)
        book.wrong("mallory", 1.0)
    assert book.wait_s("mallory", 2.0) == WITHIN_S - 1.0


@pytest.mark.parametrize(("after_s", "wait_s"), [(0.0, WITHIN_S), (WITHIN_S, 0.0), (WITHIN_S + 1.0, 0.0), (12.5, 47.5)])
def test_a_host_waits_until_the_first_of_its_guesses_is_a_minute_old(after_s, wait_s):
    book = Guesses()
    for k in range(MOST):
        assert book.wait_s("mallory", 100.0) == 0.0
        book.wrong("mallory", 100.0 + k)
    assert book.wait_s("mallory", 100.0 + after_s) == wait_s
    assert (MOST, WITHIN_S) == (5, 60.0)  # as docs/remote.md says


# -- over TCP, all at once ---------------------------------------------------------------------------------------------


def slow_loris(server, stop):
    """Connections that are kept open with a byte now and then."""
    drops = []
    with contextlib.ExitStack() as stack:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                drops.append(stack.enter_context(connected(server)))
            for each in drops[-12:]:
                with contextlib.suppress(OSError):
                    each.sendall(b"x")
            time.sleep(0.01)


def flood(make):
    """Connection after connection, each of which sends what `make` gives until it is sent away."""

    def attack(server, stop):
        rng = random.Random(7)
        while not stop.is_set():
            with contextlib.suppress(OSError), connected(server) as link:
                for _ in range(50):
                    link.sendall(make(rng))

    return attack


ATTACKS = {
    "slow loris": slow_loris,
    "garbage": flood(lambda rng: rng.randbytes(500)),
    "huge frames": flood(lambda rng: b"\x01" * (MAX_FRAME // 4)),
    "delimiters": flood(lambda rng: b"\0" * 10_000),
    "deep JSON": flood(lambda rng: encode(Frame(Kind.HELLO, 5, 0, b"[" * 50_000))),
    "programs without a session": flood(lambda rng: encode(Frame(Kind.RUN, 1, 9, PROGRAM.words().tobytes()))),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_who_has_the_token_gets_in_and_is_served_under_attack(network, attack):
    stop = threading.Event()
    with serving(network.bridge, token=TOKEN) as server:
        thread = threading.Thread(target=ATTACKS[attack], args=(server, stop))
        thread.start()
        try:
            time.sleep(0.2)
            served = 0
            for _ in range(3):
                bridge = RemoteBridge.open(server.address, token=TOKEN)
                for _ in range(10):
                    served += bool(bridge.run(PROGRAM).words.size)
                bridge.close()
        finally:
            stop.set()
            thread.join()
        assert served == 30
        assert network.bridge.executed == [PROGRAM.words().tobytes()] * 30
        assert network.bridge.is_safe


def test_a_frame_without_end_is_never_held(network):
    with serving(network.bridge, token=TOKEN) as server:
        tracemalloc.start()
        try:
            for _ in range(4):
                with contextlib.suppress(OSError), connected(server) as link:
                    for _ in range(256):
                        link.sendall(b"\x01" * (1 << 16))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * MAX_FRAME


def test_trickling_bytes_do_not_keep_a_lease(network):
    with serving(network.bridge, token=TOKEN, lease_s=0.3) as server, connected(server) as link:
        link.sendall(hello(TOKEN))
        assert link.recv(4096)
        with contextlib.suppress(OSError):
            for _ in range(60):
                link.sendall(b"x")
                time.sleep(0.01)
        assert server.desk.counts.lapsed == 1
        assert network.bridge.is_safe
