"""Ways out of a process whose source is on."""

import signal
import subprocess
import sys
import threading

import pytest

from drivers.connect import mock_bench, open_crossbar
from drivers.instruments.smu import open_smu

SCRIPT = """
import sys, time
from drivers.instruments.smu import open_smu
with open_smu(sys.argv[1]) as smu:
    smu.source_voltage(0.1, limit_a=1e-6)
    smu.output_on()
    print("on", flush=True)
    {wait}
"""
ASLEEP = "time.sleep(60)"
MEASURING = "while True: smu.measure()"


@pytest.fixture
def bench():
    with open_crossbar("mock", seed=5) as crossbar, mock_bench(crossbar) as it:
        yield it


def ends(bench, script, number):
    """Run a script until its source is on, send it a signal; its exit code."""
    # A shell starts what runs in its background with SIGINT ignored, and so would this test's child be.
    listen = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    args = (sys.executable, "-c", script, bench.address("smu"))
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, **listen) as process:
        assert process.stdout.readline() == "on\n"
        assert bench.smu.output
        process.send_signal(number)
        code = process.wait(timeout=30)
    return code


@pytest.mark.parametrize("wait", [ASLEEP, MEASURING], ids=["asleep", "measuring"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_process_and_the_output_is_off(bench, capfd, wait, number, code):
    assert ends(bench, SCRIPT.format(wait=wait), number) == code
    assert not bench.smu.output
    assert bench.smu.log[-2:] == [":OUTP OFF", ":OUTP?"]


def test_a_second_signal_waits_until_the_output_is_off(bench, mocker):
    """The second one comes between the command and the question."""
    raised = threading.Event()
    execute = bench.smu.execute

    def interrupting(line):
        if line == ":OUTP?" and not raised.is_set():
            raised.set()
            signal.raise_signal(signal.SIGINT)
        return execute(line)

    mocker.patch.object(bench.smu, "execute", interrupting)
    with pytest.raises(KeyboardInterrupt):
        use(open_smu(bench.address("smu")))
    assert raised.is_set()
    assert bench.smu.log[-2:] == [":OUTP OFF", ":OUTP?"]


def use(smu):
    with smu:
        smu.source_voltage(0.1, limit_a=1e-6)
        smu.output_on()


def test_a_handler_of_the_users_own_is_kept(bench):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with open_smu(bench.address("smu")):
            signal.raise_signal(signal.SIGTERM)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_after_the_block_sigterm_is_as_before(bench):
    with open_smu(bench.address("smu")):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
