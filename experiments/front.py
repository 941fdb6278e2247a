"""The Pareto front of a search: the trials that no other beats in everything, and which of them is taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.evaluate import metric_key
from recsys.metrics.definitions import LESS_IS_BETTER

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from experiments.search import Direction


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trial on the front. values: metric (`ndcg_10`) -> its value on validation."""

    trial: int
    values: dict[str, float]
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Front:
    """What a search of several objectives came to.

    objectives: the metrics, the leading one first; points: best first on that one; chosen: the trial whose parameters
    the variant gets; within: how much of the best leading metric it may lose (a share), None: nothing.
    """

    objectives: tuple[str, ...]
    points: tuple[Point, ...]
    chosen: int
    within: float | None

    @property
    def choice(self) -> Point:
        """The point that was chosen."""
        return next(point for point in self.points if point.trial == self.chosen)

    @property
    def rule(self) -> str:
        """How it was chosen, in words."""
        leading, second, *_ = self.objectives
        if self.within is None:
            return f"the best {leading}"
        return f"the best {second} of those that lose at most {100 * self.within:g}% of the best {leading}"

    def cost(self, metric: str) -> float:
        """The chosen point less the best on the leading metric, as a share of that; NaN when that is 0."""
        best, chosen = self.points[0].values[metric], self.choice.values[metric]
        return (chosen - best) / abs(best) if best else float("nan")


def directions(objectives: Sequence[str]) -> "tuple[Direction, ...]":
    """`maximize` or `minimize` for each metric, as its definition says."""
    return tuple("minimize" if metric in LESS_IS_BETTER else "maximize" for metric in objectives)


def front_of(trials: "Sequence[FrozenTrial]", objectives: Sequence[str], k: int, within: float | None) -> Front:
    """The front of one or more complete trials; of those with equal values the first stands for all."""
    names = tuple(metric_key(metric, k) for metric in objectives)
    values = np.array([trial.values for trial in trials], np.float64)
    gains = values * np.where(np.array(directions(objectives)) == "maximize", 1.0, -1.0)
    # best on the leading metric first, then on the others, then by number
    order = np.lexsort((np.array([trial.number for trial in trials]), *-gains.T[::-1]))
    kept = [place for place in order.tolist() if not _beaten(gains, place)]
    chosen = kept[0]
    if within is not None:
        least = gains[chosen, 0] - within * abs(gains[chosen, 0])
        near = [place for place in kept if gains[place, 0] >= least]
        chosen = max(near, key=lambda place: (*gains[place, 1:].tolist(), gains[place, 0]))
    points = [
        Point(trial=trials[place].number, values=dict(zip(names, trials[place].values, strict=True)), params=params)
        for place, params in ((place, dict(trials[place].params)) for place in kept)
    ]
    return Front(objectives=names, points=tuple(points), chosen=trials[chosen].number, within=within)


def _beaten(gains: NDArray[np.float64], place: int) -> bool:
    """Whether another is nowhere worse and somewhere better, or is the same and came first."""
    nowhere_worse = (gains >= gains[place]).all(axis=1)
    better = (gains > gains[place]).any(axis=1)
    return bool((nowhere_worse & better).any() or nowhere_worse[:place].any())
