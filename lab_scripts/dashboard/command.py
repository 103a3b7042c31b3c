"""`xbar dashboard`: what runs, in a browser."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from drivers.bridges import TOKEN_VARIABLE
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import listen_at
from lab_scripts.console import Report
from lab_scripts.exits import FileError

LISTEN = "tcp://127.0.0.1:7780"


def dashboard(
    folder: Annotated[Path, typer.Argument(help="Folder that commands write their runs into.")] = Path("runs"),
    listen: Annotated[str, typer.Option("--listen", help="tcp://HOST:PORT of the page.")] = LISTEN,
) -> None:
    """Show what runs: arrays while they are programmed, progress, sampling, boards; abort it; read finished runs.

    Open the address that it prints: the token is in it. Beyond this machine set XBAR_TOKEN.
    """
    report = Report(as_json=False)
    if not folder.is_dir():
        raise FileError(f"{folder}: there is no such folder; create it first, or name that of your runs")
    address = Address.parse(listen)
    token = os.environ.get(TOKEN_VARIABLE)
    address.refuse_open(token)
    shown = token or secrets.token_urlsafe(24)
    import uvicorn

    from lab_scripts.dashboard.app import build
    from lab_scripts.dashboard.watch import Watch

    with listen_at(address) as listener:
        host, port = listener.getsockname()[:2]
        place = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        # A token that was given is not repeated: terminals are seen by others.
        report.say(f"{folder} at {place}" + ("" if token else f"#{shown}"))
        config = uvicorn.Config(
            build(Watch(folder), shown), log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listener])
