from __future__ import annotations

import json

import pytest

from lab_scripts.console import Report, with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.75945, 0.0038, "1.7594(38)"),
        (0.5, 0.0996, "0.50(10)"),
        (-1.07, 0.13, "-1.07(13)"),
        (1234.0, 120.0, "1234(120)"),
        (12.3, 1.2, "12.3(12)"),
        (1.5, float("nan"), "1.5"),
    ],
)
def test_an_error_is_written_in_the_last_two_digits(value, error, text):
    assert with_error(value, error) == text


def test_json_has_null_for_what_is_not_finite(capsys):
    Report(as_json=True).finish({"tau": float("inf"), "list": [1, float("nan")]})
    assert json.loads(capsys.readouterr().out) == {"tau": None, "list": [1, None]}


def test_people_see_tables_and_programs_do_not(capsys):
    for as_json in (False, True):
        report = Report(as_json=as_json)
        report.table("title", ("a", "b"), [("x", "1")])
        report.say("words")
        report.finish({"x": 1})
        out = capsys.readouterr().out
        assert ("title" in out, "words" in out, '{"x": 1}' in out) == (not as_json, not as_json, as_json)


def test_a_task_writes_nothing_where_nobody_watches(capsys):
    with Report(as_json=True).task("Working") as step:
        step(1, 2, "note")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
