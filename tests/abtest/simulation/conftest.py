"""Worlds and policies for the simulation's tests."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from abtest.simulation.policy import Observed, Slates
from abtest.simulation.world import World, affinity, draw_world

Lists = dict[str, NDArray[np.int32]]


class ListPolicy:
    """A fixed list for each user and variant; remembers what it was asked and told."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self.calls: list[tuple[str, NDArray[np.int32], datetime]] = []
        self.seen: list[Observed] = []

    def slates(self, variant: str, users: NDArray[np.int32], at: datetime) -> Slates:
        self.calls.append((variant, users, at))
        items = self.lists[variant][users]
        scores = np.where(items >= 0, -np.arange(items.shape[1]), np.nan).astype(np.float32)
        return Slates(items=items, scores=scores, fallback=users % 2 == 1)

    def observe(self, outcomes: Observed) -> None:
        self.seen.append(outcomes)


def best_lists(world: World, noise: float, k: int = 10) -> NDArray[np.int32]:
    """Each user's top k by true affinity plus noise: a model that knows tastes, more or less."""
    everybody = np.arange(world.n_users, dtype=np.int32)
    everything = np.broadcast_to(np.arange(world.n_items, dtype=np.int32), (world.n_users, world.n_items))
    scores = affinity(world, everybody, everything)
    noisy = scores + noise * np.random.default_rng(5).standard_normal(scores.shape)
    return np.argsort(-noisy, axis=1)[:, :k].astype(np.int32)


@pytest.fixture(scope="session")
def market() -> World:
    """2,000 users and 1,000 items with the default spreads."""
    return draw_world(2_000, 1_000, rng=np.random.default_rng(1))


@pytest.fixture(scope="session")
def small() -> World:
    return draw_world(300, 60, rng=np.random.default_rng(2), n_categories=5, sigma_0=-1.5, purchase_intercept=-1.0)


@pytest.fixture
def policy_of() -> Callable[..., ListPolicy]:
    """Make a policy: of given lists by variant, or of the same noisy list of true favourites for each variant."""

    def make(world: World, *variants: str, noise: float = 1.0, lists: Lists | None = None) -> ListPolicy:
        return ListPolicy(lists or dict.fromkeys(variants or ("control", "treatment"), best_lists(world, noise)))

    return make


@pytest.fixture
def start() -> datetime:
    return datetime(2024, 3, 4, tzinfo=UTC)  # a Monday
