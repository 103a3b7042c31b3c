from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock.cd4051b import LIMITS, Cd4051b, MuxParams
from firmware_bridge.mock.limits import Bound, Limit

SUPPLIES: dict[str, Literal[5, 10, 15]] = {"VIH (VDD = 5 V)": 5, "VIH (VDD = 10 V)": 10, "VIH (VDD = 15 V)": 15}
CASES = [
    pytest.param(limit, bound, value, id=f"{limit.symbol}-{bound}")
    for limit in LIMITS
    for bound, value in limit.bounds()
]


def _mux(params: MuxParams | None = None, n: int = 1, seed: int = 0) -> Cd4051b:
    return Cd4051b(params or MuxParams(), n, np.random.default_rng(seed))


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_at_the_limit_passes(limit: Limit, bound: Bound, value: float) -> None:
    _mux(MuxParams(supply_v=SUPPLIES[limit.symbol], level_shifter=False, logic_high_v=value))


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_beyond_the_limit_is_refused(limit: Limit, bound: Bound, value: float) -> None:
    with pytest.raises(ProtocolError) as caught:
        _mux(MuxParams(supply_v=SUPPLIES[limit.symbol], level_shifter=False, logic_high_v=value * (1 - 1e-6)))
    assert f"CD4051B {limit.symbol} = " in str(caught.value)
    assert f"below the minimum of {value:g} V" in str(caught.value)


def test_logic_of_3v3_does_not_drive_a_mux_at_5_v_but_a_level_shifter_does() -> None:
    with pytest.raises(ProtocolError, match=r"VIH .VDD = 5 V. = 3.3 V is below the minimum of 3.5 V.*level shifter"):
        _mux(MuxParams(supply_v=5, logic_high_v=3.3, level_shifter=False))
    _mux(MuxParams(supply_v=5, logic_high_v=3.3, level_shifter=True))


@pytest.mark.parametrize("code", range(8))
def test_each_select_code_connects_its_own_channel_and_inh_connects_none(code: int) -> None:
    mux = _mux()
    mux.select(code, False, 0.0)
    assert mux.channel(1e-6) == code
    mux.select(code, True, 1e-6)
    assert mux.channel(2e-6) is None


def test_nothing_is_connected_at_power_up() -> None:
    assert _mux().channel(1.0) is None


@pytest.mark.parametrize(
    ("supply_v", "address_s", "on_s", "off_s"),
    [(5, 720e-9, 720e-9, 450e-9), (10, 320e-9, 320e-9, 210e-9), (15, 240e-9, 240e-9, 160e-9)],
)
def test_switching_takes_the_datasheet_maximum_and_breaks_before_it_makes(
    supply_v: Literal[5, 10, 15], address_s: float, on_s: float, off_s: float
) -> None:
    mux = _mux(MuxParams(supply_v=supply_v))
    mux.select(2, True, 0.0)
    mux.select(2, False, 1.0)
    assert mux.settled_at_s == 1.0 + on_s
    assert mux.channel(1.0 + 0.999 * on_s) is None
    assert mux.channel(1.0 + on_s) == 2
    mux.select(5, False, 2.0)
    assert mux.settled_at_s == 2.0 + address_s
    assert mux.channel(2.0 + 0.999 * address_s) is None
    assert mux.channel(2.0 + address_s) == 5
    mux.select(5, True, 3.0)
    assert mux.settled_at_s == 3.0 + off_s
    assert mux.channel(3.0) is None


def test_selecting_the_same_channel_again_does_not_disconnect_it() -> None:
    mux = _mux()
    mux.select(3, False, 0.0)
    mux.select(3, False, 1e-3)
    assert mux.channel(1e-3) == 3
    assert mux.settled_at_s == 720e-9


def test_a_change_while_inhibited_needs_no_time_of_its_own() -> None:
    mux = _mux()
    mux.select(1, True, 1.0)
    mux.select(6, True, 2.0)
    assert mux.settled_at_s == 0.0
    assert mux.channel(2.0) is None


def test_undriven_select_pins_are_allowed_only_while_inhibited() -> None:
    mux = _mux()
    mux.select(None, True, 0.0)
    assert mux.channel(0.0) is None
    with pytest.raises(ProtocolError, match="not driven"):
        mux.select(None, False, 1.0)


@pytest.mark.parametrize("code", [-1, 8])
def test_a_code_of_more_than_three_bits_is_refused(code: int) -> None:
    with pytest.raises(ProtocolError, match="outside 0 … 7"):
        _mux().select(code, False, 0.0)


def test_time_going_back_is_refused() -> None:
    mux = _mux()
    mux.select(0, False, 1.0)
    with pytest.raises(ProtocolError, match="went back"):
        mux.select(1, False, 0.5)
    with pytest.raises(ProtocolError, match="went back"):
        mux.channel(0.5)


@pytest.mark.parametrize(("supply_v", "typ", "maximum"), [(5, 470, 1050), (10, 180, 400), (15, 125, 240)])
def test_on_resistance_is_typical_on_average_and_never_above_the_maximum(
    supply_v: Literal[5, 10, 15], typ: float, maximum: float
) -> None:
    r_on_ohm = _mux(MuxParams(supply_v=supply_v), n=10_000).r_on_ohm
    assert r_on_ohm.shape == (10_000,)
    assert abs(r_on_ohm.mean() - typ) < 5 * 0.1 * typ / np.sqrt(10_000)
    assert abs(r_on_ohm.std() - 0.1 * typ) < 5 * 0.1 * typ / np.sqrt(20_000)
    assert _mux(MuxParams(supply_v=supply_v, r_on_spread=3.0), n=10_000).r_on_ohm.max() == maximum


def test_the_seed_makes_the_group() -> None:
    assert np.array_equal(_mux(n=4, seed=1).r_on_ohm, _mux(n=4, seed=1).r_on_ohm)
    assert not np.array_equal(_mux(n=4, seed=1).r_on_ohm, _mux(n=4, seed=2).r_on_ohm)


def test_an_ideal_group_has_no_resistance_and_switches_at_once() -> None:
    mux = _mux(MuxParams.ideal(), n=3)
    assert np.array_equal(mux.r_on_ohm, np.zeros(3))
    mux.select(7, False, 1.0)
    assert mux.channel(1.0) == 7


@pytest.mark.parametrize(("supply_v", "typical_ohm", "most_ohm"), [(5, 470, 1050), (10, 180, 400), (15, 125, 240)])
def test_on_resistance_scatters_around_the_typical_value_of_the_supply_up_to_the_datasheets_maximum(
    supply_v: Literal[5, 10, 15], typical_ohm: float, most_ohm: float
) -> None:
    np.testing.assert_array_equal(_mux(MuxParams(supply_v=supply_v, r_on_spread=0.0), n=3).r_on_ohm, typical_ohm)
    z = np.random.default_rng(1).standard_normal(8)
    drawn = _mux(MuxParams(supply_v=supply_v, r_on_spread=0.1), n=8, seed=1).r_on_ohm
    np.testing.assert_allclose(drawn, typical_ohm * (1 + 0.1 * z))
    wide = _mux(MuxParams(supply_v=supply_v, r_on_spread=20.0), n=64).r_on_ohm
    assert (wide.min(), wide.max()) == (0.2 * typical_ohm, most_ohm)


def test_a_part_worse_than_its_datasheet_can_be_asked_for() -> None:
    np.testing.assert_array_equal(_mux(MuxParams(r_on_ohm=2000.0, r_on_spread=0.0), n=2).r_on_ohm, 2000.0)
