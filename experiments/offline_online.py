"""Did the offline promise come true? Offline differences of finished experiments against their measured lifts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from abtest.analysis.decide import complete
from abtest.types import Comparison
from experiments.board import Leaderboard, Standing
from experiments.promote import version_of
from experiments.store import Definition, Record
from recsys.metrics.definitions import LESS_IS_BETTER

LEVEL = 0.95
FEW = 5
"""Experiments below which no correlation is given: of four points in a row, one in 24 orders agrees by luck alone."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Treatment less control on one offline metric; low, high: its interval over users, NaN where it has none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """One comparison of a finished experiment: what was promised offline, and what was measured.

    metric: the primary metric measured; lift, low, high: its relative change, positive when wanted; sure: whether the
    interval leaves 0 out.
    """

    experiment: str
    title: str
    control: str
    treatment: str
    metric: str
    lift: float
    low: float
    high: float
    offline: Mapping[str, Difference]

    @property
    def sure(self) -> bool:
        """Whether the measured lift is beyond chance."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """How well one offline metric foretold the lift, over n comparisons.

    rank: Spearman's correlation with its interval (Bonett and Wright 2000), NaN below FEW; agree: of the `decided`
    comparisons whose lift is sure, those with the offline sign, with Wilson's interval of the share.
    """

    metric: str
    n: int
    rank: float
    rank_low: float
    rank_high: float
    agree: int
    decided: int
    share: float
    share_low: float
    share_high: float


@dataclass(frozen=True, kw_only=True)
class History:
    """Every comparison that can be held against its promise, and why the others cannot: experiment -> reason."""

    points: tuple[Point, ...]
    left_out: Mapping[str, str]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The offline metrics that any comparison has, in the order of the leaderboards."""
        return tuple(dict.fromkeys(name for point in self.points for name in point.offline))


def unfinished(record: Record) -> str:
    """Why an experiment has no measured lift to compare with yet; empty when it has one."""
    readout, decision = record.readout, record.decision
    if readout is None:
        return "not analysed yet"
    if readout.srm.alarm or (decision is not None and decision.verdict == "invalid"):
        return "invalid: its lift must not be read"
    over = record.definition.experiment.status in ("stopped", "decided", "archived")
    return "" if over or complete(readout) else "still running"


def points(record: Record, boards: Mapping[int, Leaderboard]) -> tuple[Point, ...]:
    """The comparisons of one finished experiment; boards: registered version -> the leaderboard it came from.

    ValueError where promise and measurement cannot be held against each other.
    """
    definition, readout = record.definition, record.readout
    assert readout is not None, "only a finished experiment has points"
    control = readout.control
    found = [
        _point(definition, control, comparison, _offline(definition, control, comparison.variant, boards))
        for comparison in _primaries(readout.effects)
    ]
    if not found:
        raise ValueError("no primary metric has a measured lift")
    return tuple(found)


def predictions(points: Sequence[Point]) -> tuple[Prediction, ...]:
    """Each offline metric's record, the best first: by rank correlation, else by sign agreement."""
    names = dict.fromkeys(name for point in points for name in point.offline)
    found = [_prediction(name, [point for point in points if name in point.offline]) for name in names]
    return tuple(sorted(found, key=lambda one: (-_or_least(one.rank), -_or_least(one.share))))


def lengths(points: Sequence[Point]) -> list[int]:
    """The list lengths k at which offline metrics were measured (`ndcg_10`)."""
    tails = {name.rpartition("_")[2] for point in points for name in point.offline}
    return sorted(int(tail) for tail in tails if tail.isdigit())


def at_length(points: Sequence[Point], k: int) -> tuple[Point, ...]:
    """The points with the offline metrics at one list length only: those at others tell the same story again."""
    return tuple(
        replace(point, offline={name: gap for name, gap in point.offline.items() if name.endswith(f"_{k}")})
        for point in points
    )


def verdict(points: Sequence[Point], found: Sequence[Prediction], spelled: Callable[[str], str] = str) -> str:
    """What may be concluded, in a sentence or two; spelled: how a metric is called."""
    n = len(points)
    if n == 0:
        return "No finished experiment can be held against its offline promise yet."
    if n < FEW:
        return (
            f"Only {n} comparison{'s' * (n > 1)}: too few to say which offline metric predicts the lift. "
            f"From {FEW} on a rank correlation is given; a trustworthy one takes dozens."
        )
    if not found:
        return "The experiments share no offline metric."
    best = found[0]
    if math.isnan(best.rank):
        return "The lifts or the offline differences do not vary, so nothing can be said about their order."
    leads = [other for other in found if other is not best and other.rank_high >= best.rank]
    also = f" The data cannot tell it from {len(leads)} other metric{'s' * (len(leads) > 1)}." if leads else ""
    sure = "" if best.rank_low > 0 else " Its interval holds 0: this may be luck."
    return (
        f"Of {len(found)} offline metrics, {spelled(best.metric)} has predicted best so far (rank correlation "
        f"{best.rank:.2f} over {best.n} comparisons).{also}{sure} The best of many looks better than it is."
    )


