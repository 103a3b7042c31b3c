"""What the documentation shows is what comes out: docs/README.md says which lines are run and which are parsed."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import sys
from typing import Any

import pytest
import typer.testing
from pages import PAGES, ROOT, UNRUN, Line, blocks, check, lines, name, tomllib

from drivers.board import PAPER_BOARD, Board
from drivers.connect import load_mock
from lab_scripts.campaign_plan import load_campaign, tasks
from lab_scripts.cli import app
from lab_scripts.settings import NAMES, load

DOCS = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
RUN = [
    page
    for page in PAGES
    if any(language == "python" or content.startswith("$ ") for language, content in blocks(page))
]
"""Pages whose blocks are executed."""


@pytest.mark.parametrize("page", [page for page in PAGES if any(lines(page))], ids=name)
def test_every_command_that_a_page_names_exists_with_its_options(page):
    wrong = []
    for line in lines(page):
        try:
            check(line)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


def matches(shown: str, came: str) -> bool:
    """Whether `came` is what is shown, where … stands for anything and blanks at the ends of lines for nothing."""
    tidy = ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (shown, came)]
    pattern = ".*".join(re.escape(part.strip("\n")) for part in tidy[0].split("…"))
    return re.fullmatch(pattern, tidy[1], re.DOTALL) is not None


def typed(line: str) -> str:
    """What a line of `xbar`, or of Python, prints. It must end well."""
    words = shlex.split(line, comments=True)
    assert "campaign/" not in line, f"takes hours, and is not run here: show it without $: {line}"
    if words[0] == "python":
        arguments = words[2:] if words[1] == "-m" else words[1:]
        before, sys.argv = sys.argv, arguments
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                if words[1] == "-m":
                    runpy.run_module(words[2], run_name="__main__")
                else:
                    runpy.run_path(str(ROOT / words[1]), run_name="__main__")
            except SystemExit as error:
                if error.code:
                    raise
            finally:
                sys.argv = before
        return out.getvalue()
    assert words[0] == "xbar", f"only xbar and python are run: {line}"
    result = typer.testing.CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, f"{line}: {result.stderr}"
    return result.stdout


@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
@pytest.mark.parametrize("page", RUN, ids=name)
def test_a_page_gives_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # files that pages name
    (tmp_path / "runs").mkdir()
    namespace: dict[str, Any] = {"__name__": "__page__"}
    printed: str | None = None
    for language, content in blocks(page):
        if language == "python":
            printed = python(content, name(page), namespace)
            continue
        if language == "toml":
            continue
        if printed and not content.startswith("$ "):
            assert matches(content, printed), f"shown:\n{content}\ncame:\n{printed}"
        printed = None
        for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", content, re.MULTILINE):
            came = typed(line)
            assert not shown.strip() or matches(shown, came), f"{line}: shown:\n{shown}\ncame:\n{came}"


def python(content: str, page: str, namespace: dict[str, Any]) -> str:
    """What a block prints. Of one that needs what is not here the imports alone are done."""
    code = compile(content, page, "exec")
    if content.startswith(UNRUN):
        imports = [line for line in content.splitlines() if line.startswith(("import ", "from "))]
        exec("\n".join(imports), namespace)
        return ""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, namespace)
    return out.getvalue()


WITH_TOML = [page for page in PAGES if any(language == "toml" for language, _ in blocks(page))]


@pytest.mark.parametrize("page", WITH_TOML, ids=name)
def test_every_block_of_toml_is_a_file_that_some_option_takes(page, tmp_path):
    for language, content in blocks(page):
        if language != "toml":
            continue
        file = tmp_path / "block.toml"
        file.write_text(content)
        keys = tomllib.loads(content).keys()
        if "tasks" in keys:
            for task in tasks(load_campaign(file)):
                check(Line(f"xbar {shlex.join(task.words)} --out run.nc", whole=True))
        elif keys <= set(Board.model_fields):
            whole = tomllib.loads(PAPER_BOARD.read_text())
            for section, values in tomllib.loads(content).items():
                whole[section] = whole.get(section, {}) | values
            Board.model_validate(whole)
        elif keys <= set(NAMES):
            load({"XBAR_CONFIG": str(file)}, tmp_path)
        else:
            load_mock(file)


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_the_readme_leads_to_every_page(page):
    if page.name[:2].isdigit() or page.name == "README.md" or page.parent.name == "reference":
        return  # decisions and the reference are reached by their folders
    index = (ROOT / "docs" / "README.md").read_text()
    assert f"]({page.relative_to(ROOT / 'docs')})" in index, f"docs/README.md has no line for {name(page)}"
    assert "(docs/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "xbar nothing", "xbar program AI4S", "xbar hmc --out h.nc --lambda 5", "xbar runs", "make nothing",
        "python benchmarks/nothing.py", "python benchmarks/bench_flows.py --nothing", "python -c 'a b'",
        "python -m drivers.serve --nothing", "python benchmarks/bench_array.py --nothing", "python -m drivers.nothing",
        "pytest tests/nothing.py", "pytest -m fast tests", "torchrun --no-python xbar nothing", "dask nothing",
        "torchrun --nothing xbar hmc --out h.nc", "pip install 'xbar[nothing]'", "pip install -r nothing.txt",
    ],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_seen(text):
    with pytest.raises(AssertionError):
        check(Line(text, whole=True))


@pytest.mark.parametrize("text", ["xbar nothing", "xbar hmc --lambda", "xbar hmc --configs many", "xbar --nothing"])
def test_a_mention_of_what_does_not_exist_is_seen(text):
    with pytest.raises(AssertionError):
        check(Line(text, whole=False))


@pytest.mark.parametrize("text", ["xbar", "xbar hmc", "xbar runs", "xbar place MODEL --arrays N", "xbar sample --rest"])
def test_a_mention_may_leave_out_what_is_required(text):
    check(Line(text, whole=False))


def test_the_script_of_a_new_user_finds_the_lines_of_the_readme():
    typed_by = runpy.run_path(str(ROOT / "benchmarks" / "new_user.py"))["typed"]
    first, second = typed_by((ROOT / "README.md").read_text())
    assert first[0] == "make setup"
    assert first[-1] == "xbar dashboard runs"
    assert [line.split()[1] for line in second if line.startswith("xbar ")] == ["program", "figure"]


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
