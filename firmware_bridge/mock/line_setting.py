"""What one setting of the array's lines makes its cells look like from outside, and when that is worked out anew."""

from __future__ import annotations

import numpy as np

from firmware_bridge.mock import irdrop
from firmware_bridge.mock.array_params import ArrayParams
from firmware_bridge.mock.device import Cells

_GRID_START_S = 1e-3
_GRID_PER_DECADE = 12
# Up to 1 s the drift since the pulse is some 0.2 µS and IR drop need not be solved again; then once per decade.
_FIRST_RESOLVE = 1 + 3 * _GRID_PER_DECADE


def refresh_age_s(index: int) -> float:
    """Age in s of refresh instant `index` after a programming event: 0, 1 ms, then 12 per decade.

    Between two instants a response does not drift, so that it is a function of time alone.
    """
    return 0.0 if index == 0 else _GRID_START_S * 10.0 ** ((index - 1) / _GRID_PER_DECADE)


def _refresh_index(epoch_s: float, t_s: float) -> int:
    """Index of the last refresh instant ``epoch_s + refresh_age_s(index)`` at or before `t_s`."""
    age_s = t_s - epoch_s
    index = int(_GRID_PER_DECADE * np.log10(age_s / _GRID_START_S)) if age_s > _GRID_START_S else 0
    while epoch_s + refresh_age_s(index + 1) <= t_s:
        index += 1
    return index


class LineSetting:
    """Mean transfer, noise and non-linearity with the gates of `rows` (k,) at `gate_v` (k,) V over their source lines.

    Valid until a pulse changes a cell of `rows`; the last one to do so ended at `epoch_s`, from where the refresh
    instants count. `connected` (n_sl, n_bl) tells which cells lie on whole lines.
    """

    def __init__(
        self,
        cells: Cells,
        connected: np.ndarray,
        params: ArrayParams,
        wires: irdrop.Wires,
        rows: np.ndarray,
        gate_v: np.ndarray,
        epoch_s: float,
    ) -> None:
        self._all, self._connected, self._params = cells, connected[rows], params
        self._wires = wires
        self._shape = connected.shape
        n_bl = self._shape[1]
        self._cells = (rows[:, None] * n_bl + np.arange(n_bl)).ravel()
        self._gate_v = np.repeat(gate_v, n_bl)
        self._index = self._solved = -1
        self.rows, self._epoch_s = rows, epoch_s
        self.until_s = -np.inf
        """Board time of the next refresh instant, s."""

    def refresh(self, t_s: float) -> None:
        """Bring everything to the last refresh instant at or before `t_s`, which does not go back."""
        if t_s < self.until_s:
            return
        index = _refresh_index(self._epoch_s, t_s)
        self.until_s = self._epoch_s + refresh_age_s(index + 1)
        self.mean_transfer_s = np.zeros(self._shape)
        if len(self.rows):
            self.mean_transfer_s[self.rows] = self._transfer_s(index)
        noise, nonlinear = self._params.read_noise, self._params.nonlinearity
        self.noise_s = (noise.relative if noise else 0.0) * self.mean_transfer_s
        self.nonlinear = np.zeros(self._shape)
        if nonlinear:
            g_ref_s = nonlinear.g_ref_s
            self.nonlinear = 2.0 * nonlinear.coefficient * g_ref_s / (self.mean_transfer_s + g_ref_s)
        for array in (self.mean_transfer_s, self.noise_s, self.nonlinear):
            array.flags.writeable = False

    def _transfer_s(self, index: int) -> np.ndarray:
        """Transfer (k, n_bl) S at a refresh instant: solved exactly, or scaled from the last exact solution."""
        cell_s = self._cell_s(index)
        if self._wires.drop_nothing:
            return cell_s
        solved = 0 if index < _FIRST_RESOLVE else index - (index - _FIRST_RESOLVE) % _GRID_PER_DECADE
        if self._solved != solved:
            self._solved, self._solved_cell_s = solved, self._cell_s(solved)
            self._solved_transfer_s = irdrop.transfer_matrix(self._solved_cell_s, self.rows, self._wires)
        change = np.divide(cell_s, self._solved_cell_s, where=self._solved_cell_s > 0, out=np.zeros_like(cell_s))
        return self._solved_transfer_s * change

    def _cell_s(self, index: int) -> np.ndarray:
        """Conductances (k, n_bl) S of the cells themselves at a refresh instant."""
        memristor_s = self._all.memristor_s(self._cells, self._epoch_s + refresh_age_s(index))
        series_s = self._all.series_s(self._cells, memristor_s, self._gate_v)
        return series_s.reshape(self._connected.shape) * self._connected
