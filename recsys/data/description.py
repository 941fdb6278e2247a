"""What a data set is like: counts, density, time span, and how unevenly rows spread over users and items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Description:
    """The size and shape of a data set.

    density: distinct (user, item) pairs over all possible ones; first, last: times of the first and last row; kinds:
    rows of each kind; per_user, per_item: quantiles (at QUANTILES) of rows over those who have any; popularity_gini:
    0 = every item has equally many rows, near 1 = one has all; cold_users, cold_items: shares of the vocabularies
    without a row.
    """

    name: str
    fingerprint: str
    n_users: int
    n_items: int
    n_interactions: int
    density: float
    first: np.datetime64
    last: np.datetime64
    days: float
    kinds: dict[str, int]
    per_user: tuple[float, ...]
    per_item: tuple[float, ...]
    popularity_gini: float
    cold_users: float
    cold_items: float
    item_features: tuple[str, ...]
    user_features: tuple[str, ...]

    def rows(self) -> list[tuple[str, str]]:
        """(what, value) pairs for a table that people read."""
        return [
            ("data set", f"{self.name} ({self.fingerprint})"),
            ("users", f"{self.n_users:,} ({self.cold_users:.1%} without a row)"),
            ("items", f"{self.n_items:,} ({self.cold_items:.1%} without a row)"),
            ("interactions", f"{self.n_interactions:,}"),
            ("density", f"{self.density:.3%} of all pairs"),
            ("time", f"{self.first} to {self.last} UTC ({self.days:,.1f} days)"),
            ("kinds", ", ".join(f"{kind} {count:,}" for kind, count in self.kinds.items())),
            ("rows per user", _quantile_text(self.per_user)),
            ("rows per item", _quantile_text(self.per_item)),
            ("popularity Gini", f"{self.popularity_gini:.3f}"),
            ("item features", ", ".join(self.item_features) or "none"),
            ("user features", ", ".join(self.user_features) or "none"),
        ]


def describe(dataset: Dataset) -> Description:
    """Counts, density, time span, and how unevenly rows spread over users and items."""
    rows = dataset.interactions
    per_user = np.bincount(rows.user, minlength=rows.n_users)
    per_item = np.bincount(rows.item, minlength=rows.n_items)
    first, last = (rows.time[0], rows.time[-1]) if len(rows) else (np.datetime64("NaT", "s"),) * 2
    pairs = len(np.unique(rows.user.astype(np.int64) * max(rows.n_items, 1) + rows.item))
    counts = np.bincount(rows.kind, minlength=len(rows.kinds))
    return Description(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        n_users=rows.n_users,
        n_items=rows.n_items,
        n_interactions=len(rows),
        density=_share(pairs, rows.n_users * rows.n_items),
        first=first,
        last=last,
        days=float((last - first) / np.timedelta64(1, "D")) if len(rows) else 0.0,
        kinds=dict(zip(rows.kinds, counts.tolist(), strict=True)),
        per_user=_quantiles(per_user),
        per_item=_quantiles(per_item),
        popularity_gini=gini(per_item),
        cold_users=_share(int((per_user == 0).sum()), rows.n_users),
        cold_items=_share(int((per_item == 0).sum()), rows.n_items),
        item_features=tuple(sorted(dataset.item_features)),
        user_features=tuple(sorted(dataset.user_features)),
    )


def gini(counts: NDArray[np.integer]) -> float:
    """How unequal the counts are: 0 all equal, 1 - 1/n one has everything. NaN without any count.

    >>> gini(np.array([5, 5])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    n, total = len(counts), int(counts.sum())
    if total == 0:
        return float("nan")
    rank = 2 * np.arange(1, n + 1) - n - 1
    return float((rank * np.sort(counts)).sum() / (n * total))


def _quantiles(counts: NDArray[np.int64]) -> tuple[float, ...]:
    counts = counts[counts > 0]
    return tuple(np.quantile(counts, QUANTILES).tolist()) if len(counts) else (float("nan"),) * len(QUANTILES)


def _quantile_text(values: tuple[float, ...]) -> str:
    names = ("least", "25%", "median", "75%", "95%", "most")
    return ", ".join(f"{name} {value:,.0f}" for name, value in zip(names, values, strict=True))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
