"""Makes the reference of the Python names from the sources: python docs/reference/build.py

One page for each room (a folder of modules): every public function, class and method with its signature and the first
paragraph of its docstring. Sources are read, not imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = ("anf", "calibration", "drivers", "firmware_bridge")
"""All but `lab_scripts`, which is the command line and has a page of its own."""

ABOVE = """
Made by `python docs/reference/build.py` from the sources; do not edit. Public names, what they take and what they are.
SI units: the end of a name is its unit (`_v` V, `_a` A, `_ohm` Ω, `_hz` Hz, `_k` K, `_j` J; `_s` is siemens of a
conductance, seconds of a time), `_code` a raw converter value. Shapes and errors stand in the docstring, at the source
that each heading links to and in `help(NAME)`. What a method of a protocol does is said at the protocol. Commands have
[a page of their own](../command-line.md).
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Name:
    """A public name: of what kind, its signature, what it is, and the names within it."""

    name: str
    signature: str
    doc: str
    within: tuple[Name, ...] = ()


def names(body: list[ast.stmt]) -> Iterator[Name]:
    """The public names of a module or a class. A method without a docstring does what the class's protocol says."""
    for node in body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_") or _is_overload(node):
            continue
        if isinstance(node, ast.ClassDef):
            methods = tuple(it for it in names(node.body) if it.doc)
            yield Name(node.name, f"class {node.name}{_takes(node)}", _first(node), methods)
        else:
            yield Name(node.name, f"{node.name}{_arguments(node)}", _first(node))


def _takes(node: ast.ClassDef) -> str:
    """What a class is made from: its fields if it is a dataclass, else its bases."""
    bases = [ast.unparse(base) for base in node.bases]
    if "NamedTuple" not in bases and not any("dataclass" in ast.unparse(it) for it in node.decorator_list):
        return f"({', '.join(bases)})" * bool(bases)
    fields = [
        ast.unparse(it)
        for it in node.body
        if isinstance(it, ast.AnnAssign)
        and not ast.unparse(it).startswith("_")
        and "ClassVar" not in ast.unparse(it.annotation)
        and "init=False" not in ast.unparse(it)
    ]
    return f"({', '.join(fields)})"


def _is_overload(node: Function | ast.ClassDef) -> bool:
    marks = {ast.unparse(it).rpartition(".")[2] for it in node.decorator_list}
    return bool(marks & {"overload", "setter"})


def _arguments(node: Function) -> str:
    marks = {ast.unparse(it).rpartition(".")[2] for it in node.decorator_list}
    returns = f" → {ast.unparse(node.returns)}" if node.returns is not None else ""
    if marks & {"property", "cached_property"}:
        return returns
    shown = ast.unparse(node.args)
    for first in ("self, ", "cls, ", "self", "cls"):
        if shown.startswith(first) and shown[len(first) :][:1] not in (":", "="):
            shown = shown.removeprefix(first)
            break
    return f"({shown}){returns}"


def _first(node: Function | ast.ClassDef | ast.Module) -> str:
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def rooms() -> dict[str, list[Path]]:
    """Modules by the folder that they are in."""
    found: dict[str, list[Path]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.startswith("_") or path.name == "__init__.py":
                found.setdefault(str(path.parent.relative_to(ROOT)).replace("/", "."), []).append(path)
    return found


def page(room: str, modules: list[Path]) -> str:
    """The page of a room, as Markdown."""
    parts = [f"# `{room}`", "Made by `python docs/reference/build.py` from the sources; do not edit."]
    for path in modules:
        module = ast.parse(path.read_text())
        listed = list(names(module.body))
        if path.name == "__init__.py":
            parts.append(_first(module))
        elif listed:
            parts.append(f"## [`{path.name}`](../../{path.relative_to(ROOT)})")
            parts.append(_first(module))
        parts.append("\n".join(_lines(listed)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _lines(listed: list[Name], indent: str = "") -> Iterator[str]:
    for it in listed:
        yield f"{indent}- `{it.signature}`: {it.doc}"
        yield from _lines(list(it.within), indent + "  ")


def index(found: dict[str, list[Path]]) -> str:
    """The page that leads to the others."""
    rows = [f"| [`{room}`]({room}.md) | {_first(ast.parse(paths[0].read_text()))} |" for room, paths in found.items()]
    return "\n".join(
        [
            "# Reference of the Python names",
            "",
            " ".join(ABOVE.split()),
            "",
            "| room | |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    found = rooms()
    return {"README.md": index(found)} | {f"{room}.md": page(room, modules) for room, modules in found.items()}


def main() -> None:
    made = pages()
    for old in HERE.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    main()
