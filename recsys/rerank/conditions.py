"""Conditions on items, as a business rule states them: a column that is true, holds a label, or lies in a range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from bakeoff.catalogue import check_name
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole
from recsys.encoders.base import words_of
from recsys.models.base import check_choice, check_real
from recsys.rerank.labels import SEPARATOR, item_labels

DERIVED = ("_users", "_age_days")
"""Columns that every data set has: how many users touched the item, and how many days before the last interaction it
was first touched, 0 for one that nobody touched yet."""

Missing = Literal["yes", "no"]


@dataclass(frozen=True)
class Condition:
    """Met by items whose `column`, an item feature or one of DERIVED, is as asked.

    With `values` it is one of these labels (`Action|Comedy` being two), with low or high it lies in low..high, both
    included, with fewer_users the items that share its label were together touched by fewer users than that (a small
    seller, a niche brand), and with none of these it is true or above 0. missing: whether an item without a value
    meets it.
    """

    column: str
    values: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    fewer_users: int | None = None
    missing: Missing = "no"

    def __post_init__(self) -> None:
        if not isinstance(self.column, str) or not self.column:
            raise ValueError(f"column must be the name of an item feature, got {self.column!r}")
        if (self.values is not None) + self.has_range + (self.fewer_users is not None) > 1:
            raise ValueError(
                f"the condition on {self.column!r} has more than one of values, a range and fewer_users; give one"
            )
        if self.fewer_users is not None:
            check_whole(f"fewer_users of {self.column!r}", self.fewer_users, 1)
        if self.values is not None and (isinstance(self.values, str) or not self.values):
            raise ValueError(f"values of {self.column!r} must be a list of one or more, got {self.values!r}")
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is not None:
                check_real(f"{name} of {self.column!r}", bound, least=-np.inf)
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low of {self.column!r} must not be above high, got {self.low} and {self.high}")
        check_choice(f"missing of {self.column!r}", self.missing, Missing)

    @property
    def has_range(self) -> bool:
        """Whether low or high is given."""
        return self.low is not None or self.high is not None

    def met(self, dataset: Dataset) -> NDArray[np.bool_]:
        """(n_items,) which items meet it."""
        if self.values is not None:
            return self._labelled(dataset)
        if self.fewer_users is not None:
            return self._of_few(dataset, self.fewer_users)
        numbers = item_numbers(dataset, self.column)
        there = ~np.isnan(numbers)
        low = np.nextafter(0.0, 1.0) if not self.has_range else -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        within = (numbers >= low) & (numbers <= high)
        return np.where(there, within, self.missing == "yes")

    def _labelled(self, dataset: Dataset) -> NDArray[np.bool_]:
        check_column(dataset, self.column)
        wanted = {str(value) for value in self.values or ()}
        words = words_of(dataset.item_features[self.column])
        found = [{label.strip() for label in word.split(SEPARATOR)} & wanted for word in words]
        there = np.array([bool(word) for word in words])
        return np.where(there, np.array([bool(labels) for labels in found]), self.missing == "yes")

    def _of_few(self, dataset: Dataset, fewer: int) -> NDArray[np.bool_]:
        labels, names = item_labels(dataset, [self.column])
        item, place = np.nonzero(labels >= 0)
        shape = (len(labels), max(1, len(names)))
        has = csr_matrix((np.ones(len(item)), (item, labels[item, place])), shape=shape)
        touched = dataset.interactions.csr()
        touched.data[:] = 1.0
        users = (touched @ has).getnnz(axis=0)
        few = np.where(labels >= 0, users[labels] < fewer, False).any(axis=1)
        return np.where((labels >= 0).any(axis=1), few, self.missing == "yes")


def item_numbers(dataset: Dataset, column: str) -> NDArray[np.float64]:
    """(n_items,) the column as numbers, NaN where missing; a column of words is refused."""
    if column == "_users":
        return dataset.interactions.item_users.astype(np.float64)
    if column == "_age_days":
        return _ages(dataset)
    check_column(dataset, column)
    return as_numbers(dataset.item_features, column, "item feature")


def as_numbers(features: Mapping[str, NDArray[Any]], column: str, what: str) -> NDArray[np.float64]:
    """(n,) a column of numbers or truth values, also where it is kept as objects; NaN where missing."""
    values = features[column]
    cells = [np.nan if cell is None else cell for cell in values.tolist()] if values.dtype.kind == "O" else values
    numbers = np.asarray(cells)
    if numbers.ndim != 1 or numbers.dtype.kind not in "biuf":
        first = next((cell for cell in values.tolist() if not isinstance(cell, int | float)), "")
        raise ValueError(
            f"{what} {column!r} must hold numbers or truth values for this rule, got {first!r}; "
            "for labels give `values: [...]`"
        )
    return numbers.astype(np.float64)


def check_column(dataset: Dataset, column: str) -> None:
    """Refuse a column that the items lack, with those they have."""
    check_name({**dataset.item_features, **dict.fromkeys(DERIVED)}, column, "item feature")


def _ages(dataset: Dataset) -> NDArray[np.float64]:
    rows = dataset.interactions
    if len(rows) == 0:
        return np.zeros(rows.n_items)
    first = np.full(rows.n_items, len(rows) - 1)
    np.minimum.at(first, rows.item, np.arange(len(rows)))  # rows are in the order of time
    touched = rows.item_users > 0
    days = (rows.time[-1] - rows.time[first]) / np.timedelta64(1, "D")
    return np.where(touched, days, 0.0)
