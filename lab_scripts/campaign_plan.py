"""A campaign file: commands over boards and values, and the tasks that they come to."""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
import string
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lab_scripts.exits import FileError, InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOCK = "mock"


class Boards(BaseModel):
    """Which boards there are: `mock` models with seeds 0, 1, …, or the addresses of real ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mock: int = Field(default=0, ge=0, le=10_000, description="that many mock boards")
    addresses: tuple[str, ...] = Field(default=(), description="as --backend takes them, one worker each")

    @model_validator(mode="after")
    def _one_kind(self) -> Boards:
        if bool(self.mock) == bool(self.addresses):
            raise ValueError("give either mock = N or addresses = [...]")
        if len(set(self.addresses)) != len(self.addresses):
            raise ValueError(f"addresses = {list(self.addresses)}: one stands there twice")
        return self

    def have(self, address: str) -> bool:
        """Whether a worker's board is one of them; models are interchangeable."""
        return address.startswith(MOCK) if self.mock else address in self.addresses


class Commands(BaseModel):
    """A command of `xbar` that writes a run file, for each combination of the values in `each`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str = Field(description="without --backend and --out; {name} stands for a value of each.name")
    on: Literal["any board", "every board"] = Field(default="any board", description="where, and how often")
    each: dict[str, tuple[float | int | str, ...]] = Field(default_factory=dict, description="name = [values]")

    @model_validator(mode="after")
    def _names_agree(self) -> Commands:
        used = {name for _, name, _, _ in string.Formatter().parse(self.command) if name is not None}
        if used != set(self.each):
            raise ValueError(f"command names {sorted(used)} in braces, each gives {sorted(self.each)}: they must agree")
        given = {word.partition("=")[0] for word in shlex.split(self.command)} & {"--backend", "--out", "--force"}
        if given:
            raise ValueError(f"command gives {sorted(given)}: the campaign does")
        return self


class Campaign(BaseModel):
    """A campaign file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boards: Boards
    tasks: tuple[Commands, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Task:
    """One run to be made.

    words: of the command. board: the one that it must be made on, by the seed of a model or the address of a real one;
    None for any.
    name: of its run file, without suffix; it follows from the other two, files that the words name by their content,
    so that nothing is made twice, and nothing that would now be another run is taken for it. file: with suffix.
    """

    words: tuple[str, ...]
    board: int | str | None

    @property
    def name(self) -> str:
        asked = [_content(word) for word in self.words]
        digest = hashlib.sha256(json.dumps([asked, self.board]).encode()).hexdigest()[:12]
        return (
            f"{self.words[0]}-board{self.board}-{digest}"
            if isinstance(self.board, int)
            else f"{self.words[0]}-{digest}"
        )

    @property
    def file(self) -> str:
        return f"{self.name}.json" if self.words[0] == "calibrate" else f"{self.name}.nc"


def _content(word: str) -> str:
    path = Path(word.partition("=")[2] if word.startswith("--") else word)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else word


def load_campaign(path: Path) -> Campaign:
    """Raises `FileError` for a file that cannot be read, `InputError` for one that says what makes no sense."""
    try:
        return Campaign.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not a TOML file: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error


def tasks(campaign: Campaign) -> list[Task]:
    """All of them, in the order of the file. Raises `InputError` if two come to the same."""
    boards: Sequence[int | str] = campaign.boards.addresses or range(campaign.boards.mock)
    found = [
        Task(tuple(shlex.split(commands.command.format(**values))), board)
        for commands in campaign.tasks
        for values in _combinations(commands)
        for board in (boards if commands.on == "every board" else (None,))
    ]
    if len({task.name for task in found}) != len(found):
        raise InputError("two tasks of the campaign are the same: give each its own --seed, say --seed {seed}")
    return found


def _combinations(commands: Commands) -> Iterator[dict[str, float | int | str]]:
    for values in itertools.product(*commands.each.values()):
        yield dict(zip(commands.each, values, strict=True))
