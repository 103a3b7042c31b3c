"""Run files: netCDF-4, written whole or not at all, with all that is needed to repeat the run."""

from __future__ import annotations

import datetime
import functools
import hashlib
import itertools
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import typer
import xarray as xr

from firmware_bridge.journal import has_pulses
from firmware_bridge.records import replace_file, sync_folder
from firmware_bridge.waveform import frames_file
from lab_scripts import live
from lab_scripts.exits import FileError, InputError
from lab_scripts.outputs import check_output, published
from lab_scripts.settings import words_of

PACKAGES = ("xbar", "numpy", "scipy", "torch", "xarray", "h5netcdf", "pyerrors")
COMMAND = "lab_scripts.command"
"""Key of the command line, a list of words, in the root context's `meta`."""
RUN_COMMANDS = frozenset({"program", "compare-write-verify", "mvm", "characterise", "figure", "hmc", "sample", "demo"})
"""Commands that write run files, and nothing but what options of `OUTPUT_OPTIONS` name: those that can be replayed."""
KEEPING_COMMANDS = frozenset({"figure", "check-physics"})
"""Commands that keep the runs that theirs is made from in a folder: given again with another --runs they make these
again."""
OUTPUT_OPTIONS = ("--out", "--figure", "--vcd", "--log-file", "--runs")
"""Options that name a file or a folder to be written; every other word that is a file is an input."""
CHECKPOINT_FILE = "training.checkpoint"
"""Beside the command of a training: its state."""
NOTEBOOK_FILE = "notebook"
"""Beside the command of a calibration by hand: what was measured."""
COMMAND_FILE = "command.json"
"""Beside the journals of a run: its command, where it was typed, and what it was made with."""
INCOMPLETE_FILE = "incomplete.nc"
"""Beside the journals of a run that ended early: what had been measured."""
INCOMPLETE = "incomplete"
"""Attribute of such a file: why the run ended."""
INPUTS = "inputs"
"""Group of a run file with the files that its command line names, byte by byte."""
RESUMING = "resuming"
"""Key in the root context's `obj` by which `xbar resume` says that a command goes on with its journals."""
JOURNAL = "lab_scripts.journal"
"""Key in the root context's `meta` of the file whose run was begun and is not finished."""
LARGEST_INPUT = 16 << 20
"""A larger file is kept by its digest alone, bytes."""

Keep = Callable[[xr.Dataset], None]
"""keep(dataset): how far a run has got."""


class RehearsalEnds(Exception):
    """A command that only rehearses (--dry-run) has come to where it would write its results."""


