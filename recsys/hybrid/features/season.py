"""When somebody asks: hour and weekday of the moment, and whether the item and the user have theirs."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.hybrid.features.base import DAY, Floats, Group, Past, Rows
from recsys.models.base import State

PARTS = 6
"""Of a day: four hours each."""
PRIOR = 10.0
"""Rows at which an item's season counts half of what it seems."""


class Season(Group):
    """Hour and weekday, UTC, of the moment; lifts of the item at such moments over its usual share."""

    name: ClassVar[str] = "season"

    def _fit(self, past: Past) -> State:
        rows = past.dataset.interactions
        weekday, part, _ = _calendar(rows.time)
        return {
            "weekday_lift": _lifts(rows.item, weekday, past.n_items, 7),
            "part_lift": _lifts(rows.item, part, past.n_items, PARTS),
            "weekend_lift": _lifts(rows.item, weekday // 5, past.n_items, 2),
        }

    def describe(self) -> dict[str, str]:
        """Nine features."""
        return {
            "hour_sin": "sine of the hour of the moment on the clock's circle of 24",
            "hour_cos": "cosine of it",
            "weekday": "weekday of the moment, Monday 0",
            "weekend": "1 on Saturday and Sunday",
            "item_weekday_lift": "log of the item's share of touches on this weekday over everybody's, smoothed",
            "item_hours_lift": "the same for this part of four hours of the day",
            "item_weekend_lift": "the same for weekends or working days",
            "user_weekday_share": "share of the history on this weekday",
            "user_hours_share": "share of the history in this part of the day",
        }

    def compute(self, rows: Rows) -> Floats:
        """(c, 9)."""
        found: Floats = compiled(_described)(
            rows.queries.indptr,
            *_calendar(rows.queries.times)[:2],
            *_calendar(rows.moments),
            *(self.learnt[f"{name}_lift"] for name in ("weekday", "part", "weekend")),
            rows.candidates.indptr,
            rows.item,
        )
        return found


def _described(
    indptr: NDArray[np.int64],
    row_weekday: NDArray[np.int64],
    row_part: NDArray[np.int64],
    weekday: NDArray[np.int64],
    part: NDArray[np.int64],
    hour: NDArray[np.float64],
    weekday_lift: Floats,
    part_lift: Floats,
    weekend_lift: Floats,
    candidate_indptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
) -> Floats:
    found = np.full((len(candidates), 9), np.nan, np.float32)
    for query in range(len(indptr) - 1):
        start, stop, day, time = indptr[query], indptr[query + 1], weekday[query], part[query]
        angle, weekend = 2 * np.pi * hour[query] / 24, day // 5
        same_day = same_part = np.nan
        if stop > start:
            same_day, same_part = (row_weekday[start:stop] == day).mean(), (row_part[start:stop] == time).mean()
        for pair in range(candidate_indptr[query], candidate_indptr[query + 1]):
            of, item = found[pair], candidates[pair]
            of[0], of[1], of[2], of[3] = np.sin(angle), np.cos(angle), day, weekend
            of[4], of[5], of[6] = weekday_lift[item, day], part_lift[item, time], weekend_lift[item, weekend]
            of[7], of[8] = same_day, same_part
    return found


def _calendar(
    time: NDArray[np.datetime64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Weekday (Monday 0), part of the day, and hour with its fraction."""
    second = time.astype("datetime64[s]").astype(np.int64)
    hour = second % DAY / 3_600
    return (second // DAY + 3) % 7, (hour * PARTS // 24).astype(np.int64), hour  # 1970-01-01 was a Thursday


def _lifts(item: NDArray[np.int32], season: NDArray[np.int64], n_items: int, n_seasons: int) -> Floats:
    """(n_items, n_seasons) log((count + prior * share) / ((item's count + prior) * share))."""
    counts = np.bincount(item * np.int64(n_seasons) + season, minlength=n_items * n_seasons)
    table = counts.reshape(n_items, n_seasons).astype(np.float64)
    share = (table.sum(axis=0) + 1) / (table.sum() + n_seasons)
    lift = (table + PRIOR * share) / ((table.sum(axis=1, keepdims=True) + PRIOR) * share)
    return np.asarray(np.log(lift), np.float32)
