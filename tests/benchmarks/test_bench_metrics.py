"""How long 100,000 users take: every metric at k = 10, the join with the truth, the intervals.

The limits are ratios to a floor measured in the same run, so that a slow machine does not fail and a slow change does.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bakeoff.bootstrap import mean_intervals
from bakeoff.catalogue import lookup
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.metrics import CATALOGUE_METRICS, METRICS
from recsys.metrics.judged import Judged, judge

N_USERS, N_ITEMS, K, DIMENSIONS = 100_000, 20_000, 10, 32


@pytest.fixture(scope="module")
def judging() -> Callable[[], Judged]:
    """The join of 100,000 lists of 10 with half a million new items, a million seen ones left out."""
    rng = np.random.default_rng(0)

    def rows(n: int) -> Interactions:
        item = (N_ITEMS * rng.random(n) ** 3).astype(np.int32)  # a long tail
        user = rng.integers(N_USERS, size=n)
        when = np.zeros(n, "datetime64[s]")
        return Interactions.of(user=user, item=item, time=when, n_users=N_USERS, n_items=N_ITEMS)

    seen, truth, vectors = rows(1_000_000), rows(500_000), rng.normal(size=(N_ITEMS, DIMENSIONS))
    starts = (N_ITEMS * rng.random((N_USERS, 1)) ** 3).astype(np.int32)
    items = (starts + 37 * np.arange(K, dtype=np.int32)) % N_ITEMS
    lists = Recommendations(
        queries=Queries.of(seen, np.arange(N_USERS)), items=items, scores=np.ones(items.shape, np.float32), model="any"
    )

    def judge_from_nothing() -> Judged:
        vars(seen).pop("item_users", None)  # popularity is kept once counted: here it is part of the work
        return judge(lists, truth, seen=seen, item_vectors=vectors)

    return judge_from_nothing


def every_metric(judge_now: Callable[[], Judged]) -> dict[str, Any]:
    judged = judge_now()
    return {name: lookup(METRICS, name, "metric")(judged, K) for name in METRICS} | {
        name: lookup(CATALOGUE_METRICS, name, "metric")(judged, K) for name in CATALOGUE_METRICS
    }


def floor(judge_now: Callable[[], Judged]) -> float:
    """Seconds for what nobody can leave out: sort the truth's keys, look every listed one up, sum (n, k) once."""
    judged = judge_now()
    truth = np.random.default_rng(1).integers(N_USERS * N_ITEMS, size=500_000)
    began = time.perf_counter()
    keys = np.arange(N_USERS)[:, None] * N_ITEMS + judged.items
    ordered = np.sort(truth)
    place = np.searchsorted(ordered, keys.ravel()).clip(max=len(ordered) - 1)
    (ordered[place] == keys.ravel()).reshape(keys.shape).cumsum(axis=1)
    return time.perf_counter() - began


def test_every_metric_for_100_000_users(benchmark: Any, judging: Callable[[], Judged]) -> None:
    least = min(floor(judging) for _ in range(5))
    values = benchmark.pedantic(every_metric, args=(judging,), rounds=5, warmup_rounds=1)
    assert set(values) == {*METRICS, *CATALOGUE_METRICS}
    seconds = benchmark.stats.stats.min
    print(f"\n{N_USERS / seconds:,.0f} users/s for {len(values)} metrics; {seconds / least:.1f} x the bare join")
    assert seconds < 10 * least


def test_one_metric_for_tuning_costs_little_more_than_the_join(benchmark: Any, judging: Callable[[], Judged]) -> None:
    least = min(floor(judging) for _ in range(5))
    ndcg = lookup(METRICS, "ndcg", "metric")
    benchmark.pedantic(lambda: ndcg(judging(), K), rounds=5, warmup_rounds=1)
    seconds = benchmark.stats.stats.min
    print(f"\n{N_USERS / seconds:,.0f} users/s for ndcg; {seconds / least:.1f} x the bare join")
    assert seconds < 5 * least


def test_intervals_of_ten_metrics(benchmark: Any) -> None:
    values = np.random.default_rng(0).random((N_USERS, 10))
    resamples = 200

    def one_column_resampled() -> float:
        rng, column = np.random.default_rng(0), values[:, 0].copy()
        began = time.perf_counter()
        for _ in range(resamples):
            column[rng.integers(N_USERS, size=N_USERS)].mean()
        return time.perf_counter() - began

    alone = min(one_column_resampled() for _ in range(3))
    options = {"resamples": resamples, "rng": np.random.default_rng(0)}
    benchmark.pedantic(mean_intervals, args=(values,), kwargs=options, rounds=3, warmup_rounds=1)
    seconds = benchmark.stats.stats.min
    print(f"\n{seconds / resamples * 1000:.2f} ms a resample of 10 metrics; {seconds / alone:.1f} x one metric indexed")
    # ten columns for less than half of ten times one
    assert seconds < 5 * alone
