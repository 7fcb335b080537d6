"""The form of exercises, and that every notebook's blanks are blank and its solutions right."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
import torch

from fromage_edu import exercises
from fromage_edu.exercises.form import close, exercise

NOTEBOOKS = sorted((Path(__file__).parents[1] / "book").rglob("*.ipynb"))
CHECKS = [name for name in dir(exercises) if name.startswith("check_")]
CHAPTERS = [m.name for m in pkgutil.iter_modules(exercises.__path__) if m.name.startswith("chapter_")]


@exercise("a number, such as 0.5", right="right: it is 3")
def check_three(answer):
    """Whether the answer is 3."""
    return close(answer, 3) or "it is\n odd"


def judged(check, capsys, *answer):
    """Verdict and line; exactly one line is printed."""
    verdict = check(*answer)
    out, err = capsys.readouterr()
    assert type(verdict) is bool and err == "" and out.count("\n") == 1 and out.endswith("\n")
    return verdict, out.rstrip("\n")


@pytest.mark.parametrize(
    ("answer", "verdict", "line"),
    [
        (..., False, "not yet: replace the dots by a number, such as 0.5"),
        ([1, ...], False, "not yet: replace the dots by a number, such as 0.5"),
        ({"a": ...}, False, "not yet: replace the dots by a number, such as 0.5"),
        ([[...]], False, "not yet: replace the dots by a number, such as 0.5"),
        ({"x": [1, (2, {...})]}, False, "not yet: replace the dots by a number, such as 0.5"),
        (3, True, "right: it is 3"),
        (torch.tensor(3.0), True, "right: it is 3"),
        (4, False, "not quite: it is odd"),
        (float("nan"), False, "not quite: it is odd"),
        ("three", False, "not quite: the answer must be a number, such as 0.5"),
        (None, False, "not quite: the answer must be a number, such as 0.5"),
        (True, False, "not quite: the answer must be a number, such as 0.5"),
        ([3, 3], False, "not quite: the answer must be a number, such as 0.5"),
    ],
)
def test_lines_and_verdicts(answer, verdict, line, capsys):
    assert judged(check_three, capsys, answer) == (verdict, line)


def test_no_answer_is_a_blank_one(capsys):
    assert judged(check_three, capsys) == (False, "not yet: replace the dots by a number, such as 0.5")


@pytest.mark.parametrize(
    ("returned", "verdict"), [(True, True), (False, False), (None, False), ("hint", False)]
)
def test_what_a_question_may_return(returned, verdict, capsys):
    check = exercise("anything")(lambda answer: returned)
    assert judged(check, capsys, 0)[0] is verdict


@pytest.mark.parametrize("error", [ValueError, SystemExit, RecursionError, AssertionError])
def test_nothing_an_answer_raises_gets_out(error, capsys):
    def answer():
        raise error("boom")

    check = exercise("a function without arguments")(lambda answer: answer())
    assert judged(check, capsys, answer) == (
        False,
        "not quite: the answer must be a function without arguments",
    )


def test_an_answer_that_holds_itself_is_judged_too(capsys):
    answer = []
    answer.append(answer)
    assert judged(check_three, capsys, answer)[0] is False


def test_an_answer_that_prints_or_warns_still_makes_one_line(capsys):
    import warnings

    def answer():
        print("noise")
        warnings.warn("noise", stacklevel=1)
        return 1

    check = exercise("a function")(lambda answer: answer() == 1)
    assert judged(check, capsys, answer) == (True, "right")


def test_the_line_for_right_starts_with_right():
    with pytest.raises(ValueError, match=re.escape("must start with 'right', not 'wrong'")):
        exercise("a number", right="wrong")


@pytest.mark.parametrize(
    ("answer", "expected", "verdict"),
    [(1.009, 1, True), (1.011, 1, False), (-1, 1, False), (0.009, 0, True), (0.011, 0, False)],
)
def test_close(answer, expected, verdict):
    assert close(answer, expected) is verdict


# --- The chapters' checks -------------------------------------------------------------------------------


def test_checks_are_found_by_name():
    assert {"check_01_1", "close", "exercise"} <= set(dir(exercises))
    with pytest.raises(ImportError):
        from fromage_edu.exercises import check_99_1  # noqa: F401
    with pytest.raises(AttributeError):
        exercises.check_01_99  # noqa: B018


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_survives_any_answer(name, capsys):
    check = getattr(exercises, name)
    wrong = [
        None,
        "",
        "yes",
        [],
        (),
        {},
        object(),
        1e400,
        float("nan"),
        -1,
        0,
        2j,
        torch.ones(2, 3),
        print,
        [[]],
    ]
    for answer in [*wrong, lambda *_: 1 / 0, lambda *_: None, (0, 0), (0, 0, 0), ["a"] * 3, 10**400, int]:
        verdict, line = judged(check, capsys, answer)
        assert line.startswith("right" if verdict else "not quite: "), (answer, line)
    assert judged(check, capsys, ...)[1].startswith("not yet: ")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_module_holds_checks_named_after_it(chapter):
    module = importlib.import_module(f"fromage_edu.exercises.{chapter}")
    stem = chapter.replace("chapter_", "check_")
    assert module.__all__ == [name for name in vars(module) if name.startswith("check_")]
    assert all(name.startswith(f"{stem}_") for name in module.__all__)


# --- The notebooks --------------------------------------------------------------------------------------


def exercise_cells(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and (call := re.search(r"^(check_\w+)\(answer\)", source, re.M)):
            text = "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")
            yield call[1], source, cell["metadata"].get("tags", []), text.splitlines()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_blanks_are_blank_and_solutions_right(path):
    blanks, solutions = [], []
    for name, source, tags, lines in exercise_cells(path):
        if re.search(r"^answer = \.\.\.", source, re.M):
            blanks.append(name)
            assert "hide-cell" not in tags
            assert len(lines) == 1 and lines[0].startswith("not yet: "), f"{name}: {lines}"
        else:
            solutions.append(name)
            assert "hide-cell" in tags, f"the solution of {name} must be folded"
            assert lines and lines[-1].startswith("right"), f"{name}: {lines}"
    assert blanks == solutions and len(set(blanks)) == len(blanks)
    if path.stem[0].isdigit():
        assert blanks == [f"check_{path.stem[:2]}_{number}" for number in range(1, max(3, len(blanks)) + 1)]


def test_every_check_is_asked_for_in_a_notebook():
    asked = {name for path in NOTEBOOKS for name, *_ in exercise_cells(path)}
    assert asked == set(CHECKS)