def spearman_interval(rank: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Fisher's z with the variance of Bonett and Wright (2000), (1 + r^2 / 2) / (n - 3).

    >>> [round(end, 2) for end in spearman_interval(0.5, 30)]
    [0.15, 0.74]
    """
    if n <= 3 or math.isnan(rank):
        return math.nan, math.nan
    z = float(special.ndtri(0.5 + level / 2.0)) * math.sqrt((1.0 + rank**2 / 2.0) / (n - 3))
    middle = math.atanh(max(min(rank, 1.0 - 1e-12), -1.0 + 1e-12))
    return math.tanh(middle - z), math.tanh(middle + z)


def wilson_interval(agree: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share.

    >>> [round(end, 2) for end in wilson_interval(7, 8)]
    [0.53, 0.98]
    """
    if n == 0:
        return math.nan, math.nan
    interval = stats.binomtest(agree, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def differences(control: Standing, treatment: Standing) -> dict[str, Difference]:
    """Treatment less control on every metric both have, from the leaderboard alone: without intervals."""
    shared = [name for name in treatment.cells if name in control.cells]
    gaps = {name: treatment.cells[name].mean - control.cells[name].mean for name in shared}
    return {
        name: Difference(value=_turned(name, gap), low=math.nan, high=math.nan)
        for name, gap in gaps.items()
        if math.isfinite(gap)
    }


def paired_differences(
    control: Mapping[str, NDArray[np.float64]], treatment: Mapping[str, NDArray[np.float64]], level: float = LEVEL
) -> dict[str, Difference]:
    """The same from values user by user, the users in one order: the mean of the gaps with a normal interval."""
    found = {}
    for name in treatment:
        if name not in control:
            continue
        gaps = treatment[name] - control[name]
        gaps = gaps[np.isfinite(gaps)]
        if len(gaps) < 2:
            continue
        mean, half = float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps)))
        reach = half * float(special.ndtri(0.5 + level / 2.0))
        found[name] = Difference(value=mean, low=mean - reach, high=mean + reach)
    return found


def _primaries(effects: Sequence[Comparison]) -> list[Comparison]:
    return [one for one in effects if one.metric.role == "primary" and math.isfinite(one.effect.relative)]


def _offline(
    definition: Definition, control: str, treatment: str, boards: Mapping[int, Leaderboard]
) -> dict[str, Difference]:
    versions = [version_of(definition, name) for name in (control, treatment)]
    missing = [f"v{version}" for version in versions if version not in boards]
    if missing:
        raise ValueError(f"{' and '.join(missing)} of {definition.model} came from no leaderboard")
    one, other = (boards[version] for version in versions)
    # numbers of another split or another data set are no common ground
    if (one.fingerprint, one.split) != (other.fingerprint, other.split):
        raise ValueError("its variants were judged offline on different data or splits")
    rows = [_row(board, version) for board, version in zip((one, other), versions, strict=True)]
    return differences(*rows)


def _row(board: Leaderboard, version: int) -> Standing:
    for row in board.standings:
        if row.version == version:
            return row
    raise ValueError(f"v{version} is on no leaderboard")


def _point(definition: Definition, control: str, comparison: Comparison, offline: dict[str, Difference]) -> Point:
    effect, wanted = comparison.effect, 1.0 if comparison.metric.direction == "increase" else -1.0
    low, high = sorted(wanted * end for end in effect.relative_ci)
    return Point(
        experiment=definition.experiment.key,
        title=definition.title or definition.experiment.key,
        control=control,
        treatment=comparison.variant,
        metric=comparison.metric.name,
        lift=wanted * effect.relative,
        low=low,
        high=high,
        offline=offline,
    )


def _prediction(metric: str, points: Sequence[Point]) -> Prediction:
    offline = np.array([point.offline[metric].value for point in points])
    lifts = np.array([point.lift for point in points])
    rank = _rank(offline, lifts)
    low, high = spearman_interval(rank, len(points))
    sure = np.array([point.sure for point in points], dtype=np.bool_) & (offline != 0)
    agree = int((np.sign(offline) == np.sign(lifts))[sure].sum())
    share_low, share_high = wilson_interval(agree, int(sure.sum()))
    return Prediction(
        metric=metric,
        n=len(points),
        rank=rank,
        rank_low=low,
        rank_high=high,
        agree=agree,
        decided=int(sure.sum()),
        share=agree / int(sure.sum()) if sure.any() else math.nan,
        share_low=share_low,
        share_high=share_high,
    )


def _rank(offline: NDArray[np.float64], lifts: NDArray[np.float64]) -> float:
    if len(lifts) < FEW or np.ptp(offline) == 0 or np.ptp(lifts) == 0:
        return math.nan
    return float(stats.spearmanr(offline, lifts).statistic)


def _turned(name: str, gap: float) -> float:
    return -gap if name.rpartition("_")[0] in LESS_IS_BETTER or name in LESS_IS_BETTER else gap


def _or_least(value: float) -> float:
    return -math.inf if math.isnan(value) else value
