"""Calibration against scipy's divergence, and on a user with a planted taste."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import entropy

from recsys.data.dataset import Dataset
from recsys.data.recommendations import Recommendations
from recsys.rerank.blended import relevance
from recsys.rerank.calibration import Calibration
from tests.recsys.rerank.conftest import sampled
from tests.worlds import dataset

GENRES = ("drama", "comedy", "crime")


def labelled(genres: list[str], likes: list[tuple[int, int]], n_users: int = 2) -> Dataset:
    data = dataset(likes, n_users=n_users, n_items=len(genres))
    return dataclasses.replace(data, item_features={"genres": np.array(genres, dtype=object)})


@pytest.fixture
def world(rng: np.random.Generator) -> Dataset:
    """40 items with one to three genres, some with none; 20 users with four likes each."""
    genres = ["|".join(rng.permutation(GENRES)[: rng.integers(0, 4)]) for _ in range(40)]
    return labelled(genres, [(u, int(i)) for u in range(20) for i in rng.permutation(40)[:4]], n_users=20)


def mix(data: Dataset, items: NDArray[np.integer]) -> NDArray[np.float64]:
    """The mean over the items that have genres of 1 / their number."""
    cells = [data.item_features["genres"][i].split("|") for i in items if data.item_features["genres"][i]]
    shares = [[(genre in cell) / len(cell) for genre in sorted(GENRES)] for cell in cells]
    return np.mean(shares, axis=0) if shares else np.zeros(3)


def divergence(taste: NDArray[np.float64], shown: NDArray[np.float64], smoothing: float = 0.01) -> float:
    kept = taste > 0
    mixed = (1 - smoothing) * shown + smoothing * taste
    # scipy would normalise what is left of q to sum 1
    return float(entropy(taste, mixed / mixed.sum()) - np.log(mixed.sum())) if kept.any() else 0.0


def likes_of(data: Dataset, user: int) -> NDArray[np.int32]:
    return data.interactions.item[data.interactions.user == user]


def test_the_error_is_the_divergence_of_scipy(world: Dataset, rng: np.random.Generator) -> None:
    given = sampled(world, rng, users=range(20))
    measured = Calibration().fit(world).measures(given)["calibration_error"]
    known = 0
    for user in range(20):
        taste, shown = mix(world, likes_of(world, user)), mix(world, given.items[user])
        if taste.any():
            known += 1
            assert measured[user] == pytest.approx(divergence(taste, shown))
        else:
            assert np.isnan(measured[user])
    assert known > 15


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.0])
def test_it_is_the_greedy_of_the_paper_read_literally(
    world: Dataset, rng: np.random.Generator, strength: float
) -> None:
    given = sampled(world, rng, users=range(20))
    after, relevant = Calibration(strength=strength).fit(world).rerank(given, 5), relevance(given, "score")
    for user in range(20):
        taste, chosen = mix(world, likes_of(world, user)), list[int]()
        pull = strength if taste.any() else 0.0
        for place in range(5):
            values = np.full(given.k, -np.inf)
            for j in set(range(given.k)) - set(chosen):
                cost = divergence(taste, mix(world, given.items[user, [*chosen, j]]))
                values[j] = (1 - pull) * relevant[user, [*chosen, j]].sum() - pull * cost
            mine = int(np.flatnonzero(given.items[user] == after.items[user, place])[0])
            assert values[mine] == pytest.approx(values.max(), abs=1e-9)  # equal values may differ by rounding
            chosen.append(mine)


def test_a_taste_of_70_to_30_gets_seven_and_three(ranked: Callable[..., Recommendations]) -> None:
    # items 0..9 are the history; a model that only sees the majority puts all drama first
    genres = ["drama"] * 7 + ["comedy"] * 3 + ["drama"] * 20 + ["comedy"] * 20
    world = labelled(genres, [(0, i) for i in range(10)])
    given = ranked(world, [list(range(10, 50))], users=[0])
    after = Calibration(strength=0.99).fit(world).rerank(given, 10)
    shown = world.item_features["genres"][after.items[0]]
    assert (shown == "drama").sum() == 7
    assert (shown[:4] == "comedy").any()  # not only at the end: every beginning of the list is near the mix


def test_someone_without_a_history_keeps_the_list(world: Dataset, rng: np.random.Generator) -> None:
    given = sampled(world, rng)
    after = Calibration(strength=1.0).fit(world).rerank(given, 5)
    assert np.array_equal(after.items, given.items[:, :5])


def test_with_a_half_life_the_last_likes_are_the_taste(ranked: Callable[..., Recommendations]) -> None:
    world = labelled(["drama"] * 5 + ["comedy"] + ["drama"] * 3 + ["comedy"] * 3, [(0, i) for i in range(6)])
    given = ranked(world, [[6, 7, 8, 9, 10, 11]], users=[0])
    old = Calibration(strength=0.9).fit(world).rerank(given, 3).items[0]
    young = Calibration(strength=0.9, half_life_days=0.2).fit(world).rerank(given, 3).items[0]
    assert (old >= 9).sum() < (young >= 9).sum()


def test_a_column_that_is_not_there_is_refused_with_those_that_are(world: Dataset) -> None:
    with pytest.raises(LookupError, match="unknown item feature 'genre'; did you mean 'genres'"):
        Calibration(column="genre").fit(world)
    bare = dataset([(0, 0)], n_users=1, n_items=2)
    with pytest.raises(ValueError, match=r"finds none of categories.*name a column of labels, it has: parity"):
        Calibration().fit(bare)
