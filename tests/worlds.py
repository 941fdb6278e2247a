"""Tiny worlds with a known answer."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.vocabulary import Vocabulary


def numbered(prefix: str, n: int) -> Vocabulary:
    """n ids whose numbers are their digits: u000, u001 ..."""
    width = max(3, len(str(n - 1)))
    return Vocabulary.of(f"{prefix}{i:0{width}d}" for i in range(n))


def dataset(
    pairs: Iterable[tuple[int, int]] | NDArray[np.integer],
    *,
    n_users: int,
    n_items: int,
    days: Iterable[float] | None = None,
    weights: Iterable[float] | None = None,
    name: str = "tiny",
) -> Dataset:
    """A data set of (user, item) numbers; `days` after 2024-01-01 (default: row i on day i), `weights` default to 1.

    Users and items have one feature, `parity`: whether their number is even or odd. It tells the pattern of the
    checkerboard, and nothing in the other worlds.
    """
    table = np.array(list(pairs), dtype=np.int32).reshape(-1, 2)
    day = np.arange(len(table)) if days is None else np.array(list(days))
    return Dataset(
        name=name,
        interactions=Interactions.of(
            user=table[:, 0],
            item=table[:, 1],
            time=np.datetime64("2024-01-01", "s") + (day * 86_400).astype("timedelta64[s]"),
            weight=None if weights is None else np.array(list(weights), dtype=np.float32),
            n_users=n_users,
            n_items=n_items,
        ),
        users=numbered("u", n_users),
        items=numbered("i", n_items),
        item_features={"parity": parity(n_items)},
        user_features={"parity": parity(n_users)},
    )


def parity(n: int) -> NDArray[np.object_]:
    """The words even, odd, even ... for the numbers 0..n-1."""
    return np.resize(np.array(["even", "odd"], dtype=object), n)


def checkerboard(n: int = 20, *, rated: bool = False) -> tuple[Dataset, NDArray[np.int32]]:
    """Even users like even items and odd users odd items; one item of each user, answer (n,), is held out.

    The world of implicit's tests: a sane personal model puts answer[u] first among the unseen items of user u, and
    popularity, to which all items but chance are equal, cannot. n must be even: n users, n items. The held-out items
    are a permutation, so every item keeps the same number of users.

    rated: users rate their own parity 5 and every second item of the other one 1.
    """
    user, item = np.nonzero(np.add.outer(np.arange(n), np.arange(n)) % 2 == 0)
    answer = (np.arange(n) + n // 2 // 2 * 2) % n  # same parity as the user
    kept = item != answer[user]
    order = np.random.default_rng(7).permutation(int(kept.sum()))
    pairs = np.column_stack([user[kept], item[kept]])[order]
    weights = np.full(len(pairs), 5.0)
    if rated:
        other = np.column_stack(np.nonzero(np.add.outer(np.arange(n), np.arange(n)) % 4 == 1))
        pairs, weights = np.vstack([pairs, other]), np.append(weights, np.ones(len(other)))
    data = dataset(pairs, n_users=n, n_items=n, weights=weights if rated else None, name="checkerboard")
    return data, answer.astype(np.int32)


def random_market(
    rng: np.random.Generator, n_users: int = 30, n_items: int = 20, n: int = 200, *, weighted: bool = False
) -> Dataset:
    """Random pairs, some of them repeated, popular items first; no structure beyond popularity."""
    item = (n_items * rng.random(n) ** 2).astype(np.int32)
    pairs = np.column_stack([rng.integers(0, n_users, n), item])
    weights = rng.integers(1, 6, n) if weighted else None
    return dataset(pairs, n_users=n_users, n_items=n_items, weights=weights, name="random market")
