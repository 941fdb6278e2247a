"""The offline leaderboard as values: what the CLI prints, MLflow keeps and the dashboard shows."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from experiments.front import Front
from recsys.scorecard import Part


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The mean of a metric over users, with its bootstrap interval; n: how many users have a value."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A variant against the best one: mean difference per user (variant - best), interval, p adjusted by Holm."""

    difference: float
    low: float
    high: float
    p_value: float
    share_better: float
    share_worse: float


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One variant's row. cells: metric name (`ndcg_10`) -> value; version: its number in the registry, if it has one.

    tied: it cannot be told apart from the best on the leading metric; rival: None for the best itself; front: what its
    search of several objectives came to, on validation; note: what to know of its fit, "" when there is nothing;
    slices: the leading metric for users of whom little or much was known, and for new and rare items.
    """

    variant: str
    model: str
    run_id: str
    version: int | None
    params: dict[str, Any]
    cells: dict[str, Cell]
    tied: bool
    rival: Rival | None
    trials: int
    fit_seconds: float
    score_seconds: float
    front: Front | None = None
    note: str = ""
    slices: tuple[Part, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The variants of one bake-off, best first on `metric`, all tuned and scored on the same data and split."""

    name: str
    metric: str
    run_id: str
    dataset: str
    fingerprint: str
    split: str
    users: int
    seed: int
    package_version: str
    revision: str
    at: datetime
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> Standing:
        """The winner offline."""
        return self.standings[0]

    def standing(self, variant: str) -> Standing:
        """The row of one variant."""
        for row in self.standings:
            if row.variant == variant:
                return row
        known = ", ".join(row.variant for row in self.standings)
        raise LookupError(f"no variant {variant!r} on the leaderboard of {self.name!r}; it has: {known}")

    def resolve(self, name: str) -> str:
        """A variant's name from `best`, `runner_up` or itself."""
        places = {"best": 0, "runner_up": min(1, len(self.standings) - 1)}
        return self.standings[places[name]].variant if name in places else self.standing(name).variant
