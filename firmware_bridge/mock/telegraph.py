"""Random telegraph noise of many cells, as exact event times that do not depend on how time is asked for.

A cell's fluctuator is a two-state Markov process. Its trajectory is a pure function of (key, cell, time): dwell times
come in blocks of `_BLOCK`, each from its own counter-based Philox stream. A block starts with its total duration (the
sum of its exponential dwells is gamma-distributed), so that blocks are skipped without drawing what is inside them:
given their sum, exponentials are the sum times a uniform partition, independent of it.
"""

from __future__ import annotations

import math

import numpy as np

_HALF = 1024
_BLOCK = 2 * _HALF  # an even number of dwells: each block begins in the same state as the first one did
_WINDOW_EVENTS = 512.0


class Telegraph:
    """Fluctuators with `rate_per_s` (n, 2): rates of leaving state 0 and state 1, 1/s; `key` seeds them.

    Time starts at 0 and only moves forward (`advance`); events are asked for at or after the time advanced to.
    """

    def __init__(self, rate_per_s: np.ndarray, key: int) -> None:
        self._rate = rate_per_s
        self._key = key
        n = len(rate_per_s)
        self.mean_state = rate_per_s[:, 0] / rate_per_s.sum(axis=1) if n else np.empty(0)
        """Stationary probability (n,) of state 1."""
        first = np.random.Generator(np.random.Philox(key=[key, n])).random(n)
        self._first_state = (first < self.mean_state).astype(np.int64)
        # Block of each cell at the window's beginning, and that block's beginning.
        self._block = np.zeros(n, dtype=np.int64)
        self._block_start_s = np.zeros(n)
        self._now_s = 0.0
        # Events are laid out in windows of about _WINDOW_EVENTS.
        flip_rate = float((2.0 * rate_per_s.prod(axis=1) / rate_per_s.sum(axis=1)).sum()) if n else 0.0
        self._window_s = _WINDOW_EVENTS / flip_rate if n else math.inf
        self._lay_out(0.0, self._window_s)

    def advance(self, t_s: float) -> None:
        """Move to `t_s`; `states` is then the state at `t_s`."""
        if t_s < self.next_flip_s:
            self._now_s = max(t_s, self._now_s)
            return
        self._now_s = t_s
        if t_s >= self._window_end_s:
            self._lay_out(t_s, t_s + self._window_s)
            return
        position = int(np.searchsorted(self._event_s, t_s, side="right"))
        np.bitwise_xor.at(self.states, self._event_cell[self._position : position], 1)
        self._seek(position)

    def events(self, t0_s: float, t1_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transitions in (t0_s, t1_s]: times (k,) s ascending, cells (k,), and new minus old state (k,) of ±1."""
        if t1_s >= self._window_end_s:
            self._lay_out(self._now_s, t1_s + self._window_s)
        a, b = np.searchsorted(self._event_s, (t0_s, t1_s), side="right")
        return self._event_s[a:b], self._event_cell[a:b], self._event_sign[a:b]

    def save(self) -> dict[str, np.ndarray]:
        """Where each cell's trajectory stands; with the constructor's arguments this is the whole state."""
        return {
            "block": self._block.copy(),
            "block_start_s": self._block_start_s.copy(),
            "now_s": np.array(self._now_s),
        }

    def load(self, saved: dict[str, np.ndarray]) -> None:
        """Continue from what `save` returned."""
        self._block, self._block_start_s = saved["block"].copy(), saved["block_start_s"].copy()
        self._now_s = float(saved["now_s"])
        self._lay_out(self._now_s, self._now_s + self._window_s)

    def _seek(self, position: int) -> None:
        self._position = position
        # With no event left in the window, its end is where to look again.
        self.next_flip_s = float(self._event_s[position]) if position < len(self._event_s) else self._window_end_s

    def _lay_out(self, start_s: float, end_s: float) -> None:
        """Collect all events of (start_s, end_s] and the states at `start_s`, which the fluctuators have reached."""
        self._window_end_s = end_s
        n = len(self._rate)
        self.states = self._first_state.copy()
        times, cells, signs = [np.empty(0)], [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for cell in range(n):
            block, begin = int(self._block[cell]), float(self._block_start_s[cell])
            first = True
            while begin <= end_s:
                rng, durations = self._open_block(cell, block)
                finish = begin + float(durations.sum())
                if finish > start_s:
                    edges = self._edges(cell, begin, finish, durations, rng)
                    low, high = np.searchsorted(edges, (start_s, end_s), side="right")
                    if first:
                        first = False
                        self._block[cell], self._block_start_s[cell] = block, begin
                        self.states[cell] ^= low & 1
                    index = np.arange(low, high)
                    times.append(edges[low:high])
                    cells.append(np.full(high - low, cell))
                    signs.append(1 - 2 * ((index + self._first_state[cell]) & 1))
                block, begin = block + 1, finish
        time, cell_of, sign = np.concatenate(times), np.concatenate(cells), np.concatenate(signs)
        order = np.argsort(time, kind="stable")
        self._event_s, self._event_cell, self._event_sign = time[order], cell_of[order], sign[order]
        self._seek(0)

    def _open_block(self, cell: int, block: int) -> tuple[np.random.Generator, np.ndarray]:
        """Stream of a block and the total times (2,) s it spends in its first and in the other state."""
        rng = np.random.Generator(np.random.Philox(key=[self._key, cell], counter=[0, 0, 0, block]))
        leave = self._rate[cell] if self._first_state[cell] == 0 else self._rate[cell, ::-1]
        return rng, rng.standard_gamma(_HALF, size=2) / leave

    @staticmethod
    def _edges(cell: int, begin: float, finish: float, durations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Transition times (_BLOCK,) s of a block; the last one is exactly the next block's beginning."""
        dwell = rng.standard_exponential((_HALF, 2))
        dwell *= durations / dwell.sum(axis=0)
        edges = begin + np.cumsum(dwell.ravel())
        edges[-1] = finish
        return edges
