"""Drift of slates: what a version shows today against what it showed its own training users. Pure."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from experiments.package import Package
from experiments.slates import fallbacks, numbers_of

LEAST = 200
"""Slates below which nothing is said."""
GROUPS = 10


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One measure. value: how far today is from training, NaN where it cannot be told, and `reason` says why.

    alarm: the value from which somebody should look.
    """

    name: str
    value: float
    alarm: float
    reason: str = ""

    @property
    def alarming(self) -> bool:
        """Whether somebody should look."""
        return self.value > self.alarm


def slate_drift(
    package: Package, slates: pa.Table, *, rng: np.random.Generator, sample: int = 500
) -> tuple[Drift, ...]:
    """Four measures of the slates (schema EXPOSURES) of one version.

    scores: Kolmogorov-Smirnov distance of the models' scores; popularity: stability index of the shown items over ten
    groups of items that were shown equally often to training users (0.25 is what credit scoring calls a shift);
    newcomers: the share of units that the version does not know; fallbacks: the share of slates that another model, or
    the package's own fallback, filled in part or whole.
    """
    n = len(slates)
    if n < LEAST:
        few = f"{n} slates, at least {LEAST} are needed"
        limits = (("scores", 0.2), ("popularity", 0.25), ("newcomers", 0.3), ("fallbacks", 0.3))
        return tuple(Drift(name=name, value=float("nan"), alarm=alarm, reason=few) for name, alarm in limits)
    units = np.asarray(slates["unit"].to_pylist(), dtype=np.str_)
    numbers = numbers_of(slates, package.items)
    usual = _training_slates(package, numbers.shape[1], sample, rng)
    filled = fallbacks(slates)
    # what a fallback showed says nothing of the model
    now = numbers[~filled], _scores(slates.filter(pa.array(~filled)))
    return (
        _distance(usual[1], now[1]),
        _shift(usual[0], now[0]),
        Drift(name="newcomers", value=float((package.users.numbers(units) < 0).mean()), alarm=0.3),
        Drift(name="fallbacks", value=float(filled.mean()), alarm=0.3),
    )


def stability_index(expected: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """The population stability index of two counts over the same groups: sum of (p - q) ln(p / q).

    Half a count is added to each group, so that an empty one is far but not infinitely far.

    >>> round(stability_index(np.array([50, 50]), np.array([50, 50])), 3)
    0.0
    >>> round(stability_index(np.array([50, 50]), np.array([90, 10])), 2)
    0.85
    """
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (expected, found))
    return float(((p - q) * np.log(p / q)).sum())


def _training_slates(
    package: Package, k: int, sample: int, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(items (n, k), scores) that the version gives a sample of the users of its histories."""
    known = np.unique(package.histories.user)
    chosen = rng.choice(known, size=min(sample, len(known)), replace=False)
    lists = package.answer(chosen.astype(np.int32), max(k, 1))
    own = ~lists.fallback
    scores = lists.scores[own].astype(np.float64).ravel()
    return lists.items[own], scores[np.isfinite(scores)]


def _scores(slates: pa.Table) -> NDArray[np.float64]:
    flat = np.asarray(slates["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return flat[np.isfinite(flat)]


def _distance(usual: NDArray[np.float64], now: NDArray[np.float64]) -> Drift:
    if not len(usual) or not len(now):
        return Drift(name="scores", value=float("nan"), alarm=0.2, reason="no slate has scores of the model itself")
    points = np.unique(np.concatenate([usual, now]))
    gap = _share_below(usual, points) - _share_below(now, points)
    return Drift(name="scores", value=float(np.abs(gap).max()), alarm=0.2)


def _share_below(values: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.searchsorted(np.sort(values), points, side="right") / len(values))


def _shift(usual: NDArray[np.int32], now: NDArray[np.int32]) -> Drift:
    shown, today = usual[usual >= 0], now[now >= 0]
    if not len(shown) or not len(today):
        return Drift(name="popularity", value=float("nan"), alarm=0.25, reason="no slate is the model's own")
    counts = np.bincount(shown, minlength=int(max(shown.max(), today.max())) + 1)
    order = np.argsort(-counts, kind="stable")  # most shown first; ties by item number
    group = np.empty(len(counts), np.int64)
    before = np.concatenate([[0], np.cumsum(counts[order])[:-1]])
    group[order] = np.minimum(before * GROUPS // max(int(counts.sum()), 1), GROUPS - 1)
    expected, found = (np.bincount(group[items], minlength=GROUPS) for items in (shown, today))
    return Drift(name="popularity", value=stability_index(expected, found), alarm=0.25)
