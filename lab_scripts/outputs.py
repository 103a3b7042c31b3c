"""Files that commands write: their place is looked at first, and they are whole, on the disk, when they have a name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_bridge.records import sync_folder
from lab_scripts.exits import FileError


def check_output(path: Path, suffix: str, *, force: bool, option: str = "--out") -> Path:
    """`path`, if a file with `suffix` can be written there. Raises `FileError` saying why not."""
    if path.suffix != suffix:
        raise FileError(f"{option} {path}: the name must end in {suffix}")
    if not path.parent.is_dir():
        raise FileError(f"{option} {path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise FileError(f"{option} {path}: the folder {path.parent} is not writable")
    if path.exists() and not force:
        raise FileError(f"{option} {path}: exists already; choose another name, or replace it with --force")
    return path


@contextmanager
def published(path: Path, *, force: bool) -> Iterator[Path]:
    """A file to be written, which takes the name `path` when the context ends, and is gone if it fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        publish(partial, path, force=force)
    finally:
        partial.unlink(missing_ok=True)


def publish(partial: Path, path: Path, *, force: bool) -> None:
    """Move a finished file to its name, safe against loss of power, and against somebody who wrote there meanwhile."""
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if force:
        os.replace(partial, path)
    else:
        try:
            os.link(partial, path)
        except FileExistsError as error:
            raise FileError(
                f"{path}: was written by somebody else while this run went on; nothing was replaced"
            ) from error
    sync_folder(path)
