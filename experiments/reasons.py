"""Why an item may be in a user's list, told from the log the model was made of: facts, not the model's thoughts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from experiments.package import Package

TOGETHER = 3
"""Users who touched two items, below which that says nothing."""
MORE_THAN_CHANCE = 1.5
"""How many times as often as by chance two items must be touched together."""
NEWEST = 50
"""Items of the history that are looked at."""


def reasons(package: Package, unit: str, items: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each outside item id: which item of the user's history its users also touched, else how popular
    it is. A list that everybody gets is told by popularity alone."""
    numbers = package.items.numbers(list(items))
    history = history_of(package, unit)[:NEWEST]
    popular = tuple(_popularity(package, int(number)) for number in numbers)
    if not len(history) or not is_personal(package, unit, len(items)):
        return popular
    known, alike = package.histories.item_users, _together(package, numbers, history)
    told = []
    for row, (number, otherwise) in enumerate(zip(numbers.tolist(), popular, strict=True)):
        both = alike[row]
        chance = known[number] * known[history] / max(package.histories.n_users, 1)
        fits = (both >= TOGETHER) & (both > MORE_THAN_CHANCE * chance) & (number >= 0)
        if not fits.any():
            told.append(otherwise)
            continue
        # cosine: neither the most popular neighbour nor the rarest wins by that alone; ties by the newest
        best = int(np.argmax(np.where(fits, both / np.sqrt(np.maximum(known[number] * known[history], 1)), -1.0)))
        told.append(f"{both[best] / known[number]:.0%} of its users also touched {package.titles[history[best]]}")
    return tuple(told)


def is_personal(package: Package, unit: str, k: int) -> bool:
    """Whether the user's list is another than an unknown user's, less what he has touched."""
    history = set(history_of(package, unit).tolist())
    everybody: list[int] = package.recommend([""], k + len(history)).items[0].tolist()
    mine: list[int] = package.recommend([unit], k).items[0].tolist()
    return mine != [item for item in everybody if item not in history][:k]


def history_of(package: Package, unit: str) -> NDArray[np.int32]:
    """What the user touched, as item numbers, newest first, each once; empty for an unknown user."""
    number = int(package.users.numbers([unit])[0])
    if number < 0:
        return np.zeros(0, np.int32)
    rows = np.flatnonzero(package.histories.user == number)
    newest = package.histories.item[rows[np.argsort(package.histories.time[rows], kind="stable")[::-1]]]
    return np.array(list(dict.fromkeys(newest.tolist())), dtype=np.int32)


def _together(package: Package, items: NDArray[np.int32], history: NDArray[np.int32]) -> NDArray[np.float64]:
    """(n_items, n_history) how many users touched both; an unknown item is touched by nobody."""
    rows = package.histories
    wanted = np.zeros(rows.n_items, np.bool_)
    wanted[items[items >= 0]] = wanted[history] = True
    kept = wanted[rows.item]  # one pass over the log, however long it is
    pairs = (rows.user[kept], rows.item[kept])
    touched = csr_matrix((np.ones(len(pairs[0])), pairs), shape=(rows.n_users, rows.n_items)).tocsc()
    touched.data[:] = 1.0
    both: NDArray[np.float64] = (touched[:, np.maximum(items, 0)].T @ touched[:, history]).toarray()
    both[items < 0] = 0.0
    return both


def _popularity(package: Package, number: int) -> str:
    if number < 0:
        return "unknown to the model that was registered"
    users = package.histories.item_users
    place = 1 + int((users > users[number]).sum())
    many = "" if users[number] == 1 else "s"
    return f"Touched by {users[number]:,} user{many}: place {place:,} of {len(users):,}"
