"""Splits: what a model may see, what it is tuned on, what it is judged on."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import lookup
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_parameters
from recsys.data.problems import DataError

Cut = str | float | date
"""How much goes into a part: a duration ("14d", "36h", "90min", "2w"), a share of the rows (0.1), or its first day."""

SPLITS = {
    "temporal": "recsys.data.split:temporal",
    "leave_last_out": "recsys.data.split:leave_last_out",
    "random_holdout": "recsys.data.split:random_holdout",
    "given": "recsys.data.split:given",
}
"""The ways to cut, by name."""

UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "min": 60, "s": 1}
"""Seconds."""
TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Three data sets over the same vocabularies and features, disjoint in their interactions.

    method: how it was cut, in words that a run can log; cutoffs: the starts of validation and test as ISO times, for
    temporal splits, else empty.
    """

    method: str
    train: Dataset
    validation: Dataset
    test: Dataset
    cutoffs: tuple[str, ...] = ()

    def refit(self) -> Dataset:
        """Train and validation together: what the tuned model is fitted on before the one look at the test."""
        return self.train.keep(self.train.interactions + self.validation.interactions)


def split(dataset: Dataset, method: str, **params: Any) -> Split:
    """The split that SPLITS registers under `method`; an unknown parameter is refused by name."""
    function = lookup(SPLITS, method, "split")
    check_parameters(function, params, f"split {method!r}", given=1)
    cut: Split = function(dataset, **params)
    return cut


def temporal(dataset: Dataset, *, validation: Cut = 0.1, test: Cut = 0.1) -> Split:
    """Cut at two moments that hold for everybody: train before the first, test from the second on.

    A duration counts back from the end of the log (test) or from the start of the test (validation); a share is of
    all rows, and rows of the same second stay together; a date or time is the part's first moment, UTC.
    """
    time = times_of(dataset, "temporal")
    test_start = _start(test, time, len(time), "test")
    validation_start = _start(validation, time[time < test_start], len(time), "validation", end=test_start)
    if validation_start >= test_start:
        raise ValueError(f"validation starts at {validation_start}, it must start before the test at {test_start}")
    part = (time >= validation_start).astype(np.int8) + (time >= test_start)
    cutoffs = (str(validation_start), str(test_start))
    method = f"temporal(validation={validation}, test={test})"
    return _parts(dataset, part, method, cutoffs, cure=f"the log covers {time[0]} to {time[-1]}; choose shorter parts")


