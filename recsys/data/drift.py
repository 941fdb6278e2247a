"""Drift inside a log: how far its last slice of time is from all before it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions


@dataclass(frozen=True, kw_only=True, eq=False)
class Drift:
    """The last of equally long slices of the log against all earlier ones. NaN where a side has no rows.

    slice_start: the first moment of the last slice; new_users, new_items: shares of the slice's users and items that
    never appeared before; new_item_rows: share of its rows on such items; popularity_psi: population stability index
    of the rows over ten groups of items with equally many earlier rows each; weekly_rows: rows of each full week from
    the first row on; weekly_psi: stability index of these against an even spread.
    """

    slice_start: np.datetime64
    new_users: float
    new_items: float
    new_item_rows: float
    popularity_psi: float
    weekly_rows: tuple[int, ...]
    weekly_psi: float


def measure_drift(rows: Interactions, *, slices: int = 4) -> Drift:
    """The last of `slices` equally long slices of time against all before it."""
    if slices < 2:
        raise ValueError(f"slices must be >= 2, got {slices}")
    if len(rows) == 0 or rows.time[0] == rows.time[-1]:
        nan = float("nan")
        return Drift(
            slice_start=np.datetime64("NaT", "s"),
            new_users=nan,
            new_items=nan,
            new_item_rows=nan,
            popularity_psi=nan,
            weekly_rows=(),
            weekly_psi=nan,
        )
    seconds = (rows.time - rows.time[0]).astype(np.int64)
    start = -(-int(seconds[-1]) * (slices - 1) // slices)  # rounded up: the last slice is never the longer one
    cut = int(np.searchsorted(seconds, start))
    weekly = np.bincount(seconds // 604_800)[:-1]  # the last week is cut short
    return Drift(
        slice_start=rows.time[0] + np.timedelta64(start, "s"),
        new_users=_new(rows.user, cut)[0],
        new_items=_new(rows.item, cut)[0],
        new_item_rows=_new(rows.item, cut)[1],
        popularity_psi=_popularity_psi(rows.item, cut, rows.n_items),
        weekly_rows=tuple(weekly.tolist()),
        weekly_psi=psi(np.ones(len(weekly)), weekly) if len(weekly) > 1 else float("nan"),
    )


def psi(expected: NDArray[np.number], actual: NDArray[np.number]) -> float:
    """Population stability index of two histograms over the same bins: sum (a - e) log(a / e) over shares.

    Half a row is added to each bin, so that an empty one is a large shift and not an infinite one.

    >>> psi(np.array([10, 20]), np.array([100, 200])) < 0.001
    True
    """
    e = (expected + 0.5) / (expected + 0.5).sum()
    a = (actual + 0.5) / (actual + 0.5).sum()
    return float(((a - e) * np.log(a / e)).sum())


def _new(numbers: NDArray[np.int32], cut: int) -> tuple[float, float]:
    """The share of distinct numbers, and of rows, from `cut` on that do not appear before it."""
    if cut == len(numbers):
        return float("nan"), float("nan")
    late, rows = np.unique(numbers[cut:], return_counts=True)
    new = ~np.isin(late, numbers[:cut])
    return float(new.mean()), float(rows[new].sum() / rows.sum())


def _popularity_psi(item: NDArray[np.int32], cut: int, n_items: int, groups: int = 10) -> float:
    """PSI over groups of items, most popular first, that hold equally many of the earlier rows each."""
    if not 0 < cut < len(item):
        return float("nan")
    before, after = (np.bincount(side, minlength=n_items) for side in (item[:cut], item[cut:]))
    order = np.argsort(-before, kind="stable")
    reached = np.cumsum(before[order]) - before[order]  # earlier rows on more popular items
    group = np.minimum(reached * groups // cut, groups - 1)
    return psi(
        np.bincount(group, weights=before[order], minlength=groups),
        np.bincount(group, weights=after[order], minlength=groups),
    )
