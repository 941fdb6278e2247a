"""What a log says of when users come: visits per day, weekdays, days between returns. And its checked rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# visits per day of the median user where the log shows too few returns to tell
MEDIAN_VISITS, MOST_VISITS = 0.22, 10.0

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LogRows:
    """The checked rows of a log; day: whole days since 1970."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    day: NDArray[np.int64]
    weight: Array


def read_log(
    user: NDArray[np.integer],
    item: NDArray[np.integer],
    time: NDArray[np.datetime64],
    weight: NDArray[np.floating] | None,
    n_users: int,
    n_items: int,
) -> LogRows:
    """Return a log's columns as LogRows, or say which column is wrong and how."""
    columns = {"user": np.asarray(user), "item": np.asarray(item), "time": np.asarray(time)}
    columns["weight"] = np.ones(len(columns["user"])) if weight is None else np.asarray(weight, np.float64)
    lengths = {name: column.shape for name, column in columns.items()}
    if len(set(lengths.values())) > 1 or columns["user"].ndim != 1:
        raise ValueError(f"the log's columns must be one-dimensional and equally long, got {lengths}")
    if len(columns["user"]) < 100:
        raise ValueError(f"a world needs a log of at least 100 rows to be fitted, got {len(columns['user'])}")
    for name, count in (("user", n_users), ("item", n_items)):
        numbers = columns[name]
        if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= count:
            raise ValueError(
                f"{name} must hold integers from 0 to {count - 1}, "
                f"got {numbers.dtype} {numbers.min()} to {numbers.max()}"
            )
    if columns["time"].dtype.kind != "M" or np.isnat(columns["time"]).any():
        raise ValueError(f"time must hold datetime64 values without NaT, got {columns['time'].dtype}")
    if not (np.isfinite(columns["weight"]) & (columns["weight"] > 0)).all():
        raise ValueError("weight must be finite and above 0; leave out rows that are no sign of liking")
    return LogRows(
        user=columns["user"].astype(np.int64),
        item=columns["item"].astype(np.int64),
        day=columns["time"].astype("M8[D]").astype(np.int64),
        weight=columns["weight"],
    )


def distinct_pairs(log: LogRows, n_items: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Each (user, item) once, with its weights' sum on a log scale: a held-out pair must not be known from a repeat."""
    pairs, place = np.unique(log.user * n_items + log.item, return_inverse=True)
    return pairs // n_items, pairs % n_items, np.log1p(np.bincount(place, weights=log.weight))


@dataclass(frozen=True, kw_only=True)
class Activity:
    """visits (n,): per day of each user; log_sd: of events per user; level_fitted: False = MEDIAN_VISITS was taken."""

    visits: Array
    log_sd: float
    level_fitted: bool


def activity(log: LogRows, n_users: int) -> Activity:
    """Visits per day of each user: the level from the days between returns, the spread from events per user."""
    events = np.bincount(log.user, minlength=n_users)
    logs = np.log(events[events > 0])
    # the usual gap of each user who came back twice; a pause of months is being away, not a slow rhythm
    who, gaps = _returns(log.user, log.day)
    order = np.lexsort((gaps, who))
    _, first, count = np.unique(who[order], return_index=True, return_counts=True)
    usual = gaps[order][first + count // 2][count >= 2]
    # a median over a handful of the most faithful would say that everybody is
    level_fitted = len(usual) >= max(30, 0.2 * len(logs))
    level = 1.0 / float(np.median(usual)) if level_fitted else MEDIAN_VISITS
    # users without a row in the log are taken as the median user
    multiple = np.exp(np.where(events > 0, np.log(np.maximum(events, 1)) - np.median(logs), 0.0))
    visits = np.minimum(level * multiple, MOST_VISITS)
    return Activity(visits=visits, log_sd=float(logs.std()), level_fitted=level_fitted)


def weekdays(log: LogRows) -> tuple[float, ...] | None:
    """Active users by weekday, Monday first, mean 1; None when there are too few days to tell."""
    days = _user_days(log.user, log.day)[1]
    counts = np.bincount((days + 3) % 7, minlength=7)  # day 0, 1970-01-01, was a Thursday
    if len(days) < 500 or counts.min() == 0 or np.ptp(log.day) < 28:
        return None
    return tuple((7 * counts / counts.sum()).tolist())


def gap_days(user: NDArray[np.int64], day: NDArray[np.int64]) -> tuple[float, float]:
    """Median and 90% quantile of the days between successive active days of a user."""
    gaps = _returns(user, day)[1]
    return (float(np.median(gaps)), float(np.quantile(gaps, 0.9))) if len(gaps) else (np.nan, np.nan)


def _returns(user: NDArray[np.int64], day: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who came back, and after how many days, for each return."""
    who, when = _user_days(user, day)
    same = np.diff(who) == 0
    return who[1:][same], np.diff(when)[same]


def _user_days(user: NDArray[np.int64], day: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each (user, day) with a row, once, by user and day."""
    if not len(day):
        return user, day
    first, span = int(day.min()), int(np.ptp(day)) + 1
    who, since = np.divmod(np.unique(user * span + (day - first)), span)
    return who, since + first
