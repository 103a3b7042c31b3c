"""What becomes of a fault: present when a board is opened, and setting in while it works."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drivers.connect import mock_board, open_crossbar
from drivers.self_test import CELLS_S, SelfTestError, Watch, self_test
from firmware_bridge.errors import BoardError, LimitError
from firmware_bridge.mock.faults.catalogue import CATALOGUE

INPUTS = np.random.default_rng(1).uniform(-0.1, 0.1, (32, 32))


@dataclass(frozen=True)
class Trial:
    """at_open: what the self-test said, None if nothing. at_work: what the products or the look after them said.
    product: whether the products themselves were refused. after_s: board time from the fault's onset until then, a
    batch of 32 products and a look. safe: outputs released and bit lines off, after what was said. moved_s: change of
    the cells, rms, by which products made after the first batch differ from those of a board without the fault, S; None
    if something was said."""

    at_open: str | None
    at_work: str | None
    product: bool
    after_s: float
    safe: bool
    moved_s: float | None

    @property
    def harmless(self) -> bool:
        """Nothing was said, and later products are bit-identical."""
        return self.moved_s == 0.0

    @property
    def within_band(self) -> bool:
        """Nothing was said, and later products are those of cells that moved no further than relaxation and telegraph
        noise move them."""
        return self.moved_s is not None and self.moved_s <= CELLS_S


def _conducting(crossbar):
    crossbar.apply_pulses(1.5, np.random.default_rng(0).uniform(0.9, 1.1, (32, 32)), 1e-6)


def _is_safe(crossbar):
    board = mock_board(crossbar)
    return not board.gate and board.chain.oe_n


def _work(seed, fault):
    with open_crossbar("mock", seed=seed) as crossbar:
        _conducting(crossbar)
        watch = Watch(crossbar)
        onset_s = crossbar.board_time_s
        if fault is not None:
            mock_board(crossbar).faults.add(fault)
        said, product = None, True
        try:
            crossbar.mvm(INPUTS)
            product = False
            watch.look()
        except (SelfTestError, LimitError) as error:
            said = error
        after_s, safe = crossbar.board_time_s - onset_s, _is_safe(crossbar)
        current_a = None if said is not None else crossbar.measure(INPUTS).current_a
        return said, product and said is not None, after_s, safe, current_a


@lru_cache
def _healthy(seed):
    return _work(seed, None)[-1]


def trial(name, seed=1):
    """One fault of the catalogue on one board."""
    at_open = None
    with open_crossbar("mock", seed=seed) as crossbar:
        _conducting(crossbar)
        mock_board(crossbar).faults.add(CATALOGUE[name]())
        crossbar.safe()
        try:
            self_test(crossbar)
        except BoardError as error:
            at_open, safe_at_open = error, _is_safe(crossbar)
    said, product, after_s, safe, current_a = _work(seed, CATALOGUE[name]())
    safe = (said is None or safe) and (at_open is None or safe_at_open)
    moved_s = None
    if current_a is not None:
        # Independent changes of the cells add up in a product by the squares of its inputs.
        off_a, input_v = current_a - _healthy(seed), np.sqrt((INPUTS**2).sum(axis=1).mean())
        moved_s = float(np.sqrt(np.mean(off_a**2)) / input_v)
    return Trial(at_open and str(at_open), said and str(said), product, after_s, safe, moved_s)
