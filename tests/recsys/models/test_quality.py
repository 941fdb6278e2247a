"""On real ratings every personal model must beat popularity, by a margin that only a broken one would miss."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Recommender, create
from recsys.recommend import recommend
from tests.worlds import dataset

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

# Recall@20 measured with these parameters: popularity .118, item_knn .237 and .221, als .251, bpr .17, user_knn .220,
# rp3beta .217, slim .246, pure_svd .230, gfcf .235, ials .244
PERSONAL: list[tuple[str, dict[str, Any], float]] = [
    ("item_knn", {"similarity": "tfidf"}, 1.7),
    ("item_knn", {"similarity": "bm25"}, 1.6),
    ("als", {"alpha": 5.0, "regularization": 30.0}, 1.8),
    ("bpr", {}, 1.2),
    ("user_knn", {"similarity": "tfidf"}, 1.7),
    ("rp3beta", {}, 1.6),
    ("slim", {}, 1.9),
    ("pure_svd", {"factors": 32}, 1.7),
    ("gfcf", {"factors": 64}, 1.8),
    ("ials", {"factors": 32, "unobserved": 0.1}, 1.8),
]


@pytest.fixture(scope="module")
def halves(data_folder: Path) -> tuple[Dataset, NDArray[np.bool_]]:
    """Four fifths of ml-latest-small, and which items of each user are in the fifth."""
    ratings = pl.read_csv(data_folder / "ml-latest-small" / "ratings.csv")
    user, item = ((ratings[c].rank("dense") - 1).to_numpy() for c in ("userId", "movieId"))
    held_out = np.random.default_rng(0).random(len(user)) < 0.2
    n_users, n_items = int(user.max()) + 1, int(item.max()) + 1
    truth = np.zeros((n_users, n_items), dtype=bool)
    truth[user[held_out], item[held_out]] = True
    pairs = np.column_stack([user, item])[~held_out]
    return dataset(pairs, n_users=n_users, n_items=n_items, name="ml-latest-small"), truth


def recall(model: Recommender, train: Dataset, truth: NDArray[np.bool_]) -> float:
    lists = recommend(model, Queries.of(train.interactions, np.arange(len(truth))), 20)
    hits = (np.take_along_axis(truth, lists.items.clip(min=0), axis=1) & (lists.items >= 0)).sum(axis=1)
    relevant = truth.sum(axis=1)
    return float((hits[relevant > 0] / relevant[relevant > 0]).mean())


@pytest.mark.parametrize(("name", "params", "margin"), PERSONAL)
def test_personal_models_beat_popularity_on_movielens(
    halves: tuple[Dataset, NDArray[np.bool_]], name: str, params: dict[str, Any], margin: float
) -> None:
    train, truth = halves
    bar = recall(create("popularity").fit(train), train, truth)
    assert bar == pytest.approx(0.118, abs=0.002)
    assert recall(create(name, **params).fit(train), train, truth) > margin * bar


def test_fusion_is_at_least_as_good_as_its_best_part(halves: tuple[Dataset, NDArray[np.bool_]]) -> None:
    train, truth = halves
    parts = [{"model": name, "params": params} for name, params, _ in (PERSONAL[0], PERSONAL[2])]
    best = max(recall(create(p["model"], **p["params"]).fit(train), train, truth) for p in parts)  # type: ignore[arg-type]
    assert recall(create("fusion", parts=parts, weights=[0.5, 1.0]).fit(train), train, truth) > best
