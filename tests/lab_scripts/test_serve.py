"""`xbar serve`: a process that hands a board to one host at a time."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

XBAR = (sys.executable, "-c", "from lab_scripts.cli import main; main()")


def test_a_served_board_multiplies_for_xbar_mvm_and_the_server_ends_with_130(xbar_json, tmp_path):
    np.save(tmp_path / "w.npy", np.full((2, 3), 50e-6))
    np.save(tmp_path / "v.npy", np.full((4, 3), 0.05))
    args = ("serve", "--listen", "tcp://127.0.0.1:0", "--seed", "3")
    files = ("--weights", "w.npy", "--inputs", "v.npy", "--seed", "3")
    with subprocess.Popen(
        [*XBAR, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as server:
        board, _, address = server.stdout.readline().strip().partition(" at ")
        assert board == "mock mock-3"
        served = xbar_json("mvm", *files, "--out", "served.nc", "--backend", address)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 130
        assert "xbar: interrupted; the outputs are safe" in server.stderr.read()
    local = xbar_json("mvm", *files, "--out", "local.nc")
    assert served.pop("out") != local.pop("out")
    assert served == local


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--listen", "tcp://0.0.0.0:0"), "set XBAR_TOKEN to a shared secret, or listen on 127.0.0.1"),
        (("--listen", "http://127.0.0.1:80"), "is neither tcp://HOST:PORT nor serial:///dev/TTY"),
        (("--listen", "serial:///dev/nothing"), "serial port /dev/nothing at 921600 baud"),
        (("--lease", "0"), "lease = 0 s is outside 100 ms … 3.6 ks"),
        (("--backend", "zc706", "--listen", "tcp://127.0.0.1:0"), "pynq is not installed here"),
    ],
)
def test_a_server_that_cannot_start_says_why_and_ends_with_3(xbar, monkeypatch, args, message):
    monkeypatch.delenv("XBAR_TOKEN", raising=False)
    result = xbar("serve", *args)
    assert (result.exit_code, message in result.stderr) == (3, True), result.stderr


def test_a_token_that_is_too_short_is_refused(xbar, monkeypatch):
    monkeypatch.setenv("XBAR_TOKEN", "short")
    result = xbar("serve", "--listen", "tcp://127.0.0.1:0")
    assert (result.exit_code, "5 characters; it needs 16 to 256" in result.stderr) == (3, True), result.stderr
