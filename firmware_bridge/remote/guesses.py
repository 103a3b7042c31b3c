"""How often somebody may guess the token."""

from __future__ import annotations

from collections import OrderedDict, deque

MOST, WITHIN_S = 5, 60.0
"""Wrong tokens from one host within this time, after which it has to wait."""
REMEMBERED = 256
"""Hosts that are remembered, the latest."""


class Guesses:
    """Wrong tokens by host. Bounded in memory, whoever guesses from wherever."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, host: str, now_s: float) -> float:
        """How long a host must wait before its token is looked at; 0 if it need not."""
        times = self._wrong.get(host)
        if times is None or len(times) < MOST:
            return 0.0
        return max(0.0, times[0] + WITHIN_S - now_s)

    def wrong(self, host: str, now_s: float) -> None:
        """A wrong token came from a host."""
        self._wrong.setdefault(host, deque(maxlen=MOST)).append(now_s)
        self._wrong.move_to_end(host)
        while len(self._wrong) > REMEMBERED:
            self._wrong.popitem(last=False)
