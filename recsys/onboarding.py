"""Onboarding: which few items to show a newcomer, so that a tap on those he likes tells his taste."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole
from recsys.data.queries import Queries
from recsys.encoders.combine import unit_rows
from recsys.models.base import check_choice, training_likes
from recsys.models.spectral import right_singular_vectors

Method = Literal["variance", "entropy"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions:
    """items: (k,) int32, in the order to ask; explained: (k,) the share of the variance of the users' tastes that a
    linear reading of the answers to the first 1..k explains."""

    items: NDArray[np.int32]
    explained: NDArray[np.float64]


def questions(
    dataset: Dataset,
    k: int,
    *,
    method: Method = "variance",
    factors: int = 32,
    pool: int = 500,
    most_users: int = 5_000,
    seed: int = 0,
) -> Questions:
    """The k items to ask a newcomer about, chosen one after the other among the `pool` most popular ones.

    A taste is where a user's likes, as a unit vector, lie on the `factors` main directions of the matrix of likes; an
    answer is whether he likes the item. `variance` takes the item whose answer, with those before, explains the most
    of the variance of the tastes (forward selection, as GreedyExtend of Golbandi, Koren & Lempel 2010 by squared
    error): what everybody likes splits nobody, what few know splits few, and what repeats an earlier answer adds
    nothing. `entropy` ranks by log(users) * entropy of the answer (Rashid et al. 2002), each item by itself.

    The users are those with a like, at most `most_users` drawn by the seed.
    """
    for name, value in (("k", k), ("factors", factors), ("pool", pool), ("most_users", most_users)):
        check_whole(name, value, 1)
    check_choice("method", method, Method)
    likes = training_likes(dataset, "binary")
    likes = likes[_drawn(likes, most_users, seed)]
    known = np.bincount(likes.indices, minlength=likes.shape[1])
    candidates = np.argsort(-known, kind="stable")[:pool]  # ties by item number
    candidates = candidates[known[candidates] > 0]
    if k > len(candidates):
        raise ValueError(
            f"k = {k} questions need as many liked items among the {pool} most popular, got {len(candidates)}"
        )
    answers = likes[:, candidates].toarray().astype(np.float64)
    tastes = _tastes(likes, factors, seed)
    by_entropy = None if method == "variance" else np.argsort(-_spread(answers), kind="stable")
    chosen, explained = _forward(answers, tastes, k, by_entropy)
    return Questions(items=candidates[chosen].astype(np.int32), explained=explained)


def answered(
    liked: NDArray[np.integer], at: np.datetime64, context: Mapping[str, NDArray[Any]] | None = None
) -> Queries:
    """The query of a newcomer who liked these items just now, for any model that folds in."""
    items = np.asarray(liked, dtype=np.int32)
    return Queries(
        users=np.array([-1], np.int32),
        indptr=np.array([0, len(items)], np.int64),
        items=items,
        weights=np.ones(len(items), np.float32),
        times=np.full(len(items), at, "datetime64[s]"),
        context=context or {},
    )


def _drawn(likes: csr_matrix, most_users: int, seed: int) -> NDArray[np.int64]:
    active = np.flatnonzero(np.diff(likes.indptr))
    return np.sort(np.random.default_rng(seed).permutation(active)[:most_users])


def _tastes(likes: csr_matrix, factors: int, seed: int) -> NDArray[np.float64]:
    """(n, f) the centred places of the users' unit vectors on their main directions."""
    unit = csr_matrix(unit_rows(likes), dtype=np.float32)
    places = np.asarray(unit @ right_singular_vectors(unit, factors, seed), dtype=np.float64)
    centred: NDArray[np.float64] = places - places.mean(axis=0)
    return centred


def _spread(answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) log(users) * the entropy of each column of answers, in nats."""
    share = answers.mean(axis=0).clip(1e-12, 1 - 1e-12)
    entropy = -share * np.log(share) - (1 - share) * np.log1p(-share)
    return np.asarray(np.log(answers.sum(axis=0).clip(min=1)) * entropy)


def _forward(
    answers: NDArray[np.float64], tastes: NDArray[np.float64], k: int, order: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k columns, greedily unless their order is given, and the share of the variance explained after each.

    The columns not yet chosen are kept orthogonal to the chosen ones, so that a step costs one product with the tastes.
    """
    left = answers - answers.mean(axis=0)
    scale = (left**2).sum(axis=0)
    total, unexplained = float((tastes**2).sum()), tastes.copy()
    chosen, explained = np.empty(k, np.int64), np.empty(k)
    for step in range(k):
        size = (left**2).sum(axis=0)
        gain = ((left.T @ unexplained) ** 2).sum(axis=1)
        # a column that the chosen ones already tell is rounding and no news
        gain = np.divide(gain, size, out=np.zeros_like(gain), where=size > 1e-9 * scale.clip(min=1e-300))
        gain[chosen[:step]] = -1.0
        best = int(np.argmax(gain)) if order is None else int(order[step])
        chosen[step] = best
        direction = left[:, best] / np.sqrt(size[best]) if size[best] > 1e-9 * scale[best] else np.zeros(len(left))
        unexplained = unexplained - np.outer(direction, direction @ unexplained)
        left = left - np.outer(direction, direction @ left)
        explained[step] = 1 - float((unexplained**2).sum()) / total if total > 0 else np.nan
    return chosen, explained
