"""Write-verify algorithms beside each other, on equal devices and by what a lab can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.write_verify import Snapshot, WriteVerifyResult, program
from calibration.write_verify_config import WriteVerifyConfig
from drivers.crossbar import Crossbar

Array = NDArray[np.float64]

VARIANTS: dict[str, WriteVerifyConfig] = {
    "predictive": WriteVerifyConfig(),
    "one confirm": WriteVerifyConfig(confirm_reads=1),
    "one pass": WriteVerifyConfig(relax_waits_s=()),
    "single reads": WriteVerifyConfig(read_repeats=1),
    "window": WriteVerifyConfig(algorithm="window", max_cycles=200),
    "ispp": WriteVerifyConfig(algorithm="ispp", max_cycles=300, set_step_v=0.02, reset_step_v=0.03),
}
"""What is compared: each algorithm with parameters that suit it, and the default without one of its parts."""

CHECK_REPEATS = 16
"""Passes of the reads by which results are judged: their noise is a quarter of one read's."""
LATER_S = 3600.0
"""Time after which the cells are read once more, s."""
NEAR_S, FAR_S = 1.5e-6, 3.5e-6


class Open(Protocol):
    """Opens a board with the array of a chip as it was at the beginning."""

    def __call__(self, chip: int) -> AbstractContextManager[Crossbar]: ...


Progress = Callable[[float, float, str], None]
"""progress(done, total, note): programmings done, the present one by its share of cells, of all."""


@dataclass(frozen=True)
class Score:
    """What one variant did. Errors are those of averaged reads, taken after it, of cells that it calls programmed.

    yield_: share of the cells that it calls programmed. median_cycles, pulses: per cell; pulses in the mean.
    board_time_s: without waiting, s. energy_j: dissipated in the cells by pulses, J: amplitude² · conductance · width,
        with the mean of the reads before and after a pulse.
    disturb_s: rms change of the cells that were left alone, without the reads' noise, S.
    sigma_s, mean_s: of the errors, S. near, far: shares within `NEAR_S` and `FAR_S`.
    tail_s: error that one cell in a hundred exceeds, S. later_*: the same after `LATER_S`.
    """

    yield_: float
    median_cycles: float
    pulses: float
    board_time_s: float
    energy_j: float
    disturb_s: float
    mean_s: float
    sigma_s: float
    near: float
    far: float
    tail_s: float
    later_sigma_s: float
    later_near: float
    later_tail_s: float


def left_alone(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """One cell of every row, (n_sl, n_bl): each shares its lines with cells that are pulsed."""
    rows, columns = np.indices(shape)
    return rows % shape[1] == columns


def compare(
    open_: Open,
    target_s: Array,
    chips: Iterable[int] = (0,),
    variants: dict[str, WriteVerifyConfig] = VARIANTS,
    progress: Progress | None = None,
) -> Iterator[tuple[int, str, Score]]:
    """Program `target_s` (n_sl, n_bl) S with each variant on each chip that `open_` opens; yields chip, name and score.

    The cells of `left_alone` are not programmed but watched. Raises as `program` does.
    """
    todo = [(chip, name) for chip in chips for name in variants]
    for k, (chip, name) in enumerate(todo):

        def tell(now: Snapshot, k: int = k, chip: int = chip, name: str = name) -> None:
            if progress is not None:
                progress(k + now.cells_done / now.cells, len(todo), f"{name}, chip {chip}, cycle {now.cycle}")

        with open_(chip) as crossbar:
            watched = left_alone(crossbar.shape)
            before = crossbar.read_conductance(repeats=CHECK_REPEATS)
            result = program(crossbar, target_s, config=variants[name], progress=tell, mask=~watched)
            after = crossbar.read_conductance(repeats=CHECK_REPEATS)
            crossbar.wait(LATER_S)
            later = crossbar.read_conductance(repeats=CHECK_REPEATS)
        yield chip, name, _score(result, variants[name], before, after, later, watched)


def _score(
    result: WriteVerifyResult,
    config: WriteVerifyConfig,
    before: Array,
    after: Array,
    later: Array,
    watched: NDArray[np.bool_],
) -> Score:
    asked = np.isfinite(result.g_target_s)
    done = result.converged
    error, aged = ((g - result.g_target_s)[done] for g in (after, later))
    noise_variance = 2 * result.noise_s**2 * config.read_repeats / CHECK_REPEATS
    change = (after - before)[watched]
    return Score(
        yield_=float(done.sum() / asked.sum()),
        median_cycles=float(np.median(result.cycles[done])),
        pulses=float(result.pulses[asked].mean()),
        board_time_s=result.board_time_s,
        energy_j=pulse_energy_j(result, config),
        disturb_s=float(np.sqrt(max(np.mean(change**2) - noise_variance, 0.0))),
        mean_s=float(error.mean()),
        sigma_s=float(error.std()),
        near=float(np.mean(np.abs(error) <= NEAR_S)),
        far=float(np.mean(np.abs(error) <= FAR_S)),
        tail_s=float(np.quantile(np.abs(error), 0.99)),
        later_sigma_s=float(aged.std()),
        later_near=float(np.mean(np.abs(aged) <= NEAR_S)),
        later_tail_s=float(np.quantile(np.abs(aged), 0.99)),
    )


def pulse_energy_j(result: WriteVerifyResult, config: WriteVerifyConfig) -> float:
    """Energy that the pulses of `result` dissipated in cells and their transistors, J, from the reads around each."""
    amplitude = result.amplitude_v.astype(float)
    width = np.where(amplitude < 0, config.reset_width_s, config.set_width_s)
    width = np.where(result.forming, config.form_width_s, width)
    # The last read of a trace has no read after it, nor a pulse.
    following = np.concatenate([result.reads_s[1:], result.reads_s[-1:]])
    conductance = np.maximum((result.reads_s + following) / 2, 0.0)
    return float(np.nansum(amplitude**2 * conductance * width))
