"""The server's command: what it takes from the command line, and how it ends."""

import logging
import signal
from pathlib import Path

import pytest

from drivers import serve as module
from drivers.board import PAPER_BOARD
from drivers.serve import LEASE_RANGE_S, main, serve
from firmware_bridge.errors import LimitError, ProtocolError


@pytest.fixture
def served(mocker, monkeypatch):
    """Runs the command, and returns its exit code and what it would have served."""
    serving = mocker.patch.object(module, "serve")
    mocker.patch.object(logging, "basicConfig")

    def run(*arguments, error=None):
        serving.side_effect = error
        monkeypatch.setattr("sys.argv", ["serve", *arguments])
        code = main()
        return code, serving.call_args

    return run


def test_by_default_a_mock_is_served_to_this_host_alone(served, capsys):
    code, call = served()
    assert code == 0
    assert call.args == ("mock", "tcp://127.0.0.1:7706")
    assert {**call.kwargs, "ready": None} == {"board_file": PAPER_BOARD, "seed": 0, "lease_s": 10.0, "ready": None}
    call.kwargs["ready"]("mock mock-0", "tcp://127.0.0.1:7706")
    assert capsys.readouterr().out == "mock mock-0 at tcp://127.0.0.1:7706\n"


def test_every_option_arrives(served):
    options = ["--backend", "rtl", "--listen", "tcp://[::1]:1", "--board", "lab.toml", "--seed", "5", "--lease", "2.5"]
    _, call = served(*options)
    assert call.args == ("rtl", "tcp://[::1]:1")
    assert {**call.kwargs, "ready": None} == {
        "board_file": Path("lab.toml"), "seed": 5, "lease_s": 2.5, "ready": None
    }  # fmt: skip


def test_a_refusal_ends_with_3_and_an_interrupt_with_130(served, capsys):
    assert served(error=ProtocolError("no such address"))[0] == 3
    assert capsys.readouterr().err == "serve: no such address\n"
    assert served(error=KeyboardInterrupt())[0] == 130
    assert capsys.readouterr().err == "serve: interrupted; the outputs are safe\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_later_ones_do_not(number):
    before = signal.getsignal(number)
    try:
        with pytest.raises(KeyboardInterrupt), module._undisturbed_at_the_end():
            signal.raise_signal(number)
        assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.raise_signal(number)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(number, before)


def test_without_a_signal_those_who_handled_them_do_so_again():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with module._undisturbed_at_the_end():
        assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_lease_may_be_at_both_ends_of_its_range(mocker):
    opened = mocker.patch.object(module, "open_bridge", side_effect=InterruptedError)

    def lease(seconds):
        serve("mock", "tcp://127.0.0.1:0", board_file=PAPER_BOARD, seed=0, lease_s=seconds, ready=print)

    for seconds in LEASE_RANGE_S:
        with pytest.raises(InterruptedError):
            lease(seconds)
    opened.reset_mock()
    for seconds in (0.099, 3600.1, float("nan")):
        with pytest.raises(LimitError, match=r"lease = .* is outside 100 ms … 3.6 ks"):
            lease(seconds)
    assert not opened.called


def test_a_board_whose_address_cannot_be_had_is_made_safe(mocker):
    bridge = mocker.patch.object(module, "open_bridge").return_value
    mocker.patch.object(module, "Server", side_effect=InterruptedError)
    with pytest.raises(InterruptedError):
        serve("mock", "tcp://127.0.0.1:0", board_file=PAPER_BOARD, seed=0, lease_s=10.0, ready=print)
    bridge.close.assert_called_once_with()


def test_a_board_is_served_once_its_address_is_had_with_the_token_of_the_environment(mocker, monkeypatch):
    bridge = mocker.patch.object(module, "open_bridge").return_value
    bridge.identify.return_value.kind, bridge.identify.return_value.serial = "mock", "mock-5"
    server = mocker.patch.object(module, "Server").return_value
    server.__enter__.return_value, server.address = server, "tcp://127.0.0.1:9"
    seen = []
    server.serve.side_effect = lambda: seen.append("served")
    monkeypatch.setenv("XBAR_TOKEN", "secret")
    serve(
        "mock", "tcp://127.0.0.1:0", board_file=PAPER_BOARD, seed=5, lease_s=10.0,
        ready=lambda board, address: seen.append((board, address)),
    )  # fmt: skip
    assert seen == [("mock mock-5", "tcp://127.0.0.1:9"), "served"]
    assert server.__exit__.called
    assert module.open_bridge.call_args.kwargs["seed"] == 5
    assert module.Server.call_args.kwargs == {"token": "secret", "lease_s": 10.0}
