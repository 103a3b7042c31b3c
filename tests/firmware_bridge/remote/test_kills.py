"""Processes killed with SIGKILL in the middle of every kind of instruction: the outputs are safe soon afterwards.

The board is a process of its own, as it is in the laboratory: the gateware's model, whose clock goes on whoever dies.
"""

import subprocess
import sys
import threading
import time
from multiprocessing.connection import Listener
from pathlib import Path

import numpy as np
import pytest
from dying_hosts import BOARD, CONFIG, SAFE_WITHIN, SETUP, WORKING, is_safe
from loopback import serving
from needs import needs_verilator

from firmware_bridge.errors import ConnectionLost
from firmware_bridge.gateware import ADDRESS
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.remote.links import Address
from firmware_bridge.rtl_bridge import RtlBridge

ROOT = Path(__file__).parents[3]
SUPPORT = str(ROOT / "tests" / "support")
SERVER = """
import sys
from multiprocessing.connection import Client
import numpy as np
from drivers.board import load_board
from firmware_bridge.gateware_client import GatewareBridge
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server

class Bus:
    def __init__(self, address):
        self.wire = Client(address)
    def ask(self, *request):
        self.wire.send(request)
        return self.wire.recv()
    def read(self, address): return self.ask("read", address)
    def write(self, address, word): self.ask("write", address, word)
    def wait(self): pass
    def allocate(self, n_words): return Buffer(self, n_words)

class Buffer:
    def __init__(self, bus, n_words):
        self.bus, self.words = bus, np.zeros(n_words, np.uint32)
        self.number, self.device_address = bus.ask("allocate", n_words)
    def flush(self): self.bus.ask("fill", self.number, self.words)
    def invalidate(self): self.words = self.bus.ask("fetch", self.number)
    def __getitem__(self, index): return self.words[index]
    def __setitem__(self, index, words): self.words[index] = words

bridge = GatewareBridge(Bus(sys.argv[1]), load_board().wiring, kind="killed", serial="0")
server = Server(bridge, Address.parse("tcp://127.0.0.1:0"))
print(server.address, flush=True)
server.serve()
"""
CLIENT = """
import sys
from dying_hosts import CONFIG, SETUP, WORKING
from firmware_bridge.program import Program
from firmware_bridge.remote.client import RemoteBridge

bridge = RemoteBridge.open(sys.argv[1])
bridge.configure(CONFIG)
bridge.run(Program([*SETUP, *WORKING[sys.argv[2]]]))
"""


def process(script, *arguments):
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {SUPPORT!r})\n{script}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@needs_verilator
@pytest.mark.parametrize("what", WORKING)
def test_a_server_killed_in_an_instruction_leaves_the_outputs_safe_within_the_watchdogs_time(what, tmp_path):
    board = RtlBridge(MockBoard(BOARD.wiring, MockParams(), seed=0))
    model, buffers, lost = board.model, [], []
    board.pins.configure(CONFIG)

    def answer(kind, *arguments):
        match kind:
            case "read":
                return model.read(*arguments)
            case "write":
                return model.write(*arguments)
            case "allocate":
                buffers.append(model.allocate(*arguments))
                return len(buffers) - 1, buffers[-1].device_address
            case "fill":
                buffers[arguments[0]][:] = arguments[1]
            case "fetch":
                return np.array(buffers[arguments[0]])

    def work(server):
        address = Address.parse(server.stdout.readline().strip())
        host = RemoteBridge(address.connect, reconnects_s=(0.0,), keep_alive=False)
        host.configure(CONFIG)
        try:
            host.run(Program([*SETUP, *WORKING[what]]))
        except ConnectionLost as error:
            lost.append(error)

    # As far into the program as its set-up takes, and a little further.
    middle = Program(SETUP).cycles(CONFIG.timing) + 500
    with Listener(str(tmp_path / "bus")) as listener, process(SERVER, str(tmp_path / "bus")) as server:
        try:
            with listener.accept() as bus:
                host = threading.Thread(target=work, args=(server,))
                host.start()
                while model.read(4 * ADDRESS["CYCLES_LOW"]) < middle:
                    if bus.poll(1):
                        bus.send(answer(*bus.recv()))
                    model.let_pass(100)
        finally:
            server.kill()
    assert board.board.chain.outputs() is not None
    assert not is_safe(board.board)
    model.let_pass(SAFE_WITHIN)
    assert is_safe(board.board)
    host.join()
    # Nobody is left to ask what became of the program.
    assert lost[0].executed is None


class Attentive(MockBridge):
    """A mock that takes as long over a program as its host lives."""

    def __init__(self, board):
        super().__init__(board)
        self.begun, self.killed = threading.Event(), threading.Event()
        self.runs = 0

    def run(self, program):
        self.begun.set()
        assert self.killed.wait(30)
        self.runs += 1
        return super().run(program)


@pytest.mark.parametrize("what", WORKING)
def test_a_host_killed_in_an_instruction_leaves_the_outputs_safe_when_the_program_ends(what):
    bridge = Attentive(MockBoard(BOARD.wiring, MockParams(), seed=0))
    with serving(bridge) as server, process(CLIENT, server.address, what) as client:
        try:
            assert bridge.begun.wait(30)
        finally:
            client.kill()
        client.wait()
        bridge.killed.set()
        end = time.monotonic() + 5
        while not (bridge.runs and is_safe(bridge.board) and server.desk._holder is None) and time.monotonic() < end:
            time.sleep(0.002)
        assert is_safe(bridge.board)
        assert server.desk._holder is None
    assert bridge.runs == 1
