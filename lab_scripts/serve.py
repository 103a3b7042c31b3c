"""`xbar serve`: a board for one host at a time, over TCP or a UART."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from drivers import serve as board_server
from lab_scripts import logs
from lab_scripts.console import Report
from lab_scripts.options import PAPER, BoardFile, Seed


def serve(
    backend: Annotated[str, typer.Option("--backend", help="Board to serve; this release has mock.")] = "mock",
    listen: Annotated[
        str, typer.Option("--listen", help="tcp://HOST:PORT or serial:///dev/TTY?baud=RATE.")
    ] = board_server.LISTEN,
    lease: Annotated[
        float, typer.Option("--lease", help="Silence after which the board is made safe and let go of, s.")
    ] = board_server.LEASE_S,
    board_file: BoardFile = PAPER,
    seed: Seed = 0,
) -> None:
    """Serve a board to one host at a time until interrupted. Beyond this machine set XBAR_TOKEN, here and there."""
    stop = logs.start(people=logging.INFO)
    report = Report(as_json=False)
    try:
        board_server.serve(
            backend, listen, board_file=board_file, seed=seed, lease_s=lease,
            ready=lambda board, address: report.say(f"{board} at {address}"),
        )  # fmt: skip
    finally:
        stop()
