"""Who asks: how much he did, how long ago, and how he goes about it. The same for all items of a query."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.hybrid.features.base import Floats, Group, Past, Rows, columns, percentiles, ratio
from recsys.models.base import State

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
        n_items = len(self.learnt["popular"])
        length, days, weight = rows.length, rows.row_days, rows.queries.weights.astype(np.float64)
        pairs = np.unique(rows.row_query * n_items + rows.queries.items) // n_items
        distinct = np.bincount(pairs, minlength=len(length))
        filled = np.where(length > 0, 1.0, np.nan)
        first, last = rows.queries.indptr[:-1], (rows.queries.indptr[1:] - 1).clip(min=0)
        ends = [_at(values, place) * filled for values, place in ((days, last), (days, first), (weight, last))]
        idle, tenure, weight_last = ends
        popular = self.learnt["popular"][rows.queries.items].astype(np.float64)
        mean_weight, mean_popular = rows.mean(weight), rows.mean(popular)
        of_query = columns(
            np.log1p(length),
            np.log1p(distinct),
            1 - ratio(distinct, length),
            *(np.log1p(rows.total(days <= window)) for window in (1, 7, 30)),
            np.log1p(rows.total(days - idle[rows.row_query] <= SESSION_DAYS)),
            np.log1p(idle),
            np.log1p(tenure),
            np.log1p(ratio(tenure - idle, np.where(length > 1, length - 1, 0))),
            mean_weight,
            np.sqrt((rows.mean(weight**2) - mean_weight**2).clip(min=0)),
            weight_last,
            mean_popular,
            _at(popular, last) * filled,
            np.sqrt((rows.mean(popular**2) - mean_popular**2).clip(min=0)),
        )
        return of_query[rows.query]


def _at(values: NDArray[np.float64], place: NDArray[np.int64]) -> NDArray[np.float64]:
    """values[place]; anything where there are no values at all."""
    return values[place.clip(max=len(values) - 1)] if len(values) else np.zeros(len(place))