@dataclass(frozen=True)
class InputFile:
    """A file that a command line names: the word that names it, the file itself, and its bytes when the run began.

    A flow file that needs another beside it brings that as a second input with the same word.
    """

    word: str
    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """Digest of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class RunFile:
    """What a command will write, a run file or a flow or a record: checked when it begins, so that an hour's run does
    not end at a missing folder.

    inputs: the files that the command line names, as they were when the run began.
    """

    path: Path
    force: bool
    context: typer.Context
    inputs: tuple[InputFile, ...]
    _boards: Iterator[int] = field(default_factory=itertools.count)
    _waveforms: Iterator[int] = field(default_factory=functools.partial(itertools.count, 1))

    @classmethod
    def open(cls, context: typer.Context, path: Path, *, force: bool, suffix: str = ".nc") -> RunFile:
        """Raises `FileError` if nothing can be written at `path`, or something is there and `force` was not given."""
        if suffix == ".nc" and words(context)[0] not in RUN_COMMANDS | KEEPING_COMMANDS:
            raise RuntimeError(f"xbar {words(context)[0]} writes run files that nobody can replay: see RUN_COMMANDS")
        run_file = cls(check_output(path, suffix, force=force), force, context, tuple(input_files(words(context))))
        begin_live(path, context)
        folder = journal_folder(path)
        if folder.exists() and not resuming(context):
            if not force:
                raise FileError(
                    f"--out {path}: a run that did not end is in {folder}; go on with it by `xbar resume {path}`, or "
                    "throw it away with --force"
                )
            if not context.params.get("dry_run"):
                shutil.rmtree(folder)
        if (vcd := context.params.get("vcd")) is not None:
            for backend in backends(context.params):
                if backend != "rtl":
                    raise InputError(f"--vcd {vcd}: --backend {backend} has no pins to record; use --backend rtl")
            run_file._check_waveform(Path(vcd))
        return run_file

    def begin(self) -> Path:
        """The folder with what is needed to go on with the run, and nothing else yet but its command. It is gone once
        the run is `finished`. Any number of times."""
        folder = journal_folder(self.path)
        if not folder.exists():
            folder.mkdir()
            sync_folder(folder)
            record = {
                "words": words(self.context), "folder": os.getcwd(), "git_revision": git_revision(),
                "versions": versions(), "inputs": {str(it.path): it.sha256 for it in self.inputs},
            }  # fmt: skip
            # Whole or not there: nobody goes on with half a command.
            replace_file(folder / COMMAND_FILE, json.dumps(record).encode())
        self.context.find_root().meta[JOURNAL] = self.path
        return folder

    def finished(self) -> None:
        """What was asked for is written: nothing is left to go on with."""
        self.context.find_root().meta.pop(JOURNAL, None)
        shutil.rmtree(journal_folder(self.path), ignore_errors=True)

    def next_journal(self) -> Path:
        """Where the next board that this run opens writes its journal."""
        return self.begin() / f"board{next(self._boards)}.journal"

    def next_waveform(self) -> Path | None:
        """Where the next board that this run opens records its pins, if it is asked to: --vcd, numbered from the second
        board on. A run that goes on takes the next number that is free."""
        if self.context.params.get("vcd") is None:
            return None
        first = Path(self.context.params["vcd"])
        for number in self._waveforms:
            path = first if number == 1 else first.with_stem(f"{first.stem}-{number}")
            if not (resuming(self.context) and path.exists()):
                break
        self._check_waveform(path)
        return path

    def _check_waveform(self, path: Path) -> None:
        force = self.force or resuming(self.context)
        check_output(path, ".vcd", force=force, option="--vcd")
        check_output(frames_file(path), ".json", force=force, option="--vcd")

    def write(self, dataset: xr.Dataset, *, board: Path | None = None) -> None:
        """Write the variables with the attributes of this run; the file appears whole, at the end.

        board: the board file that was used, kept as text.
        """
        if self.context.params.get("dry_run"):
            raise RehearsalEnds
        self._write(dataset, self.path, board, force=self.force)
        self.finished()

    @contextmanager
    def keeping(self, *, board: Path | None = None) -> Iterator[Keep]:
        """Within this context ``keep(dataset)`` says how far a run has got. If the context ends by an error or an
        interrupt, the last of them is written beside the journals, which alone could go on with the run: to look at,
        with the reason in its attributes."""
        latest: xr.Dataset | None = None

        def keep(dataset: xr.Dataset) -> None:
            nonlocal latest
            latest = dataset

        try:
            yield keep
        except BaseException as error:
            if latest is not None and not self.context.params.get("dry_run"):
                path = journal_folder(self.path) / INCOMPLETE_FILE
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                self._write(latest.assign_attrs({INCOMPLETE: reason}), path, board, force=True)
                print(f"xbar: {path} keeps what was measured until then", file=sys.stderr)
            raise

    def _write(self, dataset: xr.Dataset, path: Path, board: Path | None, *, force: bool) -> None:
        complete = dataset.assign_attrs(provenance(self.context, board) | dict(dataset.attrs))
        with published(path, force=force) as partial:
            complete.to_netcdf(partial, engine="h5netcdf", encoding={
                name: {"zlib": True, "complevel": 1}
                for name, variable in complete.data_vars.items() if variable.dtype.kind in "fiu"
            })  # fmt: skip
            if self.inputs:
                _pack(self.inputs).to_netcdf(partial, mode="a", group=INPUTS, engine="h5netcdf")


def begin_live(out: Path, context: typer.Context) -> None:
    """Tell who looks on of the command that will write `out`, and hold what it will write, its journals too, until it
    has ended. Raises `BoardInUse` if another command is writing it."""
    if not context.params.get("dry_run"):
        live.begin(out, command_line(context))


def backends(parameters: Mapping[str, Any]) -> list[str]:
    """Where the boards of a command are, by its parameters; without any, on the mock."""
    return parameters.get("backends") or [parameters.get("backend", "mock")]


def journal_folder(path: Path) -> Path:
    """Where the journals of a run are, and all else that it can be gone on with, until its file is at `path`."""
    return path.with_name(f"{path.name}.journal")


def keep_unfinished(path: Path) -> bool:
    """Whether there is something to go on with: pulses, or whatever else was kept. If not, the folder goes."""
    folder = journal_folder(path)
    for each in folder.iterdir():
        if each.name != COMMAND_FILE and (each.suffix != ".journal" or has_pulses(each)):
            return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def resuming(context: typer.Context) -> bool:
    return bool((context.find_root().obj or {}).get(RESUMING))


def provenance(context: typer.Context, board: Path | None) -> dict[str, Any]:
    """Root attributes: what was run, with what, on what, when."""
    parameters = {key: value for key, value in context.params.items() if value is not None}
    attributes = {
        "command": command_line(context),
        "configuration": json.dumps({"command": context.info_name, **parameters}, default=str),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": json.dumps(versions()),
        "git_revision": git_revision(),
    }
    if "seed" in parameters:
        attributes["seed"] = parameters["seed"]
    if board is not None:
        attributes["board"] = board.read_text()
    return attributes


def words(context: typer.Context) -> list[str]:
    """The command in words, without the name of the program: as typed, with what was set as if it had been."""
    return [*context.find_root().meta[COMMAND], *words_of(context)]


def command_line(context: typer.Context) -> str:
    """The command as it was typed."""
    return shlex.join(["xbar", *words(context)])


def split_option(word: str) -> tuple[str, str]:
    """``--option=value`` as ``("--option=", "value")``, any other word as ``("", word)``."""
    if word.startswith("--") and "=" in word:
        option, _, value = word.partition("=")
        return f"{option}=", value
    return "", word


def input_files(command: Sequence[str]) -> Iterator[InputFile]:
    """The files that the words of a command name as inputs, with those that they need beside them."""
    for before, word in zip(("", *command), command, strict=False):
        option, value = split_option(word)
        path = Path(value)
        if before in OUTPUT_OPTIONS or option.rstrip("=") in OUTPUT_OPTIONS or not path.is_file():
            continue
        yield InputFile(value, path, path.read_bytes())
        if path.suffix == ".safetensors":
            from anf.flows.checkpoint import read_record

            if base := read_record(path).base_file:
                beside = path.with_name(base)
                yield InputFile(value, beside, beside.read_bytes())


def _pack(inputs: Sequence[InputFile]) -> xr.Dataset:
    variables = {}
    for i, it in enumerate(inputs):
        kept = it.content if len(it.content) <= LARGEST_INPUT else b""
        attributes = {"word": it.word, "name": it.path.name, "sha256": it.sha256, "size": len(it.content)}
        variables[f"file_{i}"] = (f"byte_{i}", np.frombuffer(kept, np.uint8), attributes)
    return xr.Dataset(variables)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def git_revision() -> str:
    """Revision of the source tree that this runs from, ``+dirty`` if files differ; empty outside a git checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        answers = [
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError) as error:
        print(f"xbar: git revision unknown: {error}", file=sys.stderr)
        return ""
    return answers[0] + ("+dirty" if answers[1] else "")
