"""The server on real sockets and real terminals, loopback only."""

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from loopback import cable, serving

from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import ConnectionLost, ProtocolError
from firmware_bridge.isa import ISA_HASH, ISA_VERSION, Wait
from firmware_bridge.program import Program
from firmware_bridge.remote import server as server_module
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.remote.desk import MAX_FRAME
from firmware_bridge.remote.framing import Frame, Kind, encode
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.messages import Hello
from firmware_bridge.remote.server import Server

ROOT = Path(__file__).parents[3]
PROGRAM = Program([Wait(1000)])
TOKEN = "correct horse battery staple"


def connected(server):
    return socket.create_connection((Address.parse(server.address).host, Address.parse(server.address).port))


def until(condition, seconds=5.0):
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


# -- TCP ---------------------------------------------------------------------------------------------------------------
def test_a_program_goes_to_the_board_and_its_words_come_back(network):
    with serving(network.bridge) as server:
        bridge = RemoteBridge.open(server.address)
        assert bridge.run(PROGRAM).words.tolist() == [1]
        bridge.close()
    assert network.bridge.executed == [PROGRAM.words().tobytes()]
    assert network.bridge.is_safe


def test_a_client_that_hangs_up_leaves_the_outputs_safe(network):
    with serving(network.bridge) as server:
        bridge = RemoteBridge.open(server.address)
        bridge.reset()
        assert not network.bridge.is_safe
        bridge._link.close()
        until(lambda: network.bridge.is_safe)
        with pytest.raises(ConnectionLost, match=r"the link to 127.0.0.1:\d+ was lost.*not executed") as lost:
            bridge.run(PROGRAM)
        assert lost.value.executed is False
    assert network.bridge.executed == []


def test_the_lease_is_kept_while_the_host_thinks_and_lapses_when_it_is_gone(network):
    with serving(network.bridge, lease_s=0.3) as server:
        bridge = RemoteBridge.open(server.address)
        bridge.reset()
        time.sleep(0.8)
        assert not network.bridge.is_safe
        bridge._stop.set()  # as if the host were frozen: connected and silent
        until(lambda: network.bridge.is_safe)
        with pytest.raises(ConnectionLost, match=r"nothing was heard for 0.3 s and the lease lapsed"):
            bridge.run(PROGRAM)


def test_the_lease_thread_ends_with_its_bridge(network):
    with serving(network.bridge, lease_s=0.2) as server:
        bridge = RemoteBridge.open(server.address)
        assert [t for t in threading.enumerate() if t.name == "xbar-lease"]
        link = bridge._link
        del bridge
        until(lambda: not [t for t in threading.enumerate() if t.name == "xbar-lease"])
        link.close()
        until(lambda: server.desk._holder is None)


def test_a_second_client_is_refused_over_tcp_while_the_first_works_on(network):
    with serving(network.bridge) as server:
        first = RemoteBridge.open(server.address)
        with pytest.raises(ProtocolError, match=r"the board is held by 127.0.0.1"):
            RemoteBridge.open(server.address)
        first.run(PROGRAM)
        first.close()
        RemoteBridge.open(server.address).close()


def test_a_wrong_token_is_refused_over_tcp_and_the_connection_closed(network):
    with serving(network.bridge, token=TOKEN) as server:
        with pytest.raises(ProtocolError, match="token is missing or wrong"):
            RemoteBridge.open(server.address, token="x" * 20)
        RemoteBridge.open(server.address, token=TOKEN).close()
        with connected(server) as stranger:
            stranger.settimeout(server_module.HANDSHAKE_S / 2)
            hello = Hello(isa_version=ISA_VERSION, isa_hash=ISA_HASH)
            stranger.sendall(encode(Frame(Kind.HELLO, 1, 0, hello.body())))
            while stranger.recv(4096):
                pass


