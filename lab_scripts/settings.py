"""Values that commands take when they are not typed: from the environment, from a file, else the default of the option.

Only what says *which* board and how much of the machine can be set this way. Consent, as --force, --yes, --real-board
or --accept-expired are, has to be typed each time; so has what a command writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from lab_scripts.exits import FileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "xbar.toml"
FILE_VARIABLE = "XBAR_CONFIG"
"""Environment variable with the settings file; empty for none. Without it, `FILE` in the working folder."""
NAMES = ("backend", "board", "mock", "calibration", "seed", "threads")
"""Options that can be set, by their names without dashes."""
PATHS = frozenset({"board", "mock", "calibration"})
"""Those that are files: in the settings file, beside that file."""
TYPED_ONLY = frozenset({"doctor", "serve", "bench", "train", "finetune", "hmc"})
"""Commands that take none: they look at a board that is named each time, serve one, or open none."""


@dataclass(frozen=True)
class Setting:
    """A value and where it came from, in words."""

    value: str | int
    source: str


def variable(name: str) -> str:
    """The environment variable of a setting: XBAR_BACKEND for backend."""
    return f"XBAR_{name.upper()}"


def settings_file(environment: Mapping[str, str], folder: Path) -> Path | None:
    """The file that holds. Raises `FileError` if one is named that is not there."""
    if (named := environment.get(FILE_VARIABLE)) is not None:
        if named and not Path(named).is_file():
            raise FileError(
                f"{FILE_VARIABLE}={named}: there is no such file; name a settings file in TOML, or unset it"
            )
        return Path(named) if named else None
    path = folder / FILE
    return path if path.is_file() else None


def load(environment: Mapping[str, str], folder: Path) -> dict[str, Setting]:
    """What is set, by name: the environment before the file. Raises `FileError` for a file with other keys or types."""
    found: dict[str, Setting] = {}
    if (path := settings_file(environment, folder)) is not None:
        for name, value in _read(path).items():
            if name in PATHS:
                value = str(path.parent / str(value))
            found[name] = Setting(value, f"file {path}")
    for name in NAMES:
        if text := environment.get(variable(name)):
            found[name] = Setting(text, f"environment {variable(name)}")
    return found


def unset(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which nothing is set, for a command that is to be done again as it was."""
    ours = {variable(name) for name in NAMES}
    return {key: value for key, value in environment.items() if key not in ours} | {FILE_VARIABLE: ""}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileError(f"settings file {path}: not readable TOML: {error}") from error
    for name, value in content.items():
        if name not in NAMES:
            raise FileError(f"settings file {path}: {name} cannot be set; there are: {', '.join(NAMES)}")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise FileError(f"settings file {path}: {name} = {value!r} is neither a text nor a whole number")
    return content


def default_map(group: Any, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """`settings` as the parser takes them: values by parameter, nested by command."""
    values: dict[str, Any] = {}
    for name, command in group.commands.items():
        if name in TYPED_ONLY:
            continue
        if hasattr(command, "commands"):
            values[name] = default_map(command, settings)
            continue
        values[name] = {
            parameter.name: [settings[key].value] if parameter.multiple else settings[key].value
            for parameter, key in settable(command)
            if key in settings
        }
    return values


def settable(command: Any) -> Iterator[tuple[Any, str]]:
    """The options of a command that can be set, with the names of their settings."""
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--") and option[2:] in NAMES:
                yield parameter, option[2:]


def from_settings(context: typer.Context, parameter: str) -> bool:
    """Whether the value of a parameter was not typed but set."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "DEFAULT_MAP"


def forget_settings(context: typer.Context, *parameters: str) -> None:
    """Of these parameters, those that were set and not typed do not count for this command."""
    for name in parameters:
        if from_settings(context, name):
            context.params[name] = None


def words_of(context: typer.Context) -> Iterator[str]:
    """Options that would have had to be typed to get the values that were set."""
    for parameter, name in settable(context.command):
        value = context.params.get(parameter.name)
        if value is not None and from_settings(context, parameter.name):
            for each in value if isinstance(value, list) else [value]:
                yield from (f"--{name}", str(each))
