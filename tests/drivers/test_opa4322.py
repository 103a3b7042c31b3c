"""OPA4322 driver: currents from outputs."""

import numpy as np
import pytest

from drivers.opa4322 import full_scale_a, output_to_current


def test_a_current_into_the_source_line_lowers_the_output():
    assert output_to_current([-0.35, 0.0, 0.7], 3500.0) == pytest.approx([100e-6, 0.0, -200e-6])


def test_each_line_may_have_its_own_resistor():
    assert output_to_current([-1.0, -1.0], np.array([1e3, 2e3])) == pytest.approx([1e-3, 0.5e-3])


def test_full_scale_is_swing_over_resistor():
    assert full_scale_a(3500.0, 0.9) == pytest.approx(257.142857e-6)
