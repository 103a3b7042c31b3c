"""A folder of run files: what is in it, how two runs differ, and a run done again from itself alone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from firmware_bridge.records import replace_file
from lab_scripts.exits import Exit, FileError, InputError
from lab_scripts.runs import INPUTS, KEEPING_COMMANDS, OUTPUT_OPTIONS, RUN_COMMANDS, backends, split_option
from lab_scripts.settings import unset

INDEX = ".xbar-runs.json"
"""Index of a folder: what `summaries` read of each run. It can be deleted at any time and is made anew."""
_INDEX_FORMAT = 1
PROVENANCE = frozenset({"command", "configuration", "created", "versions", "git_revision", "board", "seed"})
"""Root attributes that say how a run was made; all others are its results."""
TIMES = frozenset({"cpu_s", "cpu_s_per_proposal", "cpu_s_per_trajectory"})
"""Results that say how long this machine took: new each time."""
REPEATABLE = ("mock", "rtl")
"""Backends whose runs come out again bit for bit; any other is a real board, which a replay would pulse."""

Progress = Callable[..., None]


@dataclass(frozen=True)
class Summary:
    """A run in a line.

    command: as typed. created: UTC, ISO 8601. results: root attributes that are single numbers or texts, by name.
    problem: why the file cannot be read, else empty.
    """

    name: str
    size: int
    mtime_ns: int
    command: str = ""
    created: str = ""
    results: dict[str, float | str] = field(default_factory=dict)
    problem: str = ""


def summaries(folder: Path, progress: Progress | None = None) -> list[Summary]:
    """All runs (``*.nc``) of a folder by name, through its index; only files that changed since are opened.

    Raises `FileError` if there is no such folder. A damaged run is in the list, with its problem.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: there is no such folder")
    known = _read_index(folder)
    with os.scandir(folder) as entries:
        found = sorted(
            (entry.name, stat.st_size, stat.st_mtime_ns)
            for entry in entries
            if entry.name.endswith(".nc") and not entry.name.startswith(".") and (stat := entry.stat())
        )
    current: dict[str, Summary] = {}
    for done, (name, size, mtime_ns) in enumerate(found):
        summary = known.get(name)
        if summary is None or (summary.size, summary.mtime_ns) != (size, mtime_ns):
            summary = _summarise(folder / name, size, mtime_ns)
        current[name] = summary
        if progress is not None:
            progress(done + 1, len(found))
    if current != known:
        _write_index(folder, current)
    return list(current.values())


