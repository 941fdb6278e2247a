"""What all lists together do with the catalogue: how much of it they show, and how evenly."""

import numpy as np
from numpy.typing import NDArray

from recsys.metrics.judged import Judged


def coverage(judged: Judged, k: int) -> float:
    """Share of the catalogue that stands in at least one list; NaN without lists or catalogue."""
    shown = _times_shown(judged, k)
    return float(np.count_nonzero(shown) / len(shown)) if len(judged) and len(shown) else float("nan")


def gini(judged: Judged, k: int) -> float:
    """Inequality of how often each item of the whole catalogue is listed: 0 equal, near 1 one item takes all.

    G = 2 sum(i x_i) / (n sum(x)) - (n + 1) / n with x ascending and i from 1; NaN when nothing is listed.
    """
    shown = np.sort(_times_shown(judged, k))
    n, total = len(shown), int(shown.sum())
    if total == 0:
        return float("nan")
    return float(2 * (np.arange(1, n + 1) @ shown) / (n * total) - (n + 1) / n)


def _times_shown(judged: Judged, k: int) -> NDArray[np.int64]:
    items = judged.top(k)
    return np.bincount(items[items >= 0], minlength=judged.n_items).astype(np.int64)
