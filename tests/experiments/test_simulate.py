from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from abtest.events.sqlite import SQLiteLog
from abtest.simulation.choice import Behaviour
from abtest.simulation.policy import Observed
from abtest.simulation.traffic import Summary
from abtest.simulation.world import World
from abtest.types import Experiment, Variant
from experiments.config import WorldConfig
from experiments.package import Package
from experiments.simulate import PackagePolicy, build_world, market_world, run_traffic, world_numbers
from recsys.data.dataset import Dataset
from recsys.data.sources.loaded import Loaded
from recsys.data.vocabulary import Vocabulary
from recsys.models.base import create
from recsys.models.popularity import Popularity

START = datetime(2025, 2, 15, tzinfo=UTC)
DAYS = 6
EXPERIMENT = Experiment(
    key="e",
    variants=(Variant(name="popular", weight=0.5), Variant(name="knn", weight=0.5)),
    starts=START,
    ends=START + timedelta(days=DAYS),
    status="running",
)


def packaged(data: Dataset, model: str) -> Package:
    return Package(
        model=create(model).fit(data),
        fallback=Popularity().fit(data),
        users=data.users,
        items=data.items,
        histories=data.interactions,
        titles=data.items.ids.astype(str),
    )


@pytest.fixture(scope="module")
def packages(loaded: Loaded) -> dict[str, Package]:
    return {"popular": packaged(loaded.dataset, "popularity"), "knn": packaged(loaded.dataset, "item_knn")}


@pytest.fixture(scope="module")
def world(loaded: Loaded) -> World:
    assert loaded.truth is not None
    return market_world(loaded.dataset, loaded.truth)


def traffic(world: World, packages: dict[str, Package], log: SQLiteLog, seed: int = 1) -> Summary:
    return run_traffic(EXPERIMENT, packages, world, Behaviour(), log, start=START, days=DAYS, k=5, seed=seed)


def test_slates_name_the_items_that_the_package_recommends_however_the_world_numbers_them(
    packages: dict[str, Package], world: World, rng: np.random.Generator
) -> None:
    shuffled = replace(world, users=rng.permutation(world.users), items=rng.permutation(world.items))
    policy = PackagePolicy(dict(packages), shuffled, k=5)
    users = np.array([3, 50, 7], np.int32)
    for variant, package in packages.items():
        shown = shuffled.items[policy.slates(variant, users, START).items]
        asked = package.recommend(shuffled.users[users], 5)
        assert shown.tolist() == package.items.ids[asked.items].tolist()


def test_what_users_do_reaches_the_histories_of_every_variant(packages: dict[str, Package], world: World) -> None:
    policy = PackagePolicy(dict(packages), world, k=5)
    user = np.array([3], np.int32)
    first = int(policy.slates("knn", user, START).items[0, 0])
    policy.observe(
        Observed(
            users=user,
            items=np.array([first], np.int32),
            kinds=np.array(["click"]),
            values=np.ones(1),
            times=np.array([START.replace(tzinfo=None)], "datetime64[s]"),
        )
    )
    for variant in packages:
        assert first not in policy.slates(variant, user, START).items
    assert len(packages["knn"].histories) == len(policy.packages["knn"].histories) - 1


def test_an_item_that_the_world_does_not_have_is_refused(packages: dict[str, Package], world: World) -> None:
    strange = replace(packages["knn"], items=Vocabulary(np.array([*packages["knn"].items.ids[:-1], "zzz"])))
    with pytest.raises(ValueError, match="the world has no item 'zzz', which the model can recommend; 1 missing"):
        world_numbers(world, strange)


def test_the_same_seed_gives_the_same_log(packages: dict[str, Package], world: World, tmp_path: Path) -> None:
    with SQLiteLog(tmp_path / "a.sqlite") as one, SQLiteLog(tmp_path / "b.sqlite") as two:
        assert traffic(world, packages, one) == traffic(world, packages, two)
        assert one.exposures().equals(two.exposures()) or str(one.exposures()) == str(two.exposures())
        assert one.outcomes().equals(two.outcomes())
        assert len(one.exposures()) > 50


def test_traffic_that_is_sent_again_is_already_logged(
    packages: dict[str, Package], world: World, tmp_path: Path
) -> None:
    with SQLiteLog(tmp_path / "log.sqlite") as log:
        first = traffic(world, packages, log)
        exposures, outcomes = len(log.exposures()), len(log.outcomes())
        again = traffic(world, packages, log)
        assert first.already_logged == 0
        assert again.already_logged == exposures + outcomes
        assert (len(log.exposures()), len(log.outcomes())) == (exposures, outcomes)


def test_another_seed_gives_another_log(packages: dict[str, Package], world: World, tmp_path: Path) -> None:
    with SQLiteLog(tmp_path / "a.sqlite") as one, SQLiteLog(tmp_path / "b.sqlite") as two:
        assert traffic(world, packages, one, seed=1) != traffic(world, packages, two, seed=2)


def test_nobody_is_shown_what_he_has_seen_in_the_log_or_on_an_earlier_day(
    loaded: Loaded, packages: dict[str, Package], world: World, tmp_path: Path
) -> None:
    with SQLiteLog(tmp_path / "log.sqlite") as log:
        traffic(world, packages, log)
        exposures, outcomes = log.exposures().to_pylist(), log.outcomes().to_pylist()
    data = loaded.dataset
    seen = {
        (user, item, START.date() - timedelta(days=1))
        for user, item in zip(
            data.users.ids[data.interactions.user].tolist(),
            data.items.ids[data.interactions.item].tolist(),
            strict=True,
        )
    } | {(row["unit"], row["item"], row["at"].date()) for row in outcomes}
    for row in exposures:
        for item in row["items"]:
            days = [START.date() + timedelta(days=n) for n in range(-1, (row["at"].date() - START.date()).days)]
            assert not any((row["unit"], item, day) in seen for day in days)


def test_the_market_answers_with_its_own_truth(loaded: Loaded) -> None:
    world, _, fitted = build_world(loaded, WorldConfig(), seed=1)
    assert fitted is None
    assert world.users.tolist() == loaded.dataset.users.ids.tolist()
    assert world.join_day.max() <= 0  # everybody has joined when the log ends


def test_data_without_a_truth_says_how_to_fit_one(loaded: Loaded) -> None:
    with pytest.raises(ValueError, match=r"comes with no known truth; set experiment\.world\.response to 'fitted'"):
        build_world(replace(loaded, truth=None), WorldConfig(), seed=1)


def test_a_fitted_world_serves_the_users_and_items_of_the_log(loaded: Loaded) -> None:
    world, _, fitted = build_world(loaded, WorldConfig(response="fitted", dimensions=4), seed=1)
    assert fitted is not None
    assert set(world.users.tolist()) <= set(loaded.dataset.users.ids.tolist())
    assert set(loaded.dataset.items.ids.tolist()) == set(world.items.tolist())
