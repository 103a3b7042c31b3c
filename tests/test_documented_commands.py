"""What the documentation shows is what comes out: docs/README.md says which lines are run and which are parsed."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing

from lab_scripts.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = [page for page in PAGES if re.search(r"^\$ xbar", page.read_text(), re.MULTILINE) or page.parent.name == "how-to"]
"""Pages whose blocks are executed."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, content) of the fenced blocks of a page."""
    return FENCED.findall(page.read_text())


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every command line of `xbar` in the blocks of a page, without what comments on them."""
    for language, content in blocks(page):
        if language in ("", "console", "bash"):
            for line in content.splitlines():
                line = re.split(r"\s{2,}(?=\S)|\s+#", line.removeprefix("$ "), maxsplit=1)[0]
                if line.startswith("xbar "):
                    yield shlex.split(line)


def parse(words: list[str]) -> None:
    """Raises the parser's error for a command or an option that is not there."""
    at: Any = typer.main.get_command(app)
    path, rest = [words[0]], words[1:]
    while hasattr(at, "commands"):
        assert rest, f"{shlex.join(words)}: names no command"
        assert rest[0] in at.commands, f"{shlex.join(words)}: there is no command {rest[0]}"
        path.append(rest[0])
        at, rest = at.commands[rest[0]], rest[1:]
        if "--help" in rest:
            return
    at.make_context(" ".join(path), rest).close()


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=name)
def test_every_command_that_a_page_shows_exists_with_its_options(page):
    for words in commands(page):
        if not set("".join(words)) & set("…[]"):
            try:
                parse(words)
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
                pytest.fail(f"{name(page)}: {shlex.join(words)}: {getattr(error, 'message', error)}")


def matches(shown: str, came: str) -> bool:
    """Whether `came` is what is shown, where … stands for anything and blanks at the ends of lines for nothing."""
    tidy = ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (shown, came)]
    pattern = ".*".join(re.escape(part.strip("\n")) for part in tidy[0].split("…"))
    return re.fullmatch(pattern, tidy[1], re.DOTALL) is not None


@pytest.mark.parametrize("page", RUN, ids=name)
def test_a_page_gives_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # files that pages name
    namespace: dict[str, object] = {"__name__": "__page__"}
    printed: str | None = None
    for language, content in blocks(page):
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(content, name(page), "exec"), namespace)
            printed = out.getvalue()
            continue
        if language == "toml":
            continue
        if printed and not content.startswith("$ "):
            assert matches(content, printed), f"{name(page)}: shown:\n{content}\ncame:\n{printed}"
        printed = None
        for step in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", content, re.MULTILINE):
            line, shown = step
            words = shlex.split(line, comments=True)
            assert words[0] == "xbar", f"{name(page)}: only xbar is run: {line}"
            result = typer.testing.CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{name(page)}: {line}: {result.stderr}"
            if shown.strip():
                assert matches(shown, result.stdout), f"{name(page)}: {line}: shown:\n{shown}\ncame:\n{result.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_readme_leads_to_every_page(page):
    if page.name[:2].isdigit() or page.name == "README.md":
        return  # decisions are reached by their folder
    index = (ROOT / "docs" / "README.md").read_text()
    assert f"]({page.relative_to(ROOT / 'docs')})" in index, f"docs/README.md has no line for {name(page)}"
    assert "(docs/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("line", ["xbar nothing", "xbar program AI4S", "xbar hmc --out h.nc --lambda 5", "xbar runs"])
def test_a_command_that_does_not_exist_is_seen(line):
    with pytest.raises(Exception, match=r"command|Missing parameter|No such option"):
        parse(shlex.split(line))


def test_what_is_not_the_same_is_seen():
    assert matches("a …c", "a b\nc")
    assert not matches("a … d", "a b c")
    assert not matches("a", "a b")


def test_the_support_matrix_has_a_column_for_each_bridge_of_the_conformance_suite():
    conformance = (ROOT / "tests" / "conformance" / "conftest.py").read_text()
    table = re.search(r"^BRIDGES.*?= \{(.*?)^\}", conformance, re.DOTALL | re.MULTILINE)
    assert table is not None
    bridges = {{"pynq": "zc706"}.get(it, it) for it in re.findall(r'"(\w+)":', table.group(1))}
    header = next(
        line
        for line in (ROOT / "docs" / "support-matrix.md").read_text().splitlines()
        if "mock" in line and "|" in line
    )
    assert {cell.strip() for cell in header.strip("|").split("|")} - {""} == bridges
