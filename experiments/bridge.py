"""The bridge back: what the event log saw becomes interactions, for the histories and the next data set."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from experiments.package import Package
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions


def interactions_of(
    package: Package,
    *,
    users: NDArray[np.str_],
    items: NDArray[np.str_],
    kinds: NDArray[np.str_],
    times: NDArray[np.datetime64],
) -> Interactions:
    """Outcomes as rows of a package's histories; those of users or items it does not know are left out."""
    return _rows(package.histories, package.users.numbers(users), package.items.numbers(items), kinds, times)


def extend(dataset: Dataset, outcomes: pa.Table) -> Dataset:
    """The data set with the outcomes of an event log added: the arrow that closes the loop.

    outcomes: a table with the schema abtest.events.log.OUTCOMES. Unknown users and items are left out: a new
    vocabulary is a new data set, which its source loads.
    """
    columns = {name: outcomes.column(name).to_numpy() for name in ("unit", "item", "kind", "at")}
    rows = _rows(
        dataset.interactions,
        dataset.users.numbers(columns["unit"].astype(np.str_)),
        dataset.items.numbers(np.where(columns["item"] == None, "", columns["item"]).astype(np.str_)),  # noqa: E711
        columns["kind"].astype(np.str_),
        columns["at"].astype("datetime64[s]"),
    )
    return dataset.keep(dataset.interactions + rows)


def _rows(
    like: Interactions,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    kinds: NDArray[np.str_],
    times: NDArray[np.datetime64],
) -> Interactions:
    """Rows over the vocabularies and kinds of `like`; a kind that the log did not know counts as its first kind.

    The weight of a kind is the median weight that it has in `like`, so that a click tomorrow says what it says today.
    """
    known = (user >= 0) & (item >= 0)
    names, which = np.unique(kinds[known], return_inverse=True)
    number = np.array([like.kinds.index(name) if name in like.kinds else 0 for name in names], np.int8)[which]
    weights = [like.weight[like.kind == kind] for kind in range(len(like.kinds))]
    typical = np.array([np.median(weight) if len(weight) else 1.0 for weight in weights], np.float32)
    return Interactions.of(
        user=user[known],
        item=item[known],
        time=times[known],
        weight=typical[number],
        kind=number,
        kinds=like.kinds,
        n_users=like.n_users,
        n_items=like.n_items,
    )