def test_a_stranger_who_sends_noise_is_sent_away_at_once(network):
    with serving(network.bridge) as server, connected(server) as stranger:
        stranger.settimeout(server_module.HANDSHAKE_S / 2)
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n\0")
        assert stranger.recv(4096) == b""


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:0", "tcp://[::]:0"])
def test_an_address_that_others_reach_needs_a_token(network, address):
    with pytest.raises(ProtocolError, match="can be reached from other machines: set XBAR_TOKEN"):
        Server(network.bridge, Address.parse(address))


def test_an_address_in_use_is_an_error_that_names_it(network):
    with serving(network.bridge) as server, pytest.raises(ConnectionLost, match=r"cannot listen on tcp://127\.0\.0\.1"):
        Server(network.bridge, Address.parse(server.address))


def test_nobody_at_an_address_is_an_error_that_says_how_to_start_a_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionLost, match=rf"no board server at tcp://127.0.0.1:{port}: .*; start it with"):
        RemoteBridge.open(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "address",
    ["tcp://", "tcp://host", "tcp://host:x", "tcp://host:70000", "tcp://h:1/path", "serial://", "serial://ttyS0",
     "serial:///dev/ttyS0?baud=0", "serial:///dev/ttyS0?baud=fast", "serial:///dev/ttyS0?speed=9600", "udp://h:1"],
)  # fmt: skip
def test_a_bad_address_is_refused_with_the_good_ones(address):
    with pytest.raises(ProtocolError, match=r"is neither tcp://HOST:PORT nor serial:///dev/TTY"):
        RemoteBridge.open(address)


def test_a_connection_that_opens_no_session_is_closed(network, monkeypatch):
    monkeypatch.setattr(server_module, "HANDSHAKE_S", 0.1)
    with serving(network.bridge) as server, connected(server) as idle:
        assert idle.recv(1) == b""


def test_connections_are_bounded_and_those_inside_are_served(network):
    with serving(network.bridge) as server:
        bridge = RemoteBridge.open(server.address)
        crowd = [connected(server) for _ in range(12)]
        assert bridge.run(PROGRAM).words.tolist() == [1]
        until(lambda: len(server._connections) == 1 + server_module.MAX_WAITING)
        for connection in crowd:
            connection.close()
        bridge.close()


def test_a_frame_without_end_closes_its_connection_and_makes_the_outputs_safe(network):
    with serving(network.bridge) as server:
        bridge = RemoteBridge.open(server.address)
        bridge.reset()
        with pytest.raises(ConnectionError):
            bridge._link.send(b"x" * (64 * MAX_FRAME))
        until(lambda: network.bridge.is_safe)
        assert server.desk.counts.malformed == 1
        with pytest.raises(ConnectionLost):
            bridge.close()


def test_ten_thousand_frames_of_noise_execute_nothing_and_the_board_is_there_afterwards(network):
    rng = random.Random(4711)

    def noise(session, hello):
        body = rng.randbytes(rng.randrange(200))
        kind = rng.randrange(4)
        if kind == 0:  # bytes
            return b"\0" + body + b"\0"
        if kind == 1:  # a frame whose kind, numbers and body are noise
            return encode(Frame(rng.choice(list(Kind)), rng.choice([session, 3]), rng.getrandbits(32), body))
        frame = bytearray(encode(Frame(Kind.RUN, session, rng.getrandbits(32), PROGRAM.words().tobytes())))
        frame[rng.randrange(1, len(frame) - 1)] ^= rng.randrange(1, 256)
        return bytes(frame) if kind == 2 else hello[: rng.randrange(len(hello))]

    sent = 0
    with serving(network.bridge) as server:
        for k in range(100):
            hello = encode(Frame(Kind.HELLO, k, 0, Hello(isa_version=ISA_VERSION, isa_hash=ISA_HASH).body()))
            with connected(server) as attacker:
                attacker.settimeout(5.0)
                try:
                    if k % 2:  # from a client that holds the board, or from a stranger
                        attacker.sendall(hello)
                        attacker.recv(4096)
                    for _ in range(205):
                        attacker.sendall(noise(k, hello))
                        sent += 1
                except OSError:
                    pass  # sent away
        until(lambda: server.desk._holder is None)
        assert sent >= 10_000
        assert server.desk.counts.malformed > 500
        assert network.bridge.executed == []
        assert network.bridge.is_safe
        bridge = RemoteBridge.open(server.address)
        assert bridge.run(PROGRAM).words.tolist() == [1]
        bridge.close()


