"""Scoring: tuned variants fitted, judged once on the same users, and ranked with what cannot be told apart."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bakeoff import __version__
from bakeoff.bootstrap import Paired
from experiments.board import Cell, Leaderboard, Rival, Standing
from experiments.config import BakeoffConfig, EvaluationConfig
from experiments.fitting import Fits, note_of
from experiments.progress import Progress
from experiments.tracking import revision
from experiments.tune import Tuned
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.data.split import Split
from recsys.evaluate import cold_items, score_recommendations
from recsys.leaderboard import leaderboard
from recsys.metrics.item_vectors import ItemVectors
from recsys.metrics.judged import Truth
from recsys.recommend import recommend
from recsys.scorecard import Scorecard, by_slice, summary


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A variant after its look at the judging part. recommended: (n_items,) how often each item was recommended.

    note: what to know of the fit.
    """

    tuned: Tuned
    card: Scorecard
    recommended: NDArray[np.int64]
    fit_seconds: float
    score_seconds: float
    note: str = ""


def score_all(
    config: BakeoffConfig,
    tuned: Mapping[str, Tuned],
    seen: Dataset,
    truth: Dataset,
    vectors: ItemVectors,
    fits: Fits,
    progress: Progress,
) -> dict[str, Scored]:
    """Fit every variant on `seen` and judge it by `truth`, all on the same users."""
    relevant = Truth.of(truth.interactions, seen.interactions)
    if len(relevant.users) == 0:
        raise ValueError(f"nobody in the judging part of {seen.name!r} has anything new to find; choose another split")
    queries = Queries.of(seen.interactions, relevant.users)
    fallback, longest = config.fallback.create().fit(seen), max(*config.evaluation.ks, config.evaluation.k)
    scored = {}
    for done, (name, choice) in enumerate(tuned.items()):
        began = time.perf_counter()
        tell = partial(progress, "fit and score", done, len(tuned))
        model = fits.fit(name, config.variants[name].model, choice.params, seen, tell)
        fitted = time.perf_counter()
        lists = recommend(model, queries, longest, fallback=fallback)
        recommended = time.perf_counter()
        shown = lists.items[:, : config.evaluation.k]
        scored[name] = Scored(
            tuned=choice,
            card=replace(_card(lists, config.evaluation, seen, relevant, vectors), model=name),
            recommended=np.bincount(shown[shown >= 0], minlength=len(seen.items)).astype(np.int64),
            fit_seconds=fitted - began,
            score_seconds=recommended - fitted,
            note=note_of(model),
        )
    progress("fit and score", len(tuned), len(tuned), "")
    return scored


def _card(
    lists: Recommendations, settings: EvaluationConfig, seen: Dataset, relevant: Truth, vectors: ItemVectors
) -> Scorecard:
    return score_recommendations(
        lists,
        relevant,
        seen=seen,
        ks=sorted({*settings.ks, settings.k}),
        metrics=sorted({*settings.metrics, settings.metric}),
        item_vectors=vectors.values,
        parts=cold_items(seen.interactions),
    )


def rank(
    config: BakeoffConfig, split: Split, scored: Mapping[str, Scored], *, run_id: str, at: datetime, judged_on: str
) -> Leaderboard:
    """The leaderboard: best first on the leading metric, with intervals and paired comparisons with the best."""
    settings = config.evaluation
    cards = [entry.card for entry in scored.values()]
    ranked = leaderboard(cards, settings.leading, level=settings.level, rng=np.random.default_rng(config.seed))
    standings = []
    for place in ranked:
        entry = scored[place.model]
        cells = summary(entry.card, level=settings.level, rng=np.random.default_rng(config.seed))
        standing = Standing(
            variant=place.model,
            model=config.variants[place.model].model,
            run_id="",
            version=None,
            params=entry.tuned.params,
            cells={row.metric: Cell(mean=row.mean, low=row.low, high=row.high, n=row.n) for row in cells},
            tied=place.level_with_best,
            rival=_against_best(place.against_best, place.p_adjusted),
            trials=len(entry.tuned.trials),
            fit_seconds=entry.fit_seconds,
            score_seconds=entry.score_seconds,
            front=entry.tuned.front,
            note=entry.note,
            slices=tuple(
                by_slice(entry.card, settings.leading, level=settings.level, rng=np.random.default_rng(config.seed))
            ),
        )
        standings.append(standing)
    return Leaderboard(
        name=config.name,
        metric=settings.leading,
        run_id=run_id,
        dataset=split.train.name,
        fingerprint=split.refit().fingerprint,
        split=f"{split.method}, judged on {judged_on}",
        users=ranked[0].n,
        seed=config.seed,
        package_version=__version__,
        revision=revision(),
        at=at,
        standings=tuple(standings),
    )


def _against_best(duel: Paired | None, p_adjusted: float) -> Rival | None:
    """The duel seen from the variant: scorecards compare the best with it, the board it with the best."""
    if duel is None:
        return None
    return Rival(
        difference=-duel.difference,
        low=-duel.high,
        high=-duel.low,
        p_value=p_adjusted,
        share_better=duel.share_worse,
        share_worse=duel.share_better,
    )