def _read_index(folder: Path) -> dict[str, Summary]:
    """What the index holds; nothing if it is missing, damaged or of another format, since it can be made anew."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        stored = json.loads((folder / INDEX).read_text())
        if stored["format"] == _INDEX_FORMAT:
            return {name: Summary(name=name, **entry) for name, entry in stored["runs"].items()}
    return {}


def _write_index(folder: Path, runs: dict[str, Summary]) -> None:
    """Whole or not at all. A folder that cannot be written has no index, and is read anew each time."""
    entries = {name: {k: v for k, v in asdict(run).items() if k != "name"} for name, run in runs.items()}
    with suppress(PermissionError):
        replace_file(
            folder / INDEX, json.dumps({"format": _INDEX_FORMAT, "runs": entries}, ensure_ascii=False).encode()
        )


def _summarise(path: Path, size: int, mtime_ns: int) -> Summary:
    try:
        with h5py.File(path, "r") as file:
            attributes = {name: _plain(value) for name, value in file.attrs.items() if not name.startswith("_")}
    except OSError as error:
        return Summary(path.name, size, mtime_ns, problem=str(error))
    if "command" not in attributes:
        return Summary(path.name, size, mtime_ns, problem="not a run file: it has no attribute 'command'")
    results = {k: v for k, v in attributes.items() if k not in PROVENANCE and isinstance(v, (float, int, str))}
    return Summary(path.name, size, mtime_ns, str(attributes["command"]), str(attributes["created"]), results)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (np.generic, np.ndarray)) and value.size == 1:
        return value.item()
    return value


def open_run(path: Path) -> xr.Dataset:
    """A run, lazily: variables are read when they are used. Raises `FileError`."""
    try:
        run = xr.open_dataset(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: not a run file: {getattr(error, 'strerror', None) or error}") from error
    if "command" not in run.attrs:
        run.close()
        raise FileError(f"{path}: not a run file: it has no attribute 'command'")
    return run


# -- two runs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """In what two runs differ. what: configuration, result, time or variable. a, b: as text; empty where absent."""

    what: str
    name: str
    a: str
    b: str


def differences(a: xr.Dataset, b: xr.Dataset) -> Iterator[Difference]:
    """In which two runs differ: configuration, results (root attributes), and variables bit by bit."""
    for what, left, right in (
        ("configuration", configuration(a), configuration(b)),
        ("result", results(a), results(b)),
    ):
        for name in sorted(left.keys() | right.keys()):
            one, other = (str(side[name]) if name in side else "" for side in (left, right))
            if one != other:
                yield Difference("time" if name in TIMES else what, name, one, other)
    for name in sorted({str(n) for n in (*a.variables, *b.variables)}):
        if name not in a.variables or name not in b.variables:
            yield Difference("variable", name, *("there" if name in side.variables else "" for side in (a, b)))
        elif not _same_bits(values := a[name].to_numpy(), others := b[name].to_numpy()):
            yield Difference("variable", name, *_spread(values, others))


def configuration(run: xr.Dataset) -> dict[str, Any]:
    """The parameters that a run was made with, by name; where it went is none of them."""
    stored = json.loads(run.attrs.get("configuration", "{}"))
    return {name: value for name, value in stored.items() if name not in ("out", "figure", "force", "json_output")}


def results(run: xr.Dataset) -> dict[str, Any]:
    """Root attributes that are results."""
    return {str(name): value for name, value in run.attrs.items() if name not in PROVENANCE}


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool((a == b).all()) if a.dtype.kind == "O" else a.tobytes() == b.tobytes()


def _spread(a: np.ndarray, b: np.ndarray) -> tuple[str, str]:
    if a.shape != b.shape:
        return str(a.shape), str(b.shape)
    if a.dtype.kind in "fiu" and b.dtype.kind in "fiu":
        apart = np.abs(a.astype(float) - b.astype(float))
        share = f"{100 * (apart > 0).mean():.3g} % of values differ"
        return share, f"by up to {np.nanmax(apart, initial=0.0):.3g}"
    return str(a.dtype), str(b.dtype)


# -- a run again -------------------------------------------------------------------------------------------------------


def replay(path: Path, folder: Path, *, real_board: bool = False) -> Path:
    """Do a run again in `folder`, from what its file holds; returns the new run file.

    Files that the command named are put there as they were, and so is the board file. Raises `InputError` for a run on
    a real board unless `real_board`, `FileError` if the run does not hold all that it needs or fails.
    """
    with open_run(path) as run:
        command, made_with = shlex.split(run.attrs["command"])[1:], configuration(run)
        board = run.attrs.get("board")
    real = [address for address in backends(made_with) if address not in REPEATABLE]
    if real and not real_board:
        raise InputError(
            f"{path}: was made on {', '.join(real)}, a real board: doing it again pulses that board, and its noise "
            "is new each time; say --real-board if you mean it"
        )
    if command[:1] == [] or command[0] not in RUN_COMMANDS | KEEPING_COMMANDS:
        raise FileError(f"{path}: holds a command that makes no run, {shlex.join(command)!r}: it is not done")
    named = _unpack(path, folder)
    again = [_placed(option, value, named) for option, value in map(split_option, command)]
    again = _redirect(again, folder)
    if board is not None and not any(word.partition("=")[0] == "--board" for word in again):
        board_file = folder / "board.toml"
        board_file.write_text(board)
        again += ["--board", str(board_file)]
    out, kept = folder / path.name, folder / "runs"
    if command[0] in KEEPING_COMMANDS:  # this may be one of those that they keep
        again += ["--runs", str(kept)]
    if command[0] == "figure":  # it names a picture, and its run lies beside that
        out = folder / "again.nc"
        again += ["--out", str(out.with_suffix(".pdf"))]
    elif command[0] in RUN_COMMANDS:
        again += ["--out", str(out)]
    program = [sys.executable, "-c", "from lab_scripts.cli import main; main()"]
    done = subprocess.run([*program, *again], stdout=subprocess.DEVNULL, env=unset(os.environ), check=False)
    if (kept / path.name).exists():
        out = kept / path.name
    if done.returncode not in (Exit.OK, Exit.OUTSIDE_BOUND) or not out.exists():
        raise FileError(f"{path}: its command failed with exit code {done.returncode}: {shlex.join(['xbar', *again])}")
    return out


def stored_inputs(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    """The input files that a run holds: word, name, size and sha256 of each, and its bytes, none if too large."""
    with h5py.File(path, "r") as file:
        if INPUTS not in file:
            return []
        return [
            ({name: _plain(value) for name, value in v.attrs.items()}, v[()].tobytes())
            for k, v in file[INPUTS].items()
            if k.startswith("file_")
        ]


def _unpack(path: Path, folder: Path) -> dict[str, Path]:
    """Put the inputs that a run holds into `folder`; from the words that named them to where they are now."""
    named: dict[str, Path] = {}
    for i, (attributes, content) in enumerate(stored_inputs(path)):
        word, name = attributes["word"], attributes["name"]
        if name != Path(name).name or name in ("", ".", ".."):
            raise FileError(f"{path}: holds an input named {name!r}, which is no name of a file: nothing is unpacked")
        if len(content) != attributes["size"]:
            raise FileError(
                f"{path}: input {word} ({attributes['size']} bytes) was too large to be kept, only its digest is "
                f"({attributes['sha256']}); put that file in place and type the command: see `xbar runs show {path}`"
            )
        place = named[word].parent if word in named else folder / f"input_{i}"
        place.mkdir(exist_ok=True)
        (place / name).write_bytes(content)
        named.setdefault(word, place / name)
    return named


def _placed(option: str, value: str, named: dict[str, Path]) -> str:
    return f"{option}{named.get(value, value)}"


def _redirect(command: list[str], folder: Path) -> list[str]:
    """A command without --out and --force, and with every other output in `folder`."""
    kept: list[str] = []
    words = iter(command)
    for word in words:
        option, given, value = word.partition("=")
        if option not in OUTPUT_OPTIONS:
            if word != "--force":
                kept.append(word)
            continue
        value = value if given else next(words)
        if option != "--out":
            kept += [option, str(folder / Path(value).name)]
    return kept
