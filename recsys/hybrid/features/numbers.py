"""Tastes in numbers: where an item's price, year or size stands beside those of a history."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
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
        found: Floats = compiled(_described)(
            rows.queries.indptr,
            rows.queries.items,
            rows.row_weight,
            self.learnt[f"{place}.item"],
            self.learnt[f"{place}.crowd"].astype(np.float64),
            rows.candidates.indptr,
            rows.item,
        )
        return found


def _described(
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    weight: NDArray[np.float64],
    table: Floats,
    crowd: NDArray[np.float64],
    candidate_indptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
) -> Floats:
    """(c, 9) the features of each candidate in one numeric column; table: (n_items, 3) its value and percentiles."""
    found = np.full((len(candidates), 9), np.nan, np.float32)
    for query in range(len(indptr) - 1):
        start, stop = indptr[query], indptr[query + 1]
        values, known = np.empty(stop - start), 0
        total = mean = spread = 0.0
        for row in range(start, stop):  # mean and spread in one pass (Welford 1962, West 1979)
            value = np.float64(table[items[row], 1])
            if np.isnan(value):
                continue
            values[known] = value
            known += 1
            if weight[row] > 0:
                total += weight[row]
                step = value - mean
                mean += step * weight[row] / total
                spread += weight[row] * step * (value - mean)
        if total == 0:
            mean = spread = np.nan
        else:
            spread = np.sqrt(max(spread / total, 0.0))
        ordered = np.sort(values[:known])
        last = np.float64(table[items[stop - 1], 1]) if stop > start else np.nan
        choosy = (mean - crowd[0]) / (max(crowd[1], 0.01) / np.sqrt(max(known, 1)))
        for pair in range(candidate_indptr[query], candidate_indptr[query + 1]):
            of, own = found[pair], table[candidates[pair]]
            value = np.float64(own[1])
            of[:3] = own
            of[3], of[4], of[5], of[6] = mean, value - mean, abs(value - mean) / (spread + 0.1), value - last
            if known and not np.isnan(value):
                of[7] = np.searchsorted(ordered, value, side="right") / known
            of[8] = choosy
    return found
