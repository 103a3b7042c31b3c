"""Abort in the browser, of real commands: they end by their own signal path, the chips are safe, the run can go on."""

import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from dying_hosts import is_safe
from needs import needs_chromium
from page_text import shows
from playwright.sync_api import expect

from drivers.board import load_board
from drivers.bridges import open_bridge
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server

pytestmark = needs_chromium


class Held:
    """A bridge that holds up the program after `programs` others until it may go on."""

    def __init__(self, inner, programs):
        self.inner, self.left, self.held, self.go_on = inner, programs, threading.Event(), threading.Event()

    def run(self, program):
        self.left -= 1
        if self.left == 0:
            self.held.set()
            assert self.go_on.wait(60)
        return self.inner.run(program)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.fixture
def held_board() -> Iterator[Callable[[int], tuple[Held, str]]]:
    """``held_board(n)``: a mock behind a server that holds its n-th program up, and the server's address."""
    begun: list[tuple[Held, Server, threading.Thread]] = []
    over = threading.Event()

    def serve(programs: int) -> tuple[Held, str]:
        bridge = Held(open_bridge("mock", board=load_board(), seed=1), programs)
        server = Server(bridge, Address.parse("tcp://127.0.0.1:0"))
        serving = threading.Thread(target=server.serve, args=(over.is_set,))
        serving.start()
        begun.append((bridge, server, serving))
        return bridge, server.address

    yield serve
    over.set()
    for bridge, server, serving in begun:
        bridge.go_on.set()
        serving.join()
        server.close()


def becomes_safe(chips) -> bool:
    """The command has closed its session, and the server is idle."""
    for _ in range(200):
        if is_safe(chips):
            return True
        time.sleep(0.05)
    return False


def test_abort_while_programming(desk, page, held_board):
    bridge, address = held_board(64)
    command = desk.run("program", "AI4S", "--backend", address, "--out", "aborted.nc")
    assert bridge.held.wait(60)
    chips = bridge.inner.board
    page.wait_for_selector("#abort", state="visible")
    expect(page.locator("#map")).to_have_attribute("data-reads", re.compile("^[2-9]|^[1-9][0-9]"))
    expect(page.locator("#journal-boards")).to_contain_text(re.compile(r"board0: \d+ programs done"))
    assert not is_safe(chips)
    page.click("#abort")
    shows(page, "#run-state", "aborting")
    assert page.is_disabled("#abort")
    bridge.go_on.set()
    assert command.wait(timeout=60) == 130
    assert "xbar resume" in command.stderr.read()
    shows(page, "#run-state", "interrupted, outputs safe")
    assert page.is_hidden("#abort")
    assert becomes_safe(chips)
    assert not (desk.folder / "aborted.nc").exists()
    assert (desk.folder / "aborted.nc.journal").is_dir()


def test_abort_while_sampling(desk, page, held_board):
    bridge, address = held_board(-1)
    command = desk.run(
        "sample", "--layers", "crossbar", "--backend", address, "--tune-steps", 0, "--configs", 10**6, "--out", "a.nc"
    )
    chips = bridge.inner.board
    expect(page.locator("#tasks")).to_contain_text("Sampling", timeout=60_000)
    page.click("#abort")
    assert command.wait(timeout=60) == 130, command.stderr.read()
    assert "xbar resume" in command.stderr.read()
    shows(page, "#run-state", "interrupted, outputs safe")
    assert becomes_safe(chips)
    assert (desk.folder / "a.nc.journal").is_dir()


def test_abort_of_what_runs_on_another_machine_is_refused_with_the_reason(page, tell, recorded):
    told = tell(recorded("hmc", "--L", 2, "--configs", 1000, out="hmc.nc"))
    page.click("#abort")
    shows(page, "#run-message", re.compile("^Not aborted: it runs on another-machine, this is .*; interrupt it there$"))
    expect(page.locator("#abort")).to_be_enabled()
    told.on()
    shows(page, "#run-state", "done")
