"""A shop with 40,000 items and a pipeline fitted on its log: half a minute, single-threaded."""

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.vocabulary import Vocabulary
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import create

N_USERS, N_ITEMS, N_LIKES = 20_000, 40_000, 400_000


def shop() -> Dataset:
    """Users with a taste for a part of the catalogue, items with a category and a price."""
    rng = np.random.default_rng(0)
    group = rng.integers(200, size=N_USERS)
    user = rng.integers(N_USERS, size=N_LIKES)
    own = rng.random(N_LIKES) < 0.7
    item = np.where(own, group[user] + 200 * (200 * rng.random(N_LIKES) ** 2).astype(int), 0)
    item = np.where(own, item, N_ITEMS * rng.random(N_LIKES) ** 3).astype(np.int32)
    day = rng.integers(90 * 86_400, size=N_LIKES).astype("timedelta64[s]")
    return Dataset(
        name="shop",
        interactions=Interactions.of(
            user=user, item=item, time=np.datetime64("2025-01-01", "s") + day, n_users=N_USERS, n_items=N_ITEMS
        ),
        users=Vocabulary(np.array([f"u{i:05}" for i in range(N_USERS)])),
        items=Vocabulary(np.array([f"i{i:05}" for i in range(N_ITEMS)])),
        item_features={
            "category": np.array([f"c{i % 200}" for i in range(N_ITEMS)], dtype=object),
            "price": rng.lognormal(3, 1, N_ITEMS),
        },
        user_features={"country": rng.choice(np.array(["GB", "DE", "FR"], dtype=object), N_USERS)},
    )


def shop_pipeline(data: Dataset) -> Pipeline:
    """Three sources, all features, a hundred trees, one re-ranker."""
    made = create(
        "pipeline",
        candidates=[
            {"model": "als", "params": {"factors": 32, "iterations": 3}, "m": 500},
            {"model": "rp3beta", "params": {"neighbours": 100}, "m": 400},
            {"model": "popularity", "m": 300},
        ],
        ranker={"n_trees": 100, "held_out": 0.0},
        rerankers=[{"name": "spacing"}],
        queries=400,
    )
    assert isinstance(made, Pipeline)
    return made.fit(data)
