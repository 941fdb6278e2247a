"""MMR and DPP against the formulas they stand for, and what makes items alike."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.recommendations import Recommendations
from recsys.metrics.beyond_accuracy import diversity
from recsys.metrics.item_vectors import item_vectors
from recsys.metrics.judged import judge
from recsys.rerank.base import create
from recsys.rerank.blended import relevance
from recsys.rerank.dpp import DPP
from recsys.rerank.mmr import MMR
from tests.recsys.rerank.conftest import sampled
from tests.worlds import dataset, random_market


def described(vectors: NDArray[np.floating]) -> Dataset:
    """A catalogue whose items are these vectors."""
    data = dataset([(0, 0)], n_users=1, n_items=len(vectors))
    return dataclasses.replace(data, item_features={"image": np.asarray(vectors, np.float32)})


@pytest.fixture
def world(rng: np.random.Generator) -> Dataset:
    vectors = rng.normal(size=(30, 6))
    vectors[3] = 0  # an item without a vector
    vectors[5] = vectors[4]  # and two that are the same
    return described(vectors)


def picks(places: NDArray[np.int32], given: Recommendations, row: int) -> list[int]:
    return [int(np.flatnonzero(given.items[row] == item)[0]) for item in places]


def literal_mmr(relevant: NDArray[np.float64], cosines: NDArray[np.float64], strength: float, k: int) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < k:
        left = [i for i in range(len(relevant)) if i not in chosen]
        value = {
            i: (1 - strength) * relevant[i] - strength * (max(cosines[i, j] for j in chosen) if chosen else 0)
            for i in left
        }
        chosen.append(max(left, key=lambda i: value[i]))
    return chosen


def log_det(kernel: NDArray[np.float64], chosen: list[int]) -> float:
    return float(np.linalg.slogdet(kernel[np.ix_(chosen, chosen)])[1]) if chosen else 0.0


def objective(relevant: NDArray[np.float64], kernel: NDArray[np.float64], strength: float, chosen: list[int]) -> float:
    return (1 - strength) * float(relevant[chosen].sum()) + strength * log_det(kernel, chosen)


def literal_dpp(relevant: NDArray[np.float64], kernel: NDArray[np.float64], strength: float, k: int) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < k:
        left = [i for i in range(len(relevant)) if i not in chosen]
        chosen.append(max(left, key=lambda i: objective(relevant, kernel, strength, [*chosen, i])))
    return chosen


def cosines_of(world: Dataset, items: NDArray[np.int32]) -> NDArray[np.float64]:
    vectors = np.asarray(world.item_features["image"], np.float64)[items]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    cosines: NDArray[np.float64] = unit @ unit.T
    return cosines


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9, 1.0])
def test_mmr_is_its_formula_read_literally(world: Dataset, rng: np.random.Generator, strength: float) -> None:
    given = sampled(world, rng)
    reranker = MMR(strength=strength, vectors="content").fit(world)
    after, relevant = reranker.rerank(given, 6), relevance(given, "score")
    for row in range(len(given.items)):
        expected = literal_mmr(relevant[row], cosines_of(world, given.items[row]), strength, 6)
        assert picks(after.items[row], given, row) == expected


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9, 1.0])
def test_dpp_is_the_greedy_maximum_of_its_determinants(
    world: Dataset, rng: np.random.Generator, strength: float
) -> None:
    given = sampled(world, rng)
    reranker = DPP(strength=strength, vectors="content", ridge=0.05).fit(world)
    after, relevant = reranker.rerank(given, 6), relevance(given, "score")
    for row in range(len(given.items)):
        kernel = 0.95 * cosines_of(world, given.items[row])
        np.fill_diagonal(kernel, 1.0)
        chosen = picks(after.items[row], given, row)
        assert chosen == literal_dpp(relevant[row], kernel, strength, 6)


def test_dpp_comes_near_the_best_of_all_lists(world: Dataset, rng: np.random.Generator) -> None:
    given = sampled(world, rng, m=9)
    after, relevant = DPP(strength=0.5, vectors="content").fit(world).rerank(given, 4), relevance(given, "score")
    gaps = []
    for row in range(len(given.items)):
        kernel = 0.99 * cosines_of(world, given.items[row])
        np.fill_diagonal(kernel, 1.0)
        every = [objective(relevant[row], kernel, 0.5, list(s)) for s in itertools.combinations(range(9), 4)]
        mine = objective(relevant[row], kernel, 0.5, picks(after.items[row], given, row))
        assert mine <= max(every) + 1e-6
        gaps.append((max(every) - mine) / (max(every) - np.median(every)))
    assert np.mean(gaps) < 0.1  # greedy is no optimum, but a long way from a list by chance


@pytest.mark.parametrize("name", ["mmr", "dpp"])
def test_groups_of_twins_take_turns(name: str, ranked: Callable[..., Recommendations]) -> None:
    world = described(np.eye(3)[[0, 0, 0, 1, 1, 2]])
    given = ranked(world, [[0, 1, 2, 3, 4, 5]], [[1.0, 0.99, 0.98, 0.97, 0.96, 0.95]])
    after = create(name, strength=0.9, relevance="rank", vectors="content").fit(world).rerank(given, 6)
    assert after.items[0, :3].tolist() == [0, 3, 5]


@pytest.mark.parametrize("name", ["mmr", "dpp"])
def test_more_strength_gives_more_of_the_metric(name: str, rng: np.random.Generator) -> None:
    data = random_market(rng, 40, 60, 800)
    given = sampled(data, rng, n=200, m=40)
    # the parity of the number is no label column: these are the vectors of who touched what
    assert item_vectors(data).origin == "collaborative"
    means = []
    for strength in (0.0, 0.3, 0.7, 1.0):
        after = create(name, strength=strength).fit(data).rerank(given, 10)
        judged = judge(after, data.interactions, seen=data.interactions, item_vectors=item_vectors(data).values)
        means.append(float(np.nanmean(diversity(judged, 10))))
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.05


def test_the_measure_is_the_metric(rng: np.random.Generator) -> None:
    data = random_market(rng, 40, 60, 800)
    given = sampled(data, rng, n=50)
    judged = judge(given, data.interactions, seen=data.interactions, item_vectors=item_vectors(data).values)
    measured = MMR().fit(data).measures(given)["diversity"]
    np.testing.assert_allclose(measured, diversity(judged, 10), atol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"vectors": "contents"}, "vectors of reranker 'mmr' must be one of"),
        ({"encoders": [{"encoder": "tfidf", "params": {"columns": ["title"]}}]}, "are for vectors: content"),
        ({"vectors": "content", "encoders": [{"encoder": "tfidff"}]}, "did you mean 'tfidf'"),
    ],
)
def test_what_cannot_be_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        create("mmr", **params)


def test_a_column_that_the_items_lack_is_refused_at_fit(world: Dataset) -> None:
    encoders = [{"encoder": "tfidf", "params": {"columns": ["title"]}}]
    with pytest.raises(LookupError, match="unknown feature 'title'; known: image"):
        MMR(vectors="content", encoders=encoders).fit(world)
