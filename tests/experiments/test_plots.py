import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from matplotlib.figure import Figure

from experiments import plots
from experiments.board import Cell, Leaderboard
from experiments.home import Home
from experiments.loop import Outcome


@pytest.fixture
def board(line: tuple[Home, Outcome]) -> Leaderboard:
    return line[1].board


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_a_metric_has_one_line_per_variant_with_a_point_at_each_k(board: Leaderboard) -> None:
    figure = plots.metric_by_k(board, "ndcg", [5, 10])
    assert legend(figure) == [row.variant for row in board.standings]
    drawn = figure.axes[0].lines[0].get_ydata()
    assert np.asarray(drawn).tolist() == [board.best.cells[f"ndcg_{k}"].mean for k in (5, 10)]


def test_a_metric_without_an_interval_is_a_point(board: Leaderboard) -> None:
    assert math.isnan(board.best.cells["coverage_10"].low)
    assert legend(plots.trade_off(board, "coverage_10")) == [row.variant for row in board.standings]


def test_an_interval_beside_its_mean_is_drawn_too(board: Leaderboard) -> None:
    """A percentile interval of a skewed metric may leave the mean out; matplotlib refuses a negative reach."""
    odd = replace(board.best, cells={**board.best.cells, "novelty_10": Cell(mean=3.0, low=3.5, high=4.0, n=9)})
    plots.trade_off(replace(board, standings=(odd,)), "novelty_10").canvas.draw()


def test_shares_of_recommendations_end_at_one() -> None:
    popularity = np.array([1, 5, 3])
    figure = plots.popularity_of_lists({"top": np.array([0, 9, 0]), "none": np.zeros(3, np.int64)}, popularity)
    top, none, log = (np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].lines)
    assert top == [1, 1, 1]  # all of it goes to the most popular item
    assert none == [0, 0, 0]
    assert log == pytest.approx([5 / 9, 8 / 9, 1])


def study(n: int) -> optuna.Study:
    made = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(n):
        trial = made.ask()
        made.tell(trial, 3 * trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1))
    return made


def test_a_search_is_drawn_trial_by_trial() -> None:
    figure = plots.search_history(study(6))
    assert len(np.asarray(figure.axes[0].collections[0].get_offsets())) == 6


def test_importance_needs_something_to_say() -> None:
    assert plots.parameter_importance(study(3)) is None
    assert plots.parameter_importance(study(8)) is not None
