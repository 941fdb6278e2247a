"""How fast the simulated market is, one thread: the choice model alone, and the whole line down to the event log."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from abtest.events.memory import MemoryLog
from abtest.simulation.choice import Behaviour, clicks, examination, purchase_chance
from abtest.simulation.draws import Draws, Purpose
from abtest.simulation.policy import Observed, Slates
from abtest.simulation.traffic import simulate
from abtest.simulation.truth import user_totals
from abtest.simulation.visits import Market
from abtest.simulation.world import World, affinity, draw_world
from abtest.types import Experiment, Variant

K = 10
START = datetime(2024, 3, 4, tzinfo=UTC)


class Rotating:
    """Ten items from a place in the catalogue that depends on the user: next to no time for the slates themselves."""

    def __init__(self, world: World) -> None:
        first = np.arange(world.n_users) * 7 % (world.n_items - K)
        self.lists = (first[:, None] + np.arange(K)).astype(np.int32)

    def slates(self, variant: str, users: NDArray[np.int32], at: datetime) -> Slates:
        items = self.lists[users]
        return Slates(items=items, scores=np.ones(items.shape, np.float32), fallback=np.zeros(len(users), np.bool_))

    def observe(self, outcomes: Observed) -> None:
        pass


def halves(units: NDArray[np.str_], at: datetime) -> NDArray[np.int8]:
    return (np.arange(len(units)) % 2).astype(np.int8)


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(20_000, 2_000, rng=np.random.default_rng(1))


def told(benchmark: Any, impressions: float) -> float:
    rate = impressions / benchmark.stats.stats.min
    benchmark.extra_info["impressions_per_second"] = rate
    print(f"\n{rate / 1e6:.2f} million impressions per second")
    return float(rate)


def test_choice_model(benchmark: Any, world: World) -> None:
    behaviour, draws = Behaviour(), Draws(1)
    users = np.arange(20_000, dtype=np.int32)
    items = Rotating(world).lists

    def choose() -> None:
        liking = affinity(world, users, items)
        clicked = clicks(
            liking,
            examination(world.mobile[users], K, behaviour),
            behaviour,
            click=draws.uniforms(Purpose.CLICK, 0, users, places=K),
            patience=draws.uniforms(Purpose.PATIENCE, 0, users),
            leave=draws.uniforms(Purpose.LEAVE, 0, users),
        )
        rows, places = np.nonzero(clicked)
        gaps = world.price_gap[items[rows, places]]
        purchase_chance(liking[rows, places], gaps, world.price_sensitivity[rows], -3.4, behaviour)

    benchmark(choose)
    assert told(benchmark, 20_000 * K) > 2e6


def test_market_without_a_log(benchmark: Any, world: World) -> None:
    market = Market(
        world=world,
        variants=("control", "treatment"),
        assign=halves,
        policy=Rotating(world),
        start=START,
        seed=1,
        behaviour=Behaviour(),
        planted={},
    )
    totals = benchmark(user_totals, market, 7)
    assert told(benchmark, totals[2].sum()) > 5e5


def test_traffic_with_events(benchmark: Any, world: World) -> None:
    variants = (Variant(name="control", weight=0.5), Variant(name="treatment", weight=0.5))
    experiment = Experiment(key="bench", variants=variants)

    def run() -> int:
        return simulate(
            world,
            experiment=experiment,
            assign=halves,
            policy=Rotating(world),
            log=MemoryLog(),
            start=START,
            days=7,
            seed=1,
        ).impressions

    assert told(benchmark, benchmark(run)) > 2e5
