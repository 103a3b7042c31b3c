"""What mutation testing changes: each kind of place, in the right line, and nothing that only readers see."""

import ast

import pytest
from mutations import draw, places

SOURCE = '''"""Doc: 1 + 1."""
from enum import Enum

WIDTH: int = 8
TABLE = (
    (1, 0.5),
)


@decorated(frozen=True)
class Thing:
    def act(self, n: int = 3) -> bool:
        if not n or n > 2:
            raise ValueError(f"{n + 1} is more than {2 + 2}")
        self.call(n)
        return n << 1 == 4
'''


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "drivers" / "module.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return path


def test_each_place_has_its_change(tmp_path, module):
    assert [(m.line, m.old, m.new) for m in places(tmp_path, module)] == [
        (4, "8", "(8 + 1)"),
        (6, "1", "(1 + 1)"),
        (6, "0.5", "(0.5 + 1)"),
        (12, "3", "(3 + 1)"),
        (13, "or", "and"),
        (13, "not ", ""),
        (13, ">", ">="),
        (13, "2", "(2 + 1)"),
        (15, "self.call(n)", "pass"),
        (16, "==", "!="),
        (16, "<<", ">>"),
        (16, "1", "(1 + 1)"),
        (16, "4", "(4 + 1)"),
        (10, "True", "False"),
    ]


def test_a_change_is_the_only_one_and_leaves_a_program(tmp_path, module):
    before = SOURCE.splitlines()
    for mutant in places(tmp_path, module):
        after = mutant.source(tmp_path).splitlines()
        ast.parse("\n".join(after))
        assert [n for n, (a, b) in enumerate(zip(before, after, strict=True), 1) if a != b] == [mutant.line]
        assert mutant.module == "drivers.module"


def test_a_statement_ends_where_its_body_begins(tmp_path, module):
    lines = {m.line: m.statement for m in places(tmp_path, module)}
    assert lines == {4: (4, 4), 6: (5, 7), 10: (10, 11), 12: (12, 12), 13: (13, 13), 15: (15, 15), 16: (16, 16)}


def test_a_sample_holds_each_module_by_its_places(tmp_path, module):
    (module.parent / "larger.py").write_text(SOURCE * 3)
    drawn = draw(tmp_path, 28, seed=1)
    assert len(set(drawn)) == len(drawn) == 28
    assert sum(m.module == "drivers.larger" for m in drawn) == 21
    assert draw(tmp_path, 28, seed=1) == drawn != draw(tmp_path, 28, seed=2)
