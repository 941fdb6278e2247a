"""Why each item may be in a list, a sentence each: what the explainer finds, as the service and the pages show it."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from experiments.package import Package
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.explain import Explainer

LATEST = 20
"""Items of a history that are tried for a sentence: the model is asked once for each, while somebody waits."""
VERB = "touched"

_explainers: "WeakKeyDictionary[Package, Explainer]" = WeakKeyDictionary()


def reasons(package: Package, unit: str, items: Sequence[str], *, query: Queries | None = None) -> tuple[str, ...]:
    """A sentence for each outside item id, true of the package's model: the item of the history without which the
    score falls most, else what the log shows.

    query: the unit's, where it did more than the package's histories know.
    """
    asked = Queries.of(package.histories, package.users.numbers([unit])) if query is None else query
    numbers = package.items.numbers(list(items))
    known = numbers[numbers >= 0]
    found = iter(explainer_of(package).why(package.model, asked, known)) if len(known) else iter(())
    return tuple(
        next(found).words if number >= 0 else "unknown to the model that was registered" for number in numbers.tolist()
    )


def explainer_of(package: Package) -> Explainer:
    """The explainer of a package's histories; made once, for it counts through the whole log."""
    found = _explainers.get(package)
    if found is None:
        found = _explainers[package] = Explainer(verb=VERB, latest=LATEST).fit(as_dataset(package))
    return found


def as_dataset(package: Package) -> Dataset:
    """The histories of a package as a data set; of the items, titles are all it knows."""
    return Dataset(
        name="histories",
        interactions=package.histories,
        users=package.users,
        items=package.items,
        item_features={"title": package.titles},
    )


def history_of(package: Package, unit: str) -> NDArray[np.int32]:
    """What the user touched, as item numbers, newest first, each once; empty for an unknown user."""
    number = int(package.users.numbers([unit])[0])
    if number < 0:
        return np.zeros(0, np.int32)
    rows = np.flatnonzero(package.histories.user == number)
    newest = package.histories.item[rows[np.argsort(package.histories.time[rows], kind="stable")[::-1]]]
    return np.array(list(dict.fromkeys(newest.tolist())), dtype=np.int32)
