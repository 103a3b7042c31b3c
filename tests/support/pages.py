"""What the pages of the documentation have one type or run, and how each line is read by the program that it names."""

from __future__ import annotations

import argparse
import importlib.util
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_scripts.cli import whole_command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "firmware_bridge/overlay/README.md")),
        *ROOT.glob("docs/**/*.md"),
    ]
)
GENERATED = "docs/command-line.md"
"""Made from the commands themselves, so that nothing in it is typed by anybody."""
FENCED = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL = ("", "sh", "console", "bash")
"""Languages of blocks that may hold lines to type."""
ELIDED = "…"
"""In a mention: whatever else the command is given."""
UNRUN = "# needs "
"""Begins a block of Python that is compiled and whose names are looked up, but that is not run."""


@dataclass(frozen=True)
class Line:
    """A command line on a page. whole: it stands in a block, to be typed as it is; else it is a mention in the text."""

    text: str
    whole: bool

    @property
    def words(self) -> list[str]:
        """Without what comments on it, what is elided, and where its output goes."""
        text = re.split(r"\s{2,}(?=\S)|\s+#|\s+>{1,2}\s", self.text, maxsplit=1)[0]
        return [word for word in shlex.split(text) if word not in (ELIDED, "&")]


def name(page: Path) -> str:
    """The page as it is called: its path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, content) of the fenced blocks of a page."""
    return FENCED.findall(page.read_text())


def lines(page: Path) -> Iterator[Line]:
    """Every line of a page that names a program of `PROGRAMS`: in blocks, fenced or indented, and in the text."""
    if name(page) == GENERATED:
        return
    for language, content in blocks(page):
        if language in SHELL:
            yield from (Line(text, whole=True) for text in _known(content.splitlines()))
    prose = FENCED.sub("", page.read_text())
    yield from (Line(text, whole=True) for text in _known(re.findall(r"^ {4}(\S.*)$", prose, re.MULTILINE)))
    mentions = re.findall(r"`([^`]+)`", re.sub(r"^ {4}.*$", "", prose, flags=re.MULTILINE))
    yield from (Line(" ".join(text.split()), whole=False) for text in _known(mentions))


def _known(texts: list[str]) -> Iterator[str]:
    for text in texts:
        text = text.removeprefix("$ ")
        program, _, rest = text.partition(" ")
        if program in PROGRAMS and (rest or program == "xbar"):
            yield text


def check(line: Line) -> None:
    """Raises AssertionError for what the program that it names would not understand."""
    try:
        program, *rest = line.words
        PROGRAMS[program](rest, line.whole)
    except (Exception, SystemExit) as error:
        raise AssertionError(f"{line.text}: {getattr(error, 'message', None) or error!r}") from error


def xbar(words: list[str], whole: bool = True) -> None:
    """The command is there, and takes these options. In a mention what is required may be missing."""
    at = whole_command()
    path = ["xbar"]
    while hasattr(at, "commands"):
        if not words or words[0] == "COMMAND":
            assert not whole, f"{' '.join(path)}: names no command"
            return
        if words[0].startswith("--"):
            assert not whole, f"{' '.join(path)}: names no command"
            assert _has(at, words[0]), f"{' '.join(path)}: no such option: {words[0]}"
            return
        assert words[0] in at.commands, f"{' '.join(path)}: there is no command {words[0]}"
        at, words = at.commands[words[0]], words[1:]
        path.append(at.name)
    if "--help" in words:
        return
    if not whole:
        words = ["1" if word == "N" else word for word in words]
        if words and words[-1].startswith("-"):
            words = words[:-1] if _takes_value(at, words[-1]) else words
    try:
        at.make_context(" ".join(path), words).close()
    except Exception as error:
        if whole or type(error).__name__ != "MissingParameter":
            raise


def _has(group: Any, option: str) -> bool:
    """Whether a group, or any command in it, has an option."""
    return any(option in it.opts for it in group.params) or any(_has(it, option) for it in _commands(group))


def _commands(group: Any) -> list[Any]:
    return list(getattr(group, "commands", {}).values())


def _takes_value(command: Any, option: str) -> bool:
    found = [it for it in command.params if option in it.opts]
    assert found, f"{command.name}: no such option: {option}"
    return not found[0].is_flag


class _Parsed(BaseException):
    """A script has read its command line, and is to do nothing else."""


def python(words: list[str], whole: bool = True) -> None:
    """The script or module is there, and its parser takes these arguments."""
    if words[:1] == ["-c"]:
        compile(words[1], "-c", "exec")
    elif words[:2] == ["-m", "pytest"]:
        pytest_(words[2:])
    elif words[:1] == ["-m"]:
        spec = importlib.util.find_spec(words[1])
        assert spec is not None, f"there is no module {words[1]}"
        assert spec.origin is not None
        _script(Path(spec.origin), words[2:], lambda: runpy.run_module(words[1], run_name="__main__"))
    elif words != ["-i"] and words[:1] != ["-i"]:
        path = ROOT / words[0]
        assert path.is_file(), f"there is no {words[0]}"
        _script(path, words[1:], lambda: runpy.run_path(str(path), run_name="__main__"))


def _script(path: Path, arguments: list[str], run: Callable[[], object]) -> None:
    source = path.read_text()
    if "argparse" not in source:
        unknown = [word for word in arguments if f'"{word}"' not in source]
        assert not unknown, f"{path.name} knows nothing of {unknown}"
        return

    def parse(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        original(parser, arguments)
        raise _Parsed

    original = argparse.ArgumentParser.parse_args
    before = sys.path.copy(), sys.argv
    argparse.ArgumentParser.parse_args = parse  # type: ignore[assignment,method-assign]
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path), *arguments]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that a module was imported before it is run
            run()
    except _Parsed:
        return
    except SystemExit as error:
        if error.code:
            raise
        return  # --help
    finally:
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]
        sys.path[:], sys.argv = before
    raise AssertionError(f"{path.name} never read its arguments")


def pytest_(words: list[str], whole: bool = True) -> None:
    """The files and marks are there."""
    marks = words[words.index("-m") + 1].split() if "-m" in words else []
    assert set(marks) <= {"not", "slow"}, marks
    for word in words:
        assert "/" not in word or (ROOT / word.partition("::")[0]).exists(), f"there is no {word}"


def make(words: list[str], whole: bool = True) -> None:
    """There is such a target."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words[0] in targets, f"make {words[0]}: there are {targets}"


def torchrun(words: list[str], whole: bool = True) -> None:
    """Its own parser takes its options, and the rest is a command of xbar."""
    from torch.distributed.run import get_args_parser

    parsed = get_args_parser().parse_args(words)
    assert parsed.training_script == "xbar"
    xbar(parsed.training_script_args, whole)


def dask(words: list[str], whole: bool = True) -> None:
    """Dask's own parsers take it."""
    module = importlib.import_module(f"distributed.cli.dask_{words[0]}")
    module.main.make_context(f"dask {words[0]}", words[1:]).close()


def pip(words: list[str], whole: bool = True) -> None:
    """Extras and files of requirements are there."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for before, word in zip(("", *words), words, strict=False):
        if found := re.fullmatch(r"xbar\[(\w+)\]", word):
            assert found.group(1) in extras, word
        assert before != "-r" or (ROOT / word).is_file(), f"there is no {word}"


PROGRAMS: dict[str, Callable[[list[str], bool], None]] = {
    "xbar": xbar, "python": python, "pytest": pytest_, "make": make, "torchrun": torchrun, "dask": dask, "pip": pip,
}  # fmt: skip
"""What reads a line of each program that pages name."""
