"""Arrays that are looked at while they are sampled with, and made known again when they have moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from anf.arrays.analog import Deployment
from drivers.self_test import Watch, self_test

Retune = Callable[[Deployment, Deployment], None]
"""retune(before, now): tune the digital part, which was tuned to `before`, to `now`."""


class Watched:
    """`look` and `renew` for `anf.samplers.sampling.sample`.

    Boards that take turns hold another array at each look, so that nothing of their cells can be known: they are looked
    at by their self-test.

    Attributes
    ----------
    deployment: as read back last. looks: that all boards passed. renewals: how often arrays were made known again.
    cycles: clock cycles spent on either, summed over boards.
    """

    def __init__(self, deployment: Deployment, retune: Retune | None = None) -> None:
        """Take the arrays, which the digital part is tuned to, for known. Raises `SelfTestError`."""
        self.deployment, self._retune = deployment, retune
        self.looks = self.renewals = self.cycles = 0
        self._watches = self._taken()

    def look(self) -> None:
        """Raises `SelfTestError` if a board or its cells are not what they were."""
        with self._counted():
            for watch in self._watches:
                watch()
        self.looks += 1

    def renew(self) -> None:
        """Test the boards, read the arrays again, tune the digital part to them; known is what they are then.

        Raises `SelfTestError` from a board that fails its test, and `ArrayDrifted` for an array that must be programmed
        again.
        """
        with self._counted():
            for crossbar in self.deployment.crossbars:
                self_test(crossbar)
            now = self.deployment.read_again()
            self.deployment.refuse_drifted(now)
            if self._retune is not None:
                self._retune(self.deployment, now)
            self.deployment = now
            self._watches = self._taken()
        self.renewals += 1

    @contextmanager
    def _counted(self) -> Iterator[None]:
        before = self.deployment.cycles
        try:
            yield
        finally:
            self.cycles += self.deployment.cycles - before

    def _taken(self) -> list[Callable[[], object]]:
        if self.deployment.time_shared:
            return [partial(self_test, crossbar) for crossbar in self.deployment.crossbars]
        return [Watch(crossbar).look for crossbar in self.deployment.crossbars]
