import math
from pathlib import Path
from typing import Any

import optuna
import pytest

from experiments.config import Range, TuningConfig
from experiments.search import Answer, best_of, can_be, open_study, over, search

X = {"x": Range(low=0.0, high=1.0)}


def run(journal: Path, trials: int, answers: dict[int, Answer] | None = None) -> list[tuple[int, float, float | None]]:
    """Search the highest x; `answers` replaces what some trials come to."""

    def fit(batch: list[optuna.Trial]) -> list[Answer]:
        return [(answers or {}).get(trial.number, Answer.of(trial.params["x"])) for trial in batch]

    with open_study(journal, "s") as study:
        search(study, X, [{"x": 0.25}], TuningConfig(trials=trials, batch=2), seed=3, fit=fit, tell=lambda *_: None)
        return [(trial.number, trial.params["x"], trial.value) for trial in over(study)]


def test_what_comes_first_is_tried_first_and_what_follows_is_better(tmp_path: Path) -> None:
    trials = run(tmp_path / "s.journal", 30)
    assert trials[0] == (0, 0.25, 0.25)
    assert [number for number, _, _ in trials] == list(range(30))
    late = [x for _, x, _ in trials[20:]]
    assert sum(late) / len(late) > 0.6  # drawn at random it would be 0.5


def test_the_first_of_equals_is_the_best(tmp_path: Path) -> None:
    journal = tmp_path / "s.journal"
    run(journal, 6, {n: Answer((1.0,)) for n in (2, 4)})
    with open_study(journal, "s") as study:
        assert best_of(study, "v").number == 2


def test_a_value_that_is_no_number_is_a_failure_and_ends_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "s.journal"
    assert Answer.of(math.nan) == Answer(None, "its value on validation is nan")
    trials = run(journal, 4, {1: Answer.of(math.nan)})
    assert [value is None for _, _, value in trials] == [False, True, False, False]


def test_a_search_in_which_all_failed_is_begun_anew_when_the_reason_is_mended(tmp_path: Path) -> None:
    journal, untroubled = tmp_path / "s.journal", run(tmp_path / "other.journal", 4)
    broken = {n: Answer(None, "ImportError: no package") for n in range(4)}
    assert [value for _, _, value in run(journal, 4, broken)] == [None] * 4
    assert run(journal, 4) == untroubled
    assert run(journal, 4, broken) == untroubled  # what succeeded is kept


def test_a_line_that_was_torn_off_does_not_spoil_the_journal(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole.journal", tmp_path / "torn.journal"
    expected = run(whole, 6)
    content = whole.read_bytes()
    torn.write_bytes(content[: len(content) // 2])
    assert not torn.read_bytes().endswith(b"\n")
    assert run(torn, 6) == expected


def test_a_study_that_is_open_is_not_opened_again(tmp_path: Path) -> None:
    journal = tmp_path / "s.journal"
    with open_study(journal, "demo/als"):
        second = open_study(journal, "demo/als")
        with pytest.raises(RuntimeError, match="'demo/als' is being tuned by another process; wait for it, or end it"):
            second.__enter__()
    run(journal, 1)  # free again


@pytest.mark.parametrize(
    ("value", "axis", "can"),
    [
        (0.5, {"low": 0, "high": 1}, True),
        (2, {"low": 0, "high": 1}, False),
        (None, {"low": 0, "high": 1}, False),
        ("a", {"choices": ["a", "b"]}, True),
        (None, {"choices": [None, 3]}, True),
        ("c", {"choices": ["a", "b"]}, False),
        (30, {"low": 10, "high": 50, "step": 20, "integer": True}, True),
        (20, {"low": 10, "high": 50, "step": 20, "integer": True}, False),
        (2.5, {"low": 1, "high": 5, "integer": True}, False),
        (0.75, {"low": 0, "high": 1, "step": 0.5}, False),
    ],
)
def test_what_an_axis_can_be(value: Any, axis: dict[str, Any], can: bool) -> None:
    assert can_be(value, Range(**axis)) is can
