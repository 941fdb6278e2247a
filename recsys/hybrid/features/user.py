"""Who asks: how much he did, how long ago, and how he goes about it. The same for all items of a query."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.hybrid.features.base import Floats, Group, Past, Rows, percentiles
from recsys.models.base import State

WINDOWS = (1, 7, 30)
"""Days."""
SESSION_DAYS = 0.5 / 24
"""Half an hour: what came so shortly before the last row belongs to the same visit."""


class Activity(Group):
    """Activity, recency and habits, from the history of the query alone; NaN for a newcomer but for the counts."""

    name: ClassVar[str] = "user"

    def _fit(self, past: Past) -> State:
        popular = percentiles(past.dataset.interactions.item_users.astype(np.float64))
        return {"popular": popular.astype(np.float32)}

    def describe(self) -> dict[str, str]:
        """Sixteen features of the history."""
        return {
            "user_rows": "log(1 + rows of the history)",
            "user_items": "log(1 + distinct items of the history)",
            "user_repeats": "share of the history's rows that touch an item again",
            "user_rows_1d": "log(1 + rows of the last day)",
            "user_rows_7d": "log(1 + rows of the last 7 days)",
            "user_rows_30d": "log(1 + rows of the last 30 days)",
            "user_visit_rows": "log(1 + rows of the last visit: within half an hour of the last row)",
            "user_idle": "log(1 + days since the last row)",
            "user_tenure": "log(1 + days since the first row)",
            "user_gap": "log(1 + mean days between two rows)",
            "user_weight_mean": "mean weight of the rows",
            "user_weight_spread": "standard deviation of the weights",
            "user_weight_last": "weight of the last row",
            "user_mainstream": "mean popularity of the history's items, as a share of the items that are less popular",
            "user_mainstream_last": "popularity of the last item, likewise",
            "user_mainstream_spread": "standard deviation of the popularity of the history's items",
        }

    def compute(self, rows: Rows) -> Floats:
        """(c, 16): computed for the queries, then dealt out to their items."""
        of_query: Floats = compiled(_habits)(
            rows.queries.indptr,
            rows.queries.items,
            rows.queries.weights,
            rows.row_days,
            self.learnt["popular"],
        )
        return of_query[rows.query]


def _habits(
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    days: NDArray[np.float64],
    popular: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(n, 16) the features of each history."""
    found = np.full((len(indptr) - 1, 16), np.nan, np.float32)
    for query in range(len(indptr) - 1):
        start, stop = indptr[query], indptr[query + 1]
        length = stop - start
        of = found[query]
        if length == 0:
            of[:2], of[3:7] = 0, 0
            continue
        ordered = np.sort(items[start:stop])
        distinct = 1 + (ordered[1:] != ordered[:-1]).sum()
        of[0], of[1], of[2] = np.log1p(length), np.log1p(distinct), 1 - distinct / length
        passed, idle, tenure = days[start:stop], days[stop - 1], days[start]
        for place in range(len(WINDOWS)):
            of[3 + place] = np.log1p((passed <= WINDOWS[place]).sum())
        of[6] = np.log1p((passed - idle <= SESSION_DAYS).sum())
        of[7], of[8] = np.log1p(idle), np.log1p(tenure)
        if length > 1:
            of[9] = np.log1p((tenure - idle) / (length - 1))
        weight, known = weights[start:stop].astype(np.float64), popular[items[start:stop]].astype(np.float64)
        of[10], of[11], of[12] = weight.mean(), weight.std(), weight[-1]
        of[13], of[14], of[15] = known.mean(), known[-1], known.std()
    return found
