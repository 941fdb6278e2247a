"""Simulated traffic over the real parts: the registered models answer, the real assigner splits, the real log keeps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from abtest.assignment.assigner import Assigner
from abtest.assignment.plan import Plan
from abtest.events.log import EventLog
from abtest.simulation.calibration import Fitted, fit_world
from abtest.simulation.choice import Behaviour
from abtest.simulation.policy import Observed, Slates
from abtest.simulation.traffic import Summary, simulate
from abtest.simulation.world import World
from abtest.types import Experiment
from experiments.bridge import interactions_of
from experiments.config import WorldConfig
from experiments.package import Package
from recsys.data.dataset import Dataset
from recsys.data.sources.loaded import Loaded
from recsys.data.sources.truth import Market


@dataclass
class PackagePolicy:
    """Fills the slates of each variant with its package's recommendations; histories grow with what users do.

    packages: variant -> package. The world numbers its users and items as it likes; outside ids are the bridge.
    """

    packages: dict[str, Package]
    world: World
    k: int
    _users: dict[str, NDArray[np.int32]] = field(init=False)
    _items: dict[str, NDArray[np.int32]] = field(init=False)

    def __post_init__(self) -> None:
        self._users = {name: p.users.numbers(self.world.users) for name, p in self.packages.items()}
        self._items = {name: world_numbers(self.world, p) for name, p in self.packages.items()}

    def slates(self, variant: str, users: NDArray[np.int32], at: datetime) -> Slates:
        """The variant's lists for these users, in the world's item numbers."""
        lists = self.packages[variant].answer(self._users[variant][users], self.k)
        items = np.where(lists.items >= 0, self._items[variant][lists.items], -1)
        return Slates(items=items.astype(np.int32), scores=lists.scores, fallback=lists.fallback)

    def observe(self, outcomes: Observed) -> None:
        """Every variant's package learns what happened: a user's history does not depend on his variant's model."""
        for variant, package in self.packages.items():
            events = interactions_of(
                package,
                users=self.world.users[outcomes.users],
                items=self.world.items[outcomes.items],
                kinds=outcomes.kinds,
                times=outcomes.times,
            )
            self.packages[variant] = package.observe(events)


def world_numbers(world: World, package: Package) -> NDArray[np.int32]:
    """(n_items,) the world's number of each of the package's items."""
    order = np.argsort(world.items)
    place = np.searchsorted(world.items, package.items.ids, sorter=order).clip(max=len(order) - 1)
    numbers: NDArray[np.int32] = order[place].astype(np.int32)
    missing = package.items.ids[world.items[numbers] != package.items.ids]
    if len(missing):
        raise ValueError(
            f"the world has no item {str(missing[0])!r}, which the model can recommend; {len(missing)} missing"
        )
    return numbers


def market_world(dataset: Dataset, truth: Market) -> World:
    """The truth of the synthetic market, seen from the end of its log: everybody has joined, every item is born."""
    return World(
        users=dataset.users.ids,
        items=dataset.items.ids,
        user_taste=truth.user_taste.astype(np.float64),
        item_taste=truth.item_taste.astype(np.float64),
        user_bias=truth.user_bias.astype(np.float64),
        item_quality=truth.item_quality.astype(np.float64),
        price=truth.price,
        price_sensitivity=truth.price_sensitivity.astype(np.float64),
        category=truth.category.astype(np.int64),
        activity=truth.activity,
        weekend_taste=truth.weekend_taste.astype(np.float64),
        mobile=truth.mobile,
        join_day=truth.join_day.astype(np.int64) - truth.days,
        item_birth_day=truth.item_birth_day.astype(np.int64) - truth.days,
        sigma_0=truth.sigma_0,
        purchase_intercept=truth.purchase_intercept,
    )


def build_world(loaded: Loaded, config: WorldConfig, seed: int) -> tuple[World, Behaviour, Fitted | None]:
    """Who answers the slates and how: the market's own truth, or a response model fitted on the log."""
    dataset = loaded.dataset
    if config.response == "market":
        if loaded.truth is None:
            raise ValueError(
                f"the data set {dataset.name!r} comes with no known truth; "
                "set experiment.world.response to 'fitted', which fits a response model on the log"
            )
        return market_world(dataset, loaded.truth), Behaviour(), None
    rows = dataset.interactions
    fitted = fit_world(
        rows.user,
        rows.item,
        rows.time,
        users=dataset.users.ids,
        items=dataset.items.ids,
        dimensions=config.dimensions,
        target_ctr=config.target_ctr,
        seed=seed,
    )
    return fitted.world, fitted.behaviour, fitted


def run_traffic(
    experiment: Experiment,
    packages: Mapping[str, Package],
    world: World,
    behaviour: Behaviour,
    log: EventLog,
    *,
    start: datetime,
    days: int,
    k: int,
    seed: int,
    report: Callable[[int, int], None] | None = None,
) -> Summary:
    """Send `days` of the world's visits through the experiment; every exposure and outcome ends in the log."""
    assigner = Assigner(Plan([experiment]))

    def assign(units: NDArray[np.str_], at: datetime) -> NDArray[np.int8]:
        return assigner.assign_many(experiment.key, units, at).variant

    policy = PackagePolicy(dict(packages), world, k)
    return simulate(
        world,
        experiment=experiment,
        assign=assign,
        policy=policy,
        log=log,
        start=start,
        days=days,
        seed=seed,
        behaviour=behaviour,
        report=report,
    )
