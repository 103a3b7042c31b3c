"""The board server as it runs beside a board: numpy and pydantic suffice, ``python -m drivers.serve --help``.

On a host with everything installed the same is `xbar serve`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from drivers.board import PAPER_BOARD, load_board
from drivers.bridges import TOKEN_VARIABLE, open_bridge
from firmware_bridge.errors import BoardError, LimitError
from firmware_bridge.remote.desk import LEASE_S
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server

LISTEN = "tcp://127.0.0.1:7706"
LEASE_RANGE_S = (0.1, 3600.0)


def serve(
    backend: str, listen: str, *, board_file: Path, seed: int, lease_s: float, ready: Callable[[str, str], None]
) -> None:
    """Serve a board until interrupted; the outputs are safe on every way out.

    ready: called with the board's name and the address once clients can connect.

    Raises `ProtocolError` for a bad address, or one that others can reach without a token; `LimitError` for a lease
    outside `LEASE_RANGE_S`; `ConnectionLost` if the address cannot be had or a serial port is gone.
    """
    address = Address.parse(listen)
    if not LEASE_RANGE_S[0] <= lease_s <= LEASE_RANGE_S[1]:
        raise LimitError("lease", lease_s, LEASE_RANGE_S, "s")
    board = load_board(board_file)
    with _undisturbed_at_the_end():
        bridge = open_bridge(backend, board=board, seed=seed)
        try:
            server = Server(bridge, address, token=os.environ.get(TOKEN_VARIABLE), lease_s=lease_s)
        except BaseException:
            bridge.close()
            raise
        with server:
            identity = bridge.identify()
            ready(f"{identity.kind} {identity.serial}", server.address)
            server.serve()


@contextmanager
def _undisturbed_at_the_end() -> Iterator[None]:
    """The first signal interrupts what is inside; later ones disturb neither making it safe nor the exit code."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    interrupted = False

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, once)
    try:
        yield
    finally:
        if not interrupted:
            for number, handler in before.items():
                signal.signal(number, handler)


def main() -> int:
    """Exit codes: 3 the board, the address or the link, 130 interrupted; as those of `xbar`."""
    parser = argparse.ArgumentParser(prog="python -m drivers.serve", description="Serve a board to one host at a time.")
    parser.add_argument("--backend", default="mock", help="board to serve")
    parser.add_argument("--listen", default=LISTEN, help="tcp://HOST:PORT or serial:///dev/TTY?baud=RATE")
    parser.add_argument("--board", type=Path, default=PAPER_BOARD, help="board file")
    parser.add_argument("--seed", type=int, default=0, help="seed of a mock board")
    parser.add_argument("--lease", type=float, default=LEASE_S, help="silence after which the board is made safe, s")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    try:
        serve(
            options.backend, options.listen, board_file=options.board, seed=options.seed, lease_s=options.lease,
            ready=lambda board, address: print(f"{board} at {address}", flush=True),
        )  # fmt: skip
    except BoardError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("serve: interrupted; the outputs are safe", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
