"""The arrays of a plan in the boards that there are: side by side, or one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from anf.arrays.mapped import Arrays
from calibration.write_verify import Progress, WriteVerifyConfig, WriteVerifyResult, program
from drivers.crossbar import Crossbar


class Boards:
    """Array k of a plan belongs to board k, or with fewer boards to board k mod n. A board that holds another array
    than the one that is to be read is filled with it first, by write-verify.

    targets_s: (n_arrays, n_sl, n_bl) S, NaN where a cell holds no weight; without them boards hold an array each as
    they are, and nothing is ever programmed. fillings: how often each board was filled.
    """

    def __init__(
        self, crossbars: Sequence[Crossbar], targets_s: Arrays | None = None, config: WriteVerifyConfig | None = None
    ) -> None:
        self.crossbars = tuple(crossbars)
        self._targets_s, self._config = targets_s, config or WriteVerifyConfig()
        self._holds: dict[int, int] = {} if targets_s is not None else {k: k for k in range(len(self.crossbars))}
        self.fillings = [0] * len(self.crossbars)

    @property
    def held(self) -> tuple[int, ...]:
        """The arrays that boards hold now, in order."""
        return tuple(sorted(self._holds.values()))

    def fill(self, array: int, progress: Progress | None = None) -> WriteVerifyResult:
        """Program an array into its board, whatever that holds. Raises `BoardError` from the board."""
        assert self._targets_s is not None
        board = array % len(self.crossbars)
        self._holds.pop(board, None)  # an interrupted filling leaves neither array
        result = program(self.crossbars[board], self._targets_s[array], config=self._config, progress=progress)
        self._holds[board] = array
        self.fillings[board] += 1
        return result

    def crossbar_of(self, array: int) -> Crossbar:
        """The board of an array, whatever it holds."""
        return self.crossbars[array % len(self.crossbars)]

    def holding(self, array: int) -> Crossbar:
        """The board of an array, filled with it if it holds another."""
        if self._holds.get(array % len(self.crossbars)) != array:
            self.fill(array)
        return self.crossbar_of(array)

    def in_turn(self, arrays: Iterable[int]) -> list[list[int]]:
        """The arrays of each board that has any of these, in the order that needs the fewest fillings: first what it
        holds."""
        turns: dict[int, list[int]] = {}
        for k in sorted(arrays, key=lambda k: self._holds.get(k % len(self.crossbars)) != k):
            turns.setdefault(k % len(self.crossbars), []).append(k)
        return list(turns.values())

    def read(self, array: int, repeats: int) -> NDArray[np.float64]:
        """Conductances (n_sl, n_bl) S of an array, the mean of `repeats` passes."""
        return self.holding(array).read_conductance(repeats=repeats)