def test_a_hundred_connections_lost_at_random_bytes_execute_whole_programs_once_and_end_safe(network):
    rng = random.Random(1)
    expected = 0
    with serving(network.bridge) as server:
        for session in range(1, 101):
            hello = encode(Frame(Kind.HELLO, session, 0, Hello(isa_version=ISA_VERSION, isa_hash=ISA_HASH).body()))
            run = encode(Frame(Kind.RUN, session, 1, Program([Wait(session)]).words().tobytes()))
            data = hello + run + run
            cut = rng.randrange(1, len(data) + 1)
            until(lambda: server.desk._holder is None)
            with connected(server) as client:
                client.sendall(data[:cut])
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            expected += cut >= len(hello + run)
        until(lambda: server.desk._holder is None)
        assert 0 < expected < 100
        assert len(network.bridge.executed) == len(set(network.bridge.executed)) == expected
        assert network.bridge.is_safe


def test_a_crossbar_whose_link_is_lost_says_once_what_became_of_its_program_and_can_be_left():
    with serving(open_bridge("mock", board=load_board())) as server:
        handle = server.desk.handle

        def execute_and_cut(peer, encoded):
            answer = handle(peer, encoded)
            server.desk.handle = handle
            for connection in server._connections:
                connection.link._socket.shutdown(socket.SHUT_RDWR)
            return answer

        def story():
            with open_crossbar(server.address) as crossbar:
                crossbar.mvm(np.zeros(32))
                server.desk.handle = execute_and_cut
                crossbar.mvm(np.zeros(32))

        with pytest.raises(ConnectionLost, match="was executed, and it ended normally") as lost:
            story()
        assert lost.value.executed is True
        with open_crossbar(server.address) as crossbar:
            assert crossbar.mvm(np.zeros(32)).shape == (32,)


# -- serial ------------------------------------------------------------------------------------------------------------
def test_a_program_goes_over_a_serial_line(network):
    with cable() as (board, host, _), serving(network.bridge, Address.parse(f"serial://{board}")):
        bridge = RemoteBridge.open(f"serial://{host}?baud=921600")
        assert bridge.run(PROGRAM).words.tolist() == [1]
        assert bridge.run(Program([Wait(k) for k in range(5000)])).words.tolist() == [2]
        bridge.close()
        assert network.bridge.is_safe


def test_a_serial_line_that_is_full_of_console_output_still_opens(network):
    with cable() as (board, host, _), serving(network.bridge, Address.parse(f"serial://{board}")) as server:
        with open(host, "wb", buffering=0) as console:
            console.write(b"PYNQ login: root\r\nLast login: \0\0\xff\r\n" * 20)
        bridge = RemoteBridge.open(f"serial://{host}")
        assert bridge.run(PROGRAM).words.tolist() == [1]
        bridge.close()
        assert server.desk.counts.malformed > 0


