"""The plots that are kept with a bake-off's run: values in, matplotlib figures out."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from experiments.backtest_board import Backtest
from experiments.board import Cell, Leaderboard
from experiments.front import Front
from experiments.search import value_of

SIZE = (8.0, 4.5)


def metric_by_k(board: Leaderboard, metric: str, ks: Sequence[int]) -> Figure:
    """One line per variant: the metric at each cut-off, with its interval."""
    figure, axes = _figure(f"{metric} at k", "k", metric)
    for row in board.standings:
        cells = [row.cells[f"{metric}_{k}"] for k in ks]
        means = np.array([cell.mean for cell in cells])
        axes.errorbar(ks, means, yerr=_spread(cells), marker="o", capsize=3, label=row.variant)
    axes.set_xticks(list(ks))
    axes.legend()
    return figure


def trade_off(board: Leaderboard, against: str) -> Figure:
    """Accuracy upwards, `against` (such as `diversity_10`) to the right: up and right is better on both."""
    figure, axes = _figure(f"{board.metric} against {against}", against, board.metric)
    for row in board.standings:
        x, y = row.cells[against], row.cells[board.metric]
        axes.errorbar(
            [x.mean],
            [y.mean],
            xerr=_spread([x]),
            yerr=_spread([y]),
            marker="o",
            capsize=3,
            label=row.variant,
        )
    axes.legend()
    return figure


def popularity_of_lists(recommended: Mapping[str, NDArray[np.int64]], popularity: NDArray[np.int64]) -> Figure:
    """For each variant, the share of its recommendations that goes to the most popular items, cumulatively.

    recommended: variant -> (n_items,) how often each item was recommended; popularity: (n_items,) users per item.
    A line far above the log's own (dashed) favours what is popular already.
    """
    figure, axes = _figure("Popularity of what is recommended", "items, most popular first", "cumulative share")
    order = np.argsort(-popularity, kind="stable")
    rank = np.arange(1, len(order) + 1)
    for variant, counts in recommended.items():
        axes.plot(rank, np.cumsum(counts[order]) / max(counts.sum(), 1), label=variant)
    axes.plot(rank, np.cumsum(popularity[order]) / max(popularity.sum(), 1), "k--", label="the log")
    axes.set_xscale("log")
    axes.legend()
    return figure


def by_window(found: Backtest) -> Figure:
    """One line per variant: its mean in each window; below, by how much the best of all is ahead of the other."""
    figure = Figure(figsize=(SIZE[0] * 1.25, SIZE[1] * 1.5), layout="tight")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    places = range(len(found.windows))
    for number, line in enumerate(found.lines):
        style = ("-", "--", ":")[number // 10 % 3]  # colours come again after ten
        means = [window.means[line.variant] for window in found.windows]
        above.plot(places, means, marker="o", linestyle=style, label=line.variant)
    above.set(title=f"{found.name}: {found.metric} by window", ylabel=found.metric)
    above.legend(loc="upper left", bbox_to_anchor=(1, 1))  # beside the lines, which fill the whole height
    if (lead := found.lead) is not None:
        differences = [window.means[lead.variant] - window.means[lead.other] for window in found.windows]
        below.bar(places, differences, color=["C0" if each > 0 else "C3" for each in differences])
        below.axhspan(lead.low, lead.high, alpha=0.2, label=f"over all, {found.level:.0%} interval")
        below.set(ylabel=f"{lead.variant} - {lead.other}")
        below.legend(loc="upper left", bbox_to_anchor=(1, 1))
    below.set_xticks(places, [window.start[:10] for window in found.windows], rotation=45)
    for axes in (above, below):
        axes.grid(alpha=0.3)
    return figure


def search_history(study: optuna.Study) -> Figure:
    """The value of every trial in the order they were drawn, and the best so far; of the leading objective."""
    return _optuna(optuna.visualization.matplotlib.plot_optimization_history, study)


def parameter_importance(study: optuna.Study) -> Figure | None:
    """How much of the differences between trials each parameter explains; None when there is too little to say."""
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    varied = {name for trial in done for name in trial.params}
    if len(done) < 4 or len(varied) < 2 or len({value_of(trial) for trial in done}) < 2:
        return None
    return _optuna(optuna.visualization.matplotlib.plot_param_importances, study)


def pareto_front(front: Front, trials: Sequence[FrozenTrial], variant: str) -> Figure:
    """The leading metric upwards, each other objective to the right: all trials, the front, and the one chosen."""
    leading, *others = front.objectives
    figure = Figure(figsize=(SIZE[0], SIZE[1] * len(others)), layout="tight")
    for place, (axes, other) in enumerate(zip(figure.subplots(len(others), squeeze=False)[:, 0], others, strict=True)):
        axes.set(title=f"{variant}: {leading} against {other} on validation", xlabel=other, ylabel=leading)
        axes.grid(alpha=0.3)
        values = np.array([trial.values for trial in trials])
        axes.plot(values[:, place + 1], values[:, 0], "o", color="lightgrey", label="trials")
        x, y = ([point.values[metric] for point in front.points] for metric in (other, leading))
        axes.plot(x, y, "o-" if len(others) == 1 else "o", label="the front")
        chosen = front.choice.values
        axes.plot(chosen[other], chosen[leading], "*", markersize=16, label=f"chosen: trial {front.chosen}")
        axes.legend()
    return figure


def _spread(cells: Sequence[Cell]) -> NDArray[np.float64]:
    """(2, n) how far the intervals reach below and above; never below 0, which matplotlib refuses."""
    reach = np.array([[cell.mean - cell.low for cell in cells], [cell.high - cell.mean for cell in cells]])
    return np.asarray(np.maximum(reach, 0.0))


def _optuna(draw: object, study: optuna.Study) -> Figure:
    assert callable(draw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its matplotlib plots experimental at every use
        leading = {} if len(study.directions) == 1 else {"target": value_of, "target_name": "leading metric"}
        axes: Axes = draw(study, **leading)
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.set_size_inches(*SIZE)
    figure.set_layout_engine("tight")
    return figure


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="tight")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes
