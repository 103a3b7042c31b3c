"""Which driver an address gets."""

import pytest
from mock_stage import MockStage, PtyPort

from drivers.connect import mock_bench, open_crossbar
from drivers.instruments import catalogue, temperature
from drivers.instruments.dmm import Keysight34465A
from drivers.instruments.smu import Keithley2400, Keithley2450
from drivers.instruments.temperature import LakeShore335
from drivers.instruments.visa import InstrumentError, SerialLine
from firmware_bridge.errors import ProtocolError


@pytest.mark.parametrize(
    ("name", "model", "kind"),
    [("smu", "2400", Keithley2400), ("smu", "2450", Keithley2450), ("dmm", "2450", Keysight34465A)],
)
def test_each_instrument_gets_its_driver(name, model, kind):
    with (
        open_crossbar("mock") as crossbar,
        mock_bench(crossbar, smu_model=model) as bench,
        catalogue.open_instrument(bench.address(name)) as it,
    ):
        assert isinstance(it, kind)
        it.self_test()


def test_a_stage_at_a_serial_port(mocker):
    for module in (temperature, catalogue):
        mocker.patch.object(module, "LINE", SerialLine(57600))  # a pseudo-terminal has no parity
    with PtyPort(MockStage()) as port, catalogue.open_instrument(port.address) as it:
        assert isinstance(it, LakeShore335)
        it.self_test()


def test_an_instrument_without_a_driver(simulated):
    with pytest.raises(InstrumentError, match=r"at .* is MAKER 8; there are drivers for 2400, 2450, 34465A, 335"):
        catalogue.open_instrument(**simulated("MAKER,MODEL 8,42,1.0"))


def test_a_bench_of_the_mock_needs_a_mock(mocker):
    with open_crossbar("mock") as crossbar:
        mocker.patch("drivers.connect.mock_board", return_value=None)
        with pytest.raises(
            ProtocolError, match="mock board mock-0 is no model in this process: real instruments belong"
        ):
            mock_bench(crossbar)