def leave_last_out(dataset: Dataset, *, n_validation: int = 1, n_test: int = 1, min_train: int = 1) -> Split:
    """Each user's last `n_test` rows are the test, the `n_validation` before them the validation.

    A user with fewer than n_validation + n_test + min_train rows is in train only. Rows of the same second are taken
    in the order of item number, then kind. Users stop at different moments, so a model may learn from other people's
    future: for a fair rehearsal of production use `temporal`.
    """
    for name, value in (("n_validation", n_validation), ("n_test", n_test), ("min_train", min_train)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    times_of(dataset, "leave_last_out")
    rows = dataset.interactions
    order = np.lexsort((rows.kind, rows.item, rows.time, rows.user))
    owned = np.bincount(rows.user, minlength=rows.n_users)
    user = rows.user[order]
    from_end = np.cumsum(owned)[user] - 1 - np.arange(len(rows))  # 0 for the last row of a user
    enough = owned[user] >= n_validation + n_test + min_train
    part = np.empty(len(rows), np.int8)
    part[order] = enough * ((from_end < n_test + n_validation).astype(np.int8) + (from_end < n_test))
    method = f"leave_last_out(n_validation={n_validation}, n_test={n_test}, min_train={min_train})"
    return _parts(dataset, part, method, cure=f"no user has {n_validation + n_test + min_train} rows; ask for fewer")


def random_holdout(dataset: Dataset, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> Split:
    """Rows drawn at random: the shares `validation` and `test` of all rows, rounded. Ignores time; see `temporal`."""
    for name, share in (("validation", validation), ("test", test)):
        if not isinstance(share, float) or not 0 < share < 1:
            raise ValueError(f"{name} must be a share of the rows between 0 and 1, got {share!r}")
    n = len(dataset.interactions)
    n_test, n_validation = round(n * test), round(n * validation)
    place = np.random.default_rng(seed).permutation(n)
    part = (place < n_test + n_validation).astype(np.int8) + (place < n_test)
    method = f"random_holdout(validation={validation}, test={test}, seed={seed})"
    return _parts(dataset, part, method, cure=f"{n} rows cannot be cut into such shares; choose others")


def given(dataset: Dataset, *, validation: float = 0.1, seed: int = 0) -> Split:
    """The test that the source brings, its rows of kind `test`; validation is drawn from each user's other rows.

    A user with n of these gives round(n * validation) of them, at random. Benchmarks with a fixed test come like this.
    """
    if not isinstance(validation, float) or not 0 < validation < 1:
        raise ValueError(f"validation must be a share of the rows between 0 and 1, got {validation!r}")
    rows = dataset.interactions
    if "test" not in rows.kinds:
        raise DataError(
            f"{dataset.name!r} brings no test: it has rows of kind {', '.join(rows.kinds)}; cut it yourself"
        )
    test = rows.kind == rows.kinds.index("test")
    owned = np.bincount(rows.user[~test], minlength=rows.n_users)
    order = np.lexsort((np.random.default_rng(seed).random(len(rows)), test, rows.user))
    starts = np.searchsorted(rows.user[order], np.arange(rows.n_users))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - starts[rows.user[order]]  # among the user's rows, those of the test last
    drawn = ~test & (place < np.rint(owned * validation).astype(np.int64)[rows.user])
    method = f"given(validation={validation}, seed={seed})"
    part = drawn.astype(np.int8) + TEST * test.astype(np.int8)
    return _parts(dataset, part, method, cure="its users have too few rows; ask for a larger share")


def _parts(dataset: Dataset, part: NDArray[np.int8], method: str, cutoffs: tuple[str, ...] = (), *, cure: str) -> Split:
    rows = dataset.interactions
    sides = [dataset.keep(rows.where(part == side)) for side in (TRAIN, VALIDATION, TEST)]
    for name, side in zip(("train", "validation", "test"), sides, strict=True):
        if len(side.interactions) == 0:
            raise ValueError(f"{method} leaves {name} of {dataset.name!r} empty: {cure}")
    return Split(method=method, train=sides[0], validation=sides[1], test=sides[2], cutoffs=cutoffs)


def times_of(dataset: Dataset, method: str) -> NDArray[np.datetime64]:
    """(n,) the sorted times of the rows; a log that has none is refused: `method` cannot cut it."""
    time = dataset.interactions.time
    if len(time) == 0:
        raise DataError(f"{method} cannot cut {dataset.name!r}: it has no interactions")
    if time[0] == time[-1]:
        raise DataError(
            f"{method} cannot cut {dataset.name!r}: all its rows are at {time[0]}, it has no times; use random_holdout"
        )
    return time


def _start(
    cut: Cut, time: NDArray[np.datetime64], n_rows: int, part: str, end: np.datetime64 | None = None
) -> np.datetime64:
    """The first moment of a part that ends with the sorted `time`, or just before `end`."""
    if (seconds := seconds_of(cut)) is not None:
        # the last second of the log belongs to it: a week of test is 7 x 86,400 whole seconds
        stop = _seconds(time[-1]) + 1 if end is None else _seconds(end)
        return np.datetime64(stop - seconds, "s")
    if isinstance(cut, float) and 0 < cut < 1:
        if not len(time):
            raise ValueError(f"no rows are left for {part}: the test takes them all")
        return np.datetime64(_seconds(time[max(len(time) - max(round(n_rows * cut), 1), 0)]), "s")
    try:
        return _moment(cut)
    except ValueError:
        raise ValueError(
            f'{part} must be a duration such as "14d" (w, d, h, min, s), a share of the rows between 0 and 1, '
            f'or a date such as "2025-03-01", got {cut!r}'
        ) from None


def seconds_of(cut: Cut) -> int | None:
    """The length of a duration such as "14d"; None for what is no duration.

    >>> seconds_of("36h"), seconds_of(0.1)
    (129600, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(w|d|h|min|s)", cut.strip()) if isinstance(cut, str) else None
    return None if found is None else round(float(found[1]) * UNITS[found[2]])


def _seconds(moment: np.datetime64) -> int:
    return int(moment.astype(np.int64))


def _moment(cut: Cut) -> np.datetime64:
    if isinstance(cut, str):
        cut = datetime.fromisoformat(cut.strip())
    if isinstance(cut, datetime):
        return np.datetime64(cut.astimezone(UTC).replace(tzinfo=None) if cut.tzinfo else cut, "s")
    if isinstance(cut, date):
        return np.datetime64(cut, "s")
    raise ValueError(cut)
