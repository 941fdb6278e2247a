"""Windows: the same log cut at several moments, each with all that came before it and what came next."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.split import seconds_of, times_of

Length = str | float
"""How much of the log: a duration ("90d", "36h", "2w"), or a share of all rows (0.04)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """One moment: `seen`, all rows before `start`, and `truth`, those from `start` (in) to `end` (out); UTC."""

    start: np.datetime64
    end: np.datetime64
    seen: Dataset
    truth: Dataset


@dataclass(frozen=True, kw_only=True, eq=False)
class Rolling:
    """Windows one after another, oldest first, over the same vocabularies; no row is in the truth of two.

    validation: those to choose parameters on, all before the first of `windows`, which judge; method: how it was cut,
    in words that a run can log.
    """

    method: str
    validation: tuple[Window, ...]
    windows: tuple[Window, ...]


def rolling(
    dataset: Dataset, *, windows: int = 8, every: Length = 0.03, size: Length | None = None, validation: int = 3
) -> Rolling:
    """The last `windows` windows of the log, and the `validation` ones before them; each sees all that came before it.

    every: from the start of one window to that of the next; size: how much of the log a window judges by (None: up to
    the next one). The last window ends with the log. Shares are of all rows, and rows of the same second stay together.
    Known as rolling-origin evaluation (Tashman 2000) or time-series cross-validation with an expanding history.
    """
    for name, number in (("windows", windows), ("validation", validation)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be a whole number >= 1, got {number!r}")
    check_lengths(every, size)
    time = times_of(dataset, "rolling")
    length = every if size is None else size
    method = f"rolling(windows={windows}, every={every}, size={length}, validation={validation})"
    bounds = _bounds(time, windows + validation, every, length, method)
    cut = [_window(dataset, start, end) for start, end in bounds]
    for number, window in enumerate(cut):
        if empty := [part for part in ("seen", "truth") if not len(getattr(window, part).interactions)]:
            which = f"window {number - validation + 1}" if number >= validation else f"validation window {number + 1}"
            what = "nothing before it to learn from" if empty[0] == "seen" else "no rows to judge by"
            raise ValueError(
                f"{method} leaves {which} of {dataset.name!r} ({window.start} to {window.end}) with {what}; the log "
                f"covers {time[0]} to {time[-1]}: choose fewer windows, or shares of the rows instead of durations"
            )
    return Rolling(method=method, validation=tuple(cut[:validation]), windows=tuple(cut[validation:]))


def check_lengths(every: Length, size: Length | None) -> None:
    """Refuse what is no length, lengths of two kinds, and windows that would overlap."""
    for name, value in (("every", every), ("size", every if size is None else size)):
        share = isinstance(value, float) and 0 < value < 1
        if not share and not (isinstance(value, str) and seconds_of(value)):
            raise ValueError(
                f'{name} must be a duration such as "90d" (w, d, h, min, s) or a share of the rows between 0 and 1, '
                f"got {value!r}"
            )
    if size is None:
        return
    if type(every) is not type(size):
        raise ValueError(f"every and size must both be durations or both be shares, got {every!r} and {size!r}")
    if _number(size) > _number(every):
        raise ValueError(
            f"size must be no more than every, got {size!r} and {every!r}: a row would be judged by in two windows"
        )


def _bounds(
    time: NDArray[np.datetime64], n: int, every: Length, size: Length, method: str
) -> list[tuple[np.datetime64, np.datetime64]]:
    """The (start, end) of n windows, oldest first."""
    steps = np.arange(n - 1, -1, -1)
    end = time[-1] + np.timedelta64(1, "s")
    if isinstance(every, str):
        starts = end - (np.rint(steps * _number(every) + _number(size))).astype("timedelta64[s]")
        return [(start, start + np.timedelta64(round(_number(size)), "s")) for start in starts]
    first = len(time) - np.rint(len(time) * (steps * every + _number(size))).astype(np.int64)
    if first[0] < 1:
        raise ValueError(
            f"{method} takes all {len(time):,} rows, none is left to learn from; choose fewer or shorter windows"
        )
    last = np.append(first[1:], len(time))
    if size != every:
        last = np.minimum(first + round(len(time) * _number(size)), last)
    moments = np.append(time, end)
    return [(moments[a], moments[b]) for a, b in zip(first, last, strict=True)]


def _window(dataset: Dataset, start: np.datetime64, end: np.datetime64) -> Window:
    rows = dataset.interactions
    return Window(
        start=start,
        end=end,
        seen=dataset.keep(rows.where(rows.time < start)),
        truth=dataset.keep(rows.where((rows.time >= start) & (rows.time < end))),
    )


def _number(length: Length) -> float:
    return float(length if isinstance(length, float) else seconds_of(length) or 0)
