from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import trapezoid
from scipy.signal import welch

from calibration.characterise.experiment import silent
from calibration.characterise.noise import Noise
from calibration.characterise.read_disturb import ReadDisturb
from calibration.characterise.spectra import SIGNIFICANT, fit_lorentzians, fit_power_law, spectrum_shape
from drivers.connect import mock_board, open_crossbar
from firmware_bridge.mock.array_params import ArrayParams, TelegraphParams
from firmware_bridge.mock.board import MockParams

STEP_S = 0.1


def telegraph(rng: np.random.Generator, corner_hz: float, reads: int, cells: int) -> np.ndarray:
    """±1 with equal rates, sampled exactly: it flips between samples with probability (1 − a)/2."""
    a = np.exp(-2 * np.pi * corner_hz * STEP_S)
    flips = rng.random((reads, cells)) < (1 - a) / 2
    return np.where(rng.random(cells) < 0.5, 1.0, -1.0) * (-1.0) ** np.cumsum(flips, axis=0)


def spectrum(trace: np.ndarray, segments: int = 4) -> tuple[np.ndarray, np.ndarray]:
    frequency, psd = welch(trace, 1 / STEP_S, "hann", len(trace) // segments, 0, detrend="linear", axis=0)
    return frequency[2:-1], psd[2:-1]


@pytest.mark.parametrize("corner_hz", [0.05, 0.3, 1.0])
def test_a_fluctuator_is_found_with_its_size_and_its_corner(corner_hz):
    rng = np.random.default_rng(1)
    trace = 0.5 * telegraph(rng, corner_hz, 8192, 60) + 0.2 * rng.standard_normal((8192, 60))
    fits = fit_lorentzians(*spectrum(trace), STEP_S, 4)
    assert (fits.significance > SIGNIFICANT).all()
    # 60 cells: what is left of statistics is some 1.5 % of the corner and less of the sizes.
    assert np.median(fits.corner_hz) == pytest.approx(corner_hz, rel=0.06)
    assert np.median(fits.sigma_s) == pytest.approx(0.5, rel=0.03)
    assert np.median(fits.white_s) == pytest.approx(0.2, rel=0.05)


def test_white_noise_is_not_taken_for_a_fluctuator():
    rng = np.random.default_rng(2)
    frequency, psd = spectrum(0.2 * rng.standard_normal((2048, 4000)))
    fits = fit_lorentzians(frequency, psd, STEP_S, 4)
    # One in 10⁵ if the statistic were χ²; ten times that is allowed, as bins are not independent.
    assert np.mean(fits.significance > SIGNIFICANT) <= 1e-3
    assert np.median(fits.white_s) == pytest.approx(0.2, rel=0.02)


def test_the_sampled_spectrum_is_a_lorentzian_where_sampling_is_fast_and_keeps_the_variance_where_it_is_not():
    f = np.geomspace(1e-3, 0.1, 20)
    lorentzian = 2 / np.pi / 0.01 / (1 + (f / 0.01) ** 2)
    np.testing.assert_allclose(2 * 0.001 * spectrum_shape(f, 0.01, 0.001), lorentzian, rtol=1e-3)
    whole = np.linspace(0, 5.0, 20_001)
    for corner in (0.1, 3.0):
        assert trapezoid(2 * STEP_S * spectrum_shape(whole, corner, STEP_S), whole) == pytest.approx(1.0, rel=1e-4)


def test_a_power_law_is_found_as_it_was_made():
    f = np.linspace(0.01, 10, 1000)
    amplitude, exponent = fit_power_law(f, 3e-6 / f**1.2)
    assert exponent == pytest.approx(1.2, abs=0.02)
    assert amplitude == pytest.approx(3e-6, rel=0.05)


def test_the_cells_with_telegraph_noise_are_found_on_an_array():
    fast = TelegraphParams(fraction=0.1, amplitude_rel=(0.02, 0.02), rate_per_s=(0.5, 2.0))
    mock = MockParams(array=ArrayParams(telegraph=fast))
    with open_crossbar("mock", seed=4, mock=mock) as crossbar:
        *_, run = Noise(reads=1024, interval_s=0.1).measure(crossbar, np.random.default_rng(0), silent)
        array = mock_board(crossbar).array
    truth = np.zeros(array.shape, bool)
    truth.flat[array._noisy] = True
    truth &= ~run["failed"].to_numpy()
    found = (run["significance"] > SIGNIFICANT).to_numpy() & ~run["failed"].to_numpy()
    assert (found & truth).sum() >= 0.98 * truth.sum()
    assert (found & ~truth).sum() <= 2
    rate = array._telegraph._rate
    # Variance a²·p(1 − p)·g² and corner (r₀₁ + r₁₀)/2π of each; cells as a whole, against their own truth.
    p = rate[:, 0] / rate.sum(axis=1)
    index = array._noisy
    sigma = 0.02 * np.sqrt(p * (1 - p)) * run["mean_s"].to_numpy().ravel()[index]
    seen = found.ravel()[index]
    ratio = run["telegraph_s"].to_numpy().ravel()[index][seen] / sigma[seen]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    corner = run["corner_hz"].to_numpy().ravel()[index][seen] / (rate.sum(axis=1)[seen] / 2 / np.pi)
    assert np.median(corner) == pytest.approx(1.0, abs=0.1)


def test_the_noise_so_far_is_told_before_the_end():
    with open_crossbar("mock", seed=4) as crossbar:
        runs = list(Noise(reads=128).measure(crossbar, np.random.default_rng(0), silent))
    assert [r.sizes["read"] for r in runs] == [64, 128]


# -- read disturb ------------------------------------------------------------------------------------------------------
def disturbed(shift_s: float) -> xr.Dataset:
    rng = np.random.default_rng(3)
    g = 60e-6 + np.cumsum(0.05e-6 * rng.standard_normal((3, 32, 32)), axis=0) - 1e-6 * np.arange(3)[:, None, None]
    bias = np.resize([0.1, 0.0, -0.1, 0.0], 32)
    g[1:, :, bias > 0] += shift_s
    return xr.Dataset(
        {
            "g_s": (("reading", "sl", "bl"), g),
            "bias_v": ("bl", bias),
            "failed": (("sl", "bl"), np.zeros((32, 32), bool)),
        },
        coords={"reads": ("reading", [0, 10, 20])},
    )


def test_a_drift_that_all_cells_share_is_no_disturb_and_one_of_the_read_ones_is():
    positive, negative = (
        "change of cells at the positive input beyond those at rest",
        ("change of cells at the negative input beyond those at rest"),
    )
    calm = {n.name: n for n in ReadDisturb.numbers(disturbed(0.0))}
    assert calm[positive].met
    assert calm[negative].met
    moved = {n.name: n for n in ReadDisturb.numbers(disturbed(0.05e-6))}
    assert moved[positive].met is False
    assert moved[positive].value == pytest.approx(0.05, abs=4 * 0.05 * np.sqrt(2 / 256 + 2 / 512))
    assert moved[negative].met


def test_cells_of_the_mock_bear_reading(measured):
    run, numbers, _ = measured(ReadDisturb(reads=40_000))
    assert run["reads"].values.tolist() == [0, 20_000, 40_000]
    assert numbers["change of cells at the positive input beyond those at rest"].met
