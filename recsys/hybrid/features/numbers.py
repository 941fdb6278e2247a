"""Tastes in numbers: where an item's price, year or size stands beside those of a history."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.encoders.parts import suggested
from recsys.hybrid.features.base import Floats, Group, Past, Rows, columns, percentiles, ratio, texts
from recsys.hybrid.features.taste import label_columns, label_shares
from recsys.models.base import State

MOST_COLUMNS = 4


class Numbers(Group):
    """For each numeric column: the item's place in the catalogue, the user's, the gap, and how choosy he is.

    A place is the share of the catalogue that is below: robust against outliers, and the same for any unit.
    """

    name: ClassVar[str] = "numbers"
    wants: ClassVar[str] = "a numeric column of the items, such as `price`"

    def _fit(self, past: Past) -> State:
        features, rows = past.dataset.item_features, past.dataset.interactions
        chosen = [part["params"]["columns"] for part in suggested(features) if part["encoder"] == "attributes"]
        names = [name for name in (chosen[0] if chosen else []) if features[name].dtype.kind in "iufb"][:MOST_COLUMNS]
        words = label_columns(features)
        alike = label_shares(features[words[0]]) if words else np.ones((past.n_items, 1), np.float32)
        state: State = {"columns": texts(names)}
        for place, name in enumerate(names):
            values = features[name].astype(np.float64)
            percentile = percentiles(values)
            touched = percentile[rows.item]
            there = ~np.isnan(percentile)
            mean_alike = ratio(alike.T @ np.where(there, percentile, 0.0), alike.T @ there.astype(np.float64))
            usual = alike @ np.nan_to_num(mean_alike, nan=0.5)
            state[f"{place}.item"] = columns(values, percentile, percentile - usual)
            crowd = touched[~np.isnan(touched)]
            state[f"{place}.crowd"] = np.array([crowd.mean(), crowd.std()] if len(crowd) else [0.5, 0.3], np.float32)
        return state

    def describe(self) -> dict[str, str]:
        """Nine features a column."""
        found: dict[str, str] = {}
        for name in self.learnt["columns"].tolist():
            found |= {
                f"{name}_value": f"the item's {name}",
                f"{name}_percentile": f"share of the catalogue with a lower {name}",
                f"{name}_among_alike": f"the item's {name} percentile minus the usual one of its first label",
                f"{name}_user": f"mean {name} percentile of the history (by weight)",
                f"{name}_gap": f"the item's {name} percentile minus the user's",
                f"{name}_distance": "that gap without its sign, in units of the own spread of the user",
                f"{name}_last_gap": f"the item's {name} percentile minus that of the last item",
                f"{name}_below": f"share of the history with a {name} not above the item's",
                f"{name}_sensitivity": f"how far the user's mean {name} is from everybody's, in standard errors",
            }
        return found

    def compute(self, rows: Rows) -> Floats:
        """(c, 9 n_columns)."""
        parts = [self._column(rows, place) for place in range(len(self.learnt["columns"]))]
        return np.hstack(parts) if parts else np.zeros((len(rows.item), 0), np.float32)

    def _column(self, rows: Rows, place: int) -> Floats:
        table, (crowd_mean, crowd_spread) = self.learnt[f"{place}.item"], self.learnt[f"{place}.crowd"].tolist()
        percentile = table[:, 1].astype(np.float64)
        of_item, of_row = percentile[rows.item], percentile[rows.queries.items]
        mean = rows.mean(of_row, rows.row_weight)
        spread = np.sqrt((rows.mean(of_row**2, rows.row_weight) - mean**2).clip(min=0))
        known = rows.total(~np.isnan(of_row))
        last = np.where(rows.last_item >= 0, percentile[rows.last_item.clip(min=0)], np.nan)
        gap = of_item - mean[rows.query]
        return columns(
            table[rows.item],
            mean[rows.query],
            gap,
            np.abs(gap) / (spread[rows.query] + 0.1),
            of_item - last[rows.query],
            ratio(_not_above(of_row, rows.row_query, of_item, rows.query), known[rows.query]),
            ((mean - crowd_mean) / (max(crowd_spread, 0.01) / np.sqrt(known.clip(min=1))))[rows.query],
        )


def _not_above(
    of_row: NDArray[np.float64],
    row_query: NDArray[np.int64],
    of_item: NDArray[np.float64],
    query: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(c,) rows of the query's history whose value is not above the item's; values are in 0..1."""
    there = ~np.isnan(of_row)
    keys = np.sort(2 * row_query[there] + of_row[there])  # 2 apart: histories never mix
    upto = np.searchsorted(keys, 2 * query + np.where(np.isnan(of_item), 0.0, of_item), side="right")
    before = np.searchsorted(keys, 2 * query - 0.5)
    return np.where(np.isnan(of_item), np.nan, upto - before)
