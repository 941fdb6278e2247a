"""How fast units are assigned. Ratios are asserted, against a floor measured in the same run; seconds are printed."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from abtest.assignment.assigner import Assigner
from abtest.assignment.hashing import bucket_after, buckets, seed_state
from abtest.assignment.plan import Plan
from abtest.types import Experiment, Layer, Variant

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
IDS = [f"user-{i}" for i in range(50_000)]
HALVES = (Variant(name="control", weight=0.5), Variant(name="new", weight=0.5))


@pytest.fixture(scope="module")
def assigner() -> Assigner:
    layer = Layer(name="page", salt="page-salt")
    return Assigner(
        Plan(
            [
                Experiment(key="ranker", variants=HALVES, status="running"),
                Experiment(key="layout", variants=HALVES, status="running", layer=layer, layer_range=(0.0, 0.5)),
            ]
        )
    )


def best(work: Callable[[], object], rounds: int = 7) -> float:
    """The shortest of several runs: the one the rest of the machine disturbed least."""
    seconds = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return min(seconds)


def hash_all() -> None:
    state = seed_state("ranker")
    for unit in IDS:
        bucket_after(state, unit)


@pytest.mark.parametrize(("key", "at_most"), [("ranker", 2.2), ("layout", 3.0)])
def test_an_assignment_costs_little_more_than_its_hash(
    benchmark: BenchmarkFixture, assigner: Assigner, key: str, at_most: float
) -> None:
    # "layout" is in a layer: half of its units are hashed twice
    def assign_all() -> None:
        for unit in IDS:
            assigner.assign(key, unit, MONDAY)

    benchmark(assign_all)
    took, floor = best(assign_all), best(hash_all)
    print(f"\n{key}: {len(IDS) / took:,.0f} assignments per second, {took / floor:.2f} x the bare hash")
    assert took < at_most * floor


@pytest.mark.parametrize("length", [10, 36])
def test_many_hashes_are_far_cheaper_than_one_by_one(benchmark: BenchmarkFixture, length: int) -> None:
    ids = np.array([unit.rjust(length, "x") for unit in IDS])
    state = seed_state("ranker")
    alone = best(lambda: [bucket_after(state, unit) for unit in ids.tolist()], rounds=3)
    many = np.tile(ids, 20)
    benchmark(buckets, "ranker", many)
    per_second = len(many) / best(lambda: buckets("ranker", many))
    print(f"\n{length} characters: {per_second:,.0f} units per second")
    assert per_second > 10 * len(ids) / alone


def test_many_assignments_are_far_cheaper_than_one_by_one(benchmark: BenchmarkFixture, assigner: Assigner) -> None:
    many = np.tile(np.array(IDS), 20)
    benchmark(assigner.assign_many, "layout", many, MONDAY)
    per_second = len(many) / best(lambda: assigner.assign_many("layout", many, MONDAY))
    print(f"\nassign_many in a layer: {per_second:,.0f} units per second")
    assert per_second > 10 * len(IDS) / best(hash_all)