def test_a_cable_pulled_in_the_middle_of_a_frame_is_a_lost_connection_and_the_board_becomes_safe(network):
    with (
        cable() as (board, host, pull),
        serving(network.bridge, Address.parse(f"serial://{board}"), lease_s=0.3) as server,
    ):
        bridge = RemoteBridge(
            Address.parse(f"serial://{host}").connect, answer_s=0.02, reconnects_s=(0.0,), keep_alive=False
        )
        bridge.run(PROGRAM)
        whole = encode(Frame(Kind.RUN, bridge._session, 9, PROGRAM.words().tobytes()))
        bridge._link.send(whole[: len(whole) // 2])
        pull()
        with pytest.raises(ConnectionLost, match=r"no answer after 4 attempts.*unknown") as lost:
            bridge.run(PROGRAM)
        assert lost.value.executed is None
        until(lambda: server.desk.counts.lapsed == 1)
        assert network.bridge.is_safe
        assert len(network.bridge.executed) == 1


def test_a_port_that_is_not_there_is_named():
    with pytest.raises(ConnectionLost, match="serial port /dev/nothing at 921600 baud: "):
        RemoteBridge.open("serial:///dev/nothing")


# -- the process -------------------------------------------------------------------------------------------------------
SLOW_BOARD = """
import sys, time
from firmware_bridge.bridge import Identity
from firmware_bridge.isa import ISA_HASH, ISA_VERSION
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server

class Slow:
    def safe(self): print("safe", flush=True)
    close = safe
    def run(self, program):
        print("pulse", flush=True)
        time.sleep(60)

server = Server(Slow(), Address.parse("tcp://127.0.0.1:0"))
print(server.address, flush=True)
server.serve()
"""


@contextmanager
def process(*args, **options):
    with subprocess.Popen(
        [sys.executable, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options
    ) as started:
        try:
            yield started
        finally:
            started.kill()  # a test that fails must not wait for it


def test_a_server_killed_during_a_program_leaves_its_fate_unknown_to_the_host():
    with process("-c", SLOW_BOARD) as server:
        assert server.stdout.readline() == "safe\n"
        bridge = RemoteBridge(
            Address.parse(server.stdout.readline().strip()).connect, reconnects_s=(0.0,), keep_alive=False
        )

        def kill():
            server.stdout.readline()  # in the middle of a pulse
            server.kill()

        threading.Thread(target=kill).start()
        with pytest.raises(ConnectionLost, match=r"cannot be reached.*unknown: take all of its pulses") as lost:
            bridge.run(PROGRAM)
        assert lost.value.executed is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_with_130_and_the_host_learns_why(number):
    with process("-m", "drivers.serve", "--listen", "tcp://127.0.0.1:0") as server:
        board, _, address = server.stdout.readline().strip().partition(" at ")
        assert board == "mock mock-0"
        bridge = RemoteBridge(Address.parse(address).connect, reconnects_s=(0.0,), keep_alive=False)
        bridge.configure(SequencerConfig())
        bridge.run(PROGRAM)
        while server.poll() is None:  # impatience neither interrupts making safe nor changes the exit code
            server.send_signal(number)
            time.sleep(1e-3)
        assert server.returncode == 130
        assert "interrupted; the outputs are safe" in server.stderr.read()
        with pytest.raises(ConnectionLost):
            bridge.run(PROGRAM)


def test_the_server_needs_neither_scipy_nor_torch_nor_typer():
    code = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "pynq", "scipy", "xarray", "typer", "rich", "h5netcdf", "matplotlib"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
import drivers.serve
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- the same numbers --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("line", ["tcp", "serial"])
def test_a_served_mock_gives_the_numbers_of_the_local_one(line):
    board = load_board()
    rng = np.random.default_rng(0)
    volts = rng.uniform(-0.1, 0.1, (1100 if line == "tcp" else 40, 32))
    amplitude = np.where(rng.random((32, 32)) < 0.05, 1.5, np.nan)

    def story(crossbar):
        with crossbar:
            before = crossbar.read_conductance()
            crossbar.apply_pulses(amplitude, 1.3, 1e-6)
            readout = crossbar.measure(volts)
            return before, crossbar.read_conductance(), readout.adc_code, readout.cycles, crossbar.cycles

    local = story(open_crossbar("mock", seed=3))
    bridge = open_bridge("mock", board=board, seed=3)
    if line == "tcp":
        with serving(bridge) as server:
            served = story(open_crossbar(server.address))
    else:
        with cable() as (at_board, at_host, _), serving(bridge, Address.parse(f"serial://{at_board}")):
            served = story(Crossbar(RemoteBridge.open(f"serial://{at_host}"), board))
    for ours, theirs in zip(served, local, strict=True):
        assert np.array_equal(ours, theirs)
