"""What is loaded holds data: nothing in the project can execute what a file or a link brings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("firmware_bridge", "drivers", "calibration", "anf", "lab_scripts")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle", "runpy"}
CALLS = {"eval", "exec", "compile", "__import__"}
YAML = {"load", "load_all", "unsafe_load", "full_load"}


def offences(source: str) -> list[str]:
    """What a source does that could execute data, with the line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: imports {n}" for n in names if n.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        options = {k.arg: k.value for k in node.keywords}
        called = ast.unparse(node.func)
        if called in CALLS:
            found.append(f"{node.lineno}: {called}()")
        if called in ("torch.load", "torch.jit.load") and not _is(options.get("weights_only"), True):
            found.append(f"{node.lineno}: {called} without weights_only=True")
        if called in ("np.load", "numpy.load") and not _is(options.get("allow_pickle"), False):
            found.append(f"{node.lineno}: {called} without allow_pickle=False")
        if called.endswith(".read_pickle") or (called.startswith("yaml.") and called[5:] in YAML):
            found.append(f"{node.lineno}: {called}")
        if _is(options.get("shell"), True) or called in ("os.system", "os.popen"):
            found.append(f"{node.lineno}: a shell")
    return found


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_executes_what_it_loads():
    assert len(SOURCES) > 100
    assert {str(path): found for path in SOURCES if (found := offences(path.read_text()))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from joblib import load", "import a, dill.source", "eval(x)", "exec(open(f).read())",
        "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "np.load(f, allow_pickle=True)",
        "yaml.load(f)", "pandas.read_pickle(f)", "subprocess.run(c, shell=True)", "os.system(c)",
    ],
)  # fmt: skip
def test_each_of_these_would_be_found(line):
    assert len(offences(line)) == 1


@pytest.mark.parametrize(
    "line", ["torch.load(f, weights_only=True)", "np.load(f, allow_pickle=False)", "re.compile(x)", "model.eval()"]
)
def test_none_of_these_is(line):
    assert offences(line) == []
