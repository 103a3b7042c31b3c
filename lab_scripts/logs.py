"""What boards do, are refused and fail at, as it happens: for people on stderr, for machines as JSON lines.

The layers below log by the standard library, since a board has nothing else; structlog gives both forms here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from lab_scripts.exits import FileError

LOGGERS = ("firmware_bridge", "drivers", "calibration", "anf", "lab_scripts")


def start(*, people: int | None = None, file: Path | None = None) -> Callable[[], None]:
    """Begin to log; returns what ends it.

    people: least level shown on stderr, None for nothing. file: JSON lines are appended to it, all levels.
    Raises `FileError` if it cannot be written.
    """
    handlers: list[logging.Handler] = []
    if people is not None:
        shown = logging.StreamHandler()
        shown.setLevel(people)
        colours = Console(stderr=True).is_terminal
        shown.setFormatter(_formatter(structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0)))
        handlers.append(shown)
    if file is not None:
        try:
            kept = logging.FileHandler(file, encoding="utf-8")
        except OSError as error:
            raise FileError(f"--log-file {file}: {error.strerror}; name a file that can be written") from error
        kept.setFormatter(_formatter(structlog.processors.JSONRenderer(ensure_ascii=False, default=str)))
        handlers.append(kept)
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for handler in handlers:
            logger.addHandler(handler)
        if handlers:
            logger.setLevel(logging.DEBUG if file is not None else people or logging.INFO)

    def stop() -> None:
        for name, level in before.items():
            for handler in handlers:
                logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        for handler in handlers:
            handler.close()

    return stop


def _formatter(renderer: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
