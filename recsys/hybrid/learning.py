"""How a pipeline's ranker learns: sources fitted on the past, their candidates judged by what came later."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.hybrid.candidates import Candidates, gather
from recsys.hybrid.features.base import Floats, Past, Rows
from recsys.hybrid.features.builder import Features
from recsys.hybrid.ranker import Judgements, NothingToLearnError, Ranker, worth_of
from recsys.hybrid.sharing import Shared
from recsys.hybrid.slices import Slice, moments_of
from recsys.hybrid.stations import Source

BLOCK = 256
"""Queries whose candidates are described at once."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The fitted ranker, or None and why there is none."""

    ranker: Ranker | None
    unranked: str


def learn(
    ranker: Ranker,
    dataset: Dataset,
    *,
    sources: Sequence[Source],
    origins: tuple[str, ...],
    features: Features,
    cut: Slice,
    queries: int,
    seed: int,
    shared: Shared,
    watch: Callable[[int, Ranker], None] | None,
) -> Lesson:
    """Fit the ranker on the rows that `cut` sets apart, by candidates and features of the rows before them alone."""
    rows = dataset.interactions
    if cut.by == "time" and len(rows) > 1 and rows.time[0] == rows.time[-1]:
        raise ValueError(
            f"all rows of {dataset.name!r} are at {rows.time[0]}: no later ones can be set apart for the ranker; "
            "set learn_from: {by: random}"
        )
    past, later = cut.cut(dataset, seed)
    keys, worth = _new_likes(later.interactions, past.interactions)
    if not (past.interactions.weight > 0).any() or len(keys) == 0:
        return Lesson(ranker=None, unranked="nobody likes anything new in the slice that the ranker learns from")
    users = np.unique(keys // rows.n_items)
    if len(users) > queries:
        users = np.sort(np.random.default_rng(seed).permutation(users)[:queries])
    judged = _judged(
        past,
        users.astype(np.int32),
        cut.moments(later.interactions, users),
        (keys, worth),
        sources=sources,
        origins=origins,
        features=features,
        cut=cut,
        all_queries=ranker.objective == "click",
        shared=shared,
    )
    try:
        return Lesson(ranker=ranker.fit(judged, seed=seed, watch=watch), unranked="")
    except NothingToLearnError as reason:
        return Lesson(ranker=None, unranked=str(reason))


def _new_likes(later: Interactions, past: Interactions) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(sorted user * n_items + item of what is liked later and was not touched before, its largest weight)."""
    liked = later.weight > 0
    key = later.user[liked].astype(np.int64) * later.n_items + later.item[liked]
    before = past.user.astype(np.int64) * past.n_items + past.item
    new = ~np.isin(key, before)
    keys, place = np.unique(key[new], return_inverse=True)
    worth = np.zeros(len(keys))
    np.maximum.at(worth, place, later.weight[liked][new])
    return keys, worth


def _judged(
    past: Dataset,
    users: NDArray[np.int32],
    moments: NDArray[np.datetime64] | None,
    likes: tuple[NDArray[np.int64], NDArray[np.float64]],
    *,
    sources: Sequence[Source],
    origins: tuple[str, ...],
    features: Features,
    cut: Slice,
    all_queries: bool,
    shared: Shared,
) -> Judgements:
    """The candidates of the users, described as of their moments and judged by what they came to like."""
    n_items = past.interactions.n_items
    touched = past.interactions.item_users > 0
    models = [shared.source(source, past) for source in sources]
    asked = Queries.of(past.interactions, users)
    last = past.interactions.time[-1].astype("datetime64[s]") + np.timedelta64(1, "s")
    if moments is None:
        moments = moments_of(last, asked.indptr, asked.times, by=cut.by)
    cutoff = min(moments.min(), last) if cut.by == "time" else last
    features.fit(Past(dataset=past, cutoff=cutoff, origins=origins), shared.group)
    found: list[Candidates] = []
    described: list[Floats] = []
    for start in range(0, len(users), BLOCK):
        block = asked.block(start, start + BLOCK)
        candidates = gather(models, [s.m for s in sources], block, origins=origins, touched=touched)
        if not all_queries:  # an order is learnt only from queries in which something relevant was found
            hit = worth_of(_keys(block, candidates, n_items), *likes) > 0
            found_any = np.bincount(candidates.query[hit], minlength=len(block)) > 0
            candidates = candidates.where(found_any[candidates.query])
        rows = Rows(queries=block, candidates=candidates, moments=moments[start : start + BLOCK])
        found.append(candidates)
        described.append(features.compute(rows))
    sizes = np.concatenate([np.diff(part.indptr) for part in found])
    items = np.concatenate([part.items for part in found]).astype(np.int64)
    return Judgements(
        names=tuple(features.names),
        features=np.vstack(described),
        worth=worth_of(np.repeat(users.astype(np.int64), sizes) * n_items + items, *likes),
        indptr=np.append(0, np.cumsum(sizes)).astype(np.int64),
    )


def _keys(queries: Queries, candidates: Candidates, n_items: int) -> NDArray[np.int64]:
    return queries.users[candidates.query].astype(np.int64) * n_items + candidates.items
