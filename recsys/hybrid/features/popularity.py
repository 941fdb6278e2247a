"""How an item fares with everybody: in windows, as a trend, with age. The same for all queries."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.hybrid.features.base import Floats, Group, Past, Rows, columns, percentiles, ratio, texts
from recsys.models.base import State

WINDOWS = (1, 7, 30, 90)
HALF_LIVES = (3, 14, 60)
TRENDS = ((1, 7), (7, 30), (30, 90))
"""Days."""
PRIOR = 5.0
"""Rows that a share or a trend is smoothed by."""


class Popularity(Group):
    """Touches of each item in windows before the cutoff, its trend, age and how deep people go with it."""

    name: ClassVar[str] = "popularity"

    def _fit(self, past: Past) -> State:
        rows, n, age = past.dataset.interactions, past.n_items, past.age_days

        def count(weights: NDArray[np.floating] | NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
            return np.bincount(rows.item, weights, minlength=n).astype(np.float64)

        touches, users = count(), rows.item_users.astype(np.float64)
        within = {days: count(age <= days) for days in WINDOWS}
        oldest, newest = np.full(n, -np.inf), np.full(n, np.inf)
        np.maximum.at(oldest, rows.item, age)
        np.minimum.at(newest, rows.item, age)
        ends = [np.log1p(np.where(touches > 0, end, np.nan)) for end in (oldest, newest)]
        weight = float(rows.weight.mean()) if len(rows) else 0.0
        kinds = [count(rows.kind == kind) for kind in range(1, len(rows.kinds))]
        shares = [(of + PRIOR * of.sum() / touches.sum()) / (touches + PRIOR) for of in kinds]
        table = columns(
            np.log1p(users),
            np.log1p(touches),
            ratio(touches, users),
            percentiles(users),
            *(np.log1p(counts) for counts in within.values()),
            *(np.log1p(count(0.5 ** (age / half_life))) for half_life in HALF_LIVES),
            *(_trend(within[short], within[long], short / long) for short, long in TRENDS),
            *ends,
            (count(rows.weight) + PRIOR * weight) / (touches + PRIOR),
            ratio(count(age), touches),
            *shares,
        )
        return {"item": table, "kinds": texts(rows.kinds[1:])}

    def describe(self) -> dict[str, str]:
        """Eighteen features, and one for each kind of interaction but the first."""
        found = {
            "item_users": "log(1 + users who touched the item)",
            "item_touches": "log(1 + touches of the item)",
            "item_touches_per_user": "touches by each user who touched it",
            "item_percentile": "share of the catalogue that fewer users touched",
        }
        found |= {f"item_touches_{days}d": f"log(1 + touches in the last {days} days)" for days in WINDOWS}
        found |= {f"item_decayed_{days}d": f"log(1 + touches, each half for {days} days of age)" for days in HALF_LIVES}
        for short, long in TRENDS:
            found[f"item_trend_{short}d_{long}d"] = f"log of the daily rate of {short} days over that of {long} days"
        found |= {
            "item_age": "log(1 + days since its first touch)",
            "item_idle": "log(1 + days since its last touch)",
            "item_weight": f"mean weight of its touches, with {PRIOR:g} average ones added",
            "item_touch_age": "mean days since its touches",
        }
        return found | {
            f"item_share_{kind}": f"share of its touches that are a {kind}" for kind in self.learnt["kinds"]
        }

    def compute(self, rows: Rows) -> Floats:
        """(c, 18 + kinds - 1)."""
        return np.asarray(self.learnt["item"][rows.item], np.float32)


def _trend(short: NDArray[np.float64], long: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return np.asarray(np.log((short + PRIOR * share) / (long + PRIOR)) - np.log(share))
