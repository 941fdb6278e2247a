"""Slots and slates: the right version, in time, whatever a model or the registry does. Real models, tiny."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abtest.service.ports import Slate
from abtest.service.problems import Problem
from abtest.types import Experiment, Outcome, Variant
from experiments.home import Home
from experiments.online.memory import MemoryOnline
from experiments.package import Package
from experiments.serving import Patience, Serving, SlateCache
from experiments.shelf import Aliases, Shelf
from experiments.slots import Breaker, Served, Slots
from recsys.data.sources.loaded import Loaded
from recsys.models.base import Recommender, create
from recsys.models.popularity import Popularity

LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def packages(loaded: Loaded) -> dict[int, Package]:
    """Version 1 knows what is popular, version 2 knows neighbours."""
    dataset = loaded.dataset
    common = Package(
        model=Popularity().fit(dataset),
        fallback=Popularity().fit(dataset),
        users=dataset.users,
        items=dataset.items,
        histories=dataset.interactions,
        titles=dataset.item_features["title"].astype(str),
    )
    return {1: common, 2: replace(common, model=create("item_knn", neighbours=20).fit(dataset))}


@dataclass
class Troubled:
    """Stands before a model: raises or waits when told to, and counts what it was asked."""

    model: Recommender
    raises: bool = False
    waits: threading.Event | None = None
    asked: int = 0
    name: str = "troubled"
    searches: bool = False

    def score(self, queries: Any) -> Any:
        self.asked += 1
        if self.raises:
            raise RuntimeError("out of order")
        if self.waits is not None:
            self.waits.wait(30)
        return self.model.score(queries)


@dataclass
class Registry:
    """Models in a dictionary; `away`: it answers nobody."""

    packages: dict[int, Package]
    champion: int | None = 1
    previous: int | None = None
    away: bool = False
    loads: list[int] = field(default_factory=list)

    def aliases(self) -> Aliases:
        if self.away:
            raise ConnectionError("no route to the registry")
        return Aliases(champion=self.champion, challenger=2, previous=self.previous)

    def load(self, version: int) -> Package:
        if self.away or version not in self.packages:
            raise LookupError(f"no version {version}")
        self.loads.append(version)
        return self.packages[version]


@dataclass(kw_only=True)
class Place:
    serving: Serving
    slots: Slots
    registry: Registry
    time: list[float]

    def ask(self, unit: str, k: int = 5, version: int | None = None) -> Slate:
        variant = None if version is None else Variant(name="v", weight=0.5, payload={"model": "m", "version": version})
        return asyncio.run(self.asking(unit, k, variant))

    def observe(self, events: list[Outcome]) -> None:
        asyncio.run(self.serving.observe(events))

    def follow(self, **how: Any) -> None:
        asyncio.run(self.serving.follow(LATER, **how))

    async def asking(self, unit: str, k: int, variant: Variant | None) -> Slate:
        return await self.serving(unit, k, variant)


@pytest.fixture
def place(packages: dict[int, Package], tmp_path: Path) -> Iterator[Place]:
    with_place = placed(packages, tmp_path)
    yield with_place
    with_place.slots.close()


def placed(packages: dict[int, Package], folder: Path, **registry: Any) -> Place:
    source, time = Registry(dict(packages), **registry), [0.0]
    slots = Slots(
        lambda: source,
        Shelf(Home.at(folder), "m"),
        needed=tuple,
        serve=lambda version, package: Served(
            version=version, package=package, breaker=Breaker(lambda: time[0], 3, 5.0), threads=1, waiting=4
        ),
    )
    slots.open(20.0)
    cache = SlateCache(lambda: time[0], seconds=30.0, users=100)
    patience = Patience(deadline=2.0, second=2.0)
    serving = Serving("m", slots, cache=cache, live=MemoryOnline(), patience=patience)
    return Place(serving=serving, slots=slots, registry=source, time=time)


def trouble(place: Place, version: int, **how: Any) -> Troubled:
    served = place.slots.current.served[version]
    troubled = Troubled(served.package.model, **how)
    served.answering = replace(served.answering, package=replace(served.package, model=troubled))  # type: ignore[arg-type]
    place.serving.patience = replace(place.serving.patience, deadline=0.05)
    return troubled


def known(packages: dict[int, Package]) -> str:
    """A user with a history."""
    return str(packages[1].users.ids[int(packages[1].histories.user[0])])


def items_of(package: Package, unit: str, k: int = 5) -> tuple[str, ...]:
    return tuple(package.table([unit], k)["item"].to_pylist())


def click(unit: str, item: str, at: datetime = LATER) -> Outcome:
    return Outcome(id=f"{unit}-{item}-{at}", unit=unit, kind="click", item=item, at=at)


# who answers


def test_the_variants_version_answers_and_without_one_the_champion(place: Place, packages: dict[int, Package]) -> None:
    unit = known(packages)
    for version, asked in ((1, None), (1, 1), (2, 2)):
        slate = place.ask(unit, version=asked)
        assert (slate.items, slate.version, slate.fallback) == (items_of(packages[version], unit), version, "")
        assert len(slate.titles) == len(slate.scores) == 5
    assert items_of(packages[1], unit) != items_of(packages[2], unit)


def test_a_variant_of_another_model_is_refused(place: Place) -> None:
    for payload in ({"model": "other", "version": 1}, {"colour": "red"}):
        with pytest.raises(Problem, match="names no version of 'm'"):
            asyncio.run(place.asking("u", 5, Variant(name="v", weight=0.5, payload=payload)))


def test_an_experiment_is_prepared_by_loading_what_it_names(place: Place) -> None:
    variants = tuple(Variant(name=f"v{n}", weight=0.5, payload={"version": n}) for n in (1, 2))
    place.serving.prepare(Experiment(key="e", variants=variants))
    lost = (variants[0], Variant(name="v9", weight=0.5, payload={"version": 9}))
    with pytest.raises(ValueError, match="version 9 cannot be loaded: LookupError: no version 9"):
        place.serving.prepare(Experiment(key="e", variants=lost))
    with pytest.raises(ValueError, match="every variant must name a version of 'm'"):
        place.serving.prepare(Experiment(key="e", variants=(variants[0], Variant(name="x", weight=0.5))))


# a model in trouble


def test_a_model_that_raises_is_stood_in_for_by_the_champion_and_left_alone_for_a_while(
    place: Place, packages: dict[int, Package]
) -> None:
    troubled = trouble(place, 2, raises=True)
    slates = [place.ask(f"u{n}", version=2) for n in range(5)]
    assert {(slate.fallback, slate.version) for slate in slates} == {("champion", 1)}
    assert [slate.why for slate in slates] == ["error"] * 3 + ["busy"] * 2
    assert troubled.asked == 3
    troubled.raises = False
    place.time[0] = 6.0
    assert place.ask("u9", version=2).fallback == ""
    assert place.ask("u8", version=2).fallback == ""


def test_a_model_that_hangs_holds_nobody_up(place: Place, packages: dict[int, Package]) -> None:
    unit, hold = known(packages), threading.Event()
    trouble(place, 2, waits=hold)
    slate = place.ask(unit, version=2)
    assert not hold.is_set()  # the model still has not answered
    assert (slate.fallback, slate.why, slate.items) == ("champion", "deadline", items_of(packages[1], unit))
    hold.set()


def test_when_the_champion_fails_too_what_is_popular_and_unseen_is_shown(
    place: Place, packages: dict[int, Package]
) -> None:
    unit = known(packages)
    trouble(place, 1, raises=True)
    trouble(place, 2, raises=True)
    for version in (None, 2):
        slate = place.ask(unit, version=version)
        assert (slate.fallback, slate.why) == ("popularity", "error")
        assert slate.items == items_of(packages[1], unit)  # which is popularity
        assert np.isnan(slate.scores).all()


def test_a_version_that_is_not_loaded_is_missing(place: Place) -> None:
    slate = place.ask("u", version=7)
    assert (slate.fallback, slate.why, slate.version) == ("champion", "missing", 1)


def test_waiting_calls_are_bounded(place: Place) -> None:
    hold = threading.Event()
    trouble(place, 1, waits=hold)

    async def crowd() -> list[Slate]:
        return await asyncio.gather(*(place.serving(f"u{n}", 5, None) for n in range(9)))

    why = [slate.why for slate in asyncio.run(crowd())]
    hold.set()
    # four may wait: those that are computed run into the deadline, the others never come to their turn
    assert set(why) == {"busy", "deadline"}
    assert 1 <= why.count("deadline") <= 4


def test_what_waits_together_is_answered_together_each_with_its_own(place: Place, packages: dict[int, Package]) -> None:
    hold = threading.Event()
    troubled = trouble(place, 2, waits=hold)
    place.serving.patience = replace(place.serving.patience, deadline=20.0)
    units = [str(unit) for unit in packages[2].users.ids[:4]]

    async def crowd() -> list[Slate]:
        variant = Variant(name="v", weight=0.5, payload={"version": 2})
        first = asyncio.create_task(place.serving(units[0], 5, variant))
        while troubled.asked == 0:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(place.serving(unit, 5, variant)) for unit in units[1:]]
        await asyncio.sleep(0.01)
        hold.set()
        return await asyncio.gather(first, *others)

    slates = asyncio.run(crowd())
    assert [slate.items for slate in slates] == [items_of(packages[2], unit) for unit in units]
    assert troubled.asked == 2


# slots


def test_a_new_champion_is_swapped_in_and_the_one_before_stays_warm(place: Place) -> None:
    first = place.slots.current.served[1]
    place.registry.champion, place.registry.previous = 2, 1
    place.slots.refresh()
    assert (place.slots.current.champion, place.ask("u").version) == (2, 2)
    place.registry.champion, place.registry.previous = 1, None
    place.slots.refresh()
    assert place.slots.current.served[1] is first
    assert sorted(place.registry.loads) == [1, 2]  # each loaded once


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_serving(place: Place) -> None:
    place.registry.champion = 9
    place.slots.refresh()
    assert place.slots.current.champion == 1
    assert "version 9 cannot be loaded" in place.slots.problems[0]
    place.registry.champion = 1
    place.slots.refresh()
    assert place.slots.problems == ()


def test_a_registry_that_is_away_at_the_start_stops_nothing(packages: dict[int, Package], tmp_path: Path) -> None:
    before = placed(packages, tmp_path, champion=2, previous=1)
    before.slots.close()
    after = placed({}, tmp_path, away=True)
    assert after.slots.current.champion == 2
    assert "the registry does not answer" in after.slots.problems[0]
    unit = known(packages)
    assert after.ask(unit).items == items_of(packages[2], unit)
    after.registry.away, after.registry.champion = False, 1
    after.slots.refresh()  # it is back: no restart
    assert (after.slots.current.champion, after.slots.problems) == (1, ())
    after.slots.close()


def test_with_nothing_ever_loaded_it_says_so(packages: dict[int, Package], tmp_path: Path) -> None:
    empty = placed(packages, tmp_path, away=True)
    with pytest.raises(Problem, match="no version of 'm' is loaded") as refused:
        empty.ask("u")
    assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "5"})


def test_the_shelf_keeps_what_is_served_and_drops_the_rest(packages: dict[int, Package], tmp_path: Path) -> None:
    shelf = Shelf(Home.at(tmp_path), "m")
    for version in (1, 2):
        shelf.keep(version, packages[version])
    shelf.keep(1, packages[1])  # another process was faster: no error
    shelf.drop_others([2])
    assert (shelf.versions(), shelf.load(1)) == ([2], None)
    assert [path.name for path in shelf.folder.iterdir()] == ["2"]


# what users do


def test_a_slate_is_kept_until_its_time_is_over_or_its_user_does_something(
    place: Place, packages: dict[int, Package]
) -> None:
    unit = known(packages)
    assert [place.ask(unit).cached for _ in range(2)] == [False, True]
    assert place.ask(unit, k=4).cached is False
    place.time[0] = 31.0
    assert place.ask(unit).cached is False
    place.observe([click(unit, place.ask(unit).items[0])])
    assert place.ask(unit).cached is False


def test_a_slate_made_before_an_event_is_not_kept_after_it(place: Place, packages: dict[int, Package]) -> None:
    page = place.serving.cache.page("u")
    place.observe([click("u", "i1")])
    place.serving.cache.write(page, 5, (), Slate(items=("old",), scores=(1.0,), model="m", version=1))
    assert place.ask("u").items != ("old",)


def test_what_was_touched_is_not_shown_again_and_makes_a_newcomer_known(
    place: Place, packages: dict[int, Package]
) -> None:
    first = place.ask("a newcomer", version=2)
    assert np.isnan(first.scores).all()  # nobody knows him: the package's own fallback
    place.observe([click("a newcomer", item) for item in first.items[:2]])
    second = place.ask("a newcomer", version=2)
    assert not set(first.items[:2]) & set(second.items)
    assert np.isfinite(second.scores).all()  # neighbours of what he touched


def test_events_that_the_histories_hold_already_do_not_count_twice(place: Place, packages: dict[int, Package]) -> None:
    old = datetime.fromtimestamp(packages[2].histories.time.max().astype(int), UTC) - timedelta(days=1)
    place.observe([click("a newcomer", "i1", old)])
    assert np.isnan(place.ask("a newcomer", version=2).scores).all()


def test_histories_are_those_of_the_users_seen_last() -> None:
    live = MemoryOnline(users=2)
    asyncio.run(live.add([click("a", "i"), click("b", "i"), click("c", "i")]))
    assert (asyncio.run(live.history("a")), len(live)) == ((), 2)


def test_a_slate_is_for_the_history_it_was_made_for(place: Place, packages: dict[int, Package]) -> None:
    """Another process took up what the user did; this one only finds it in the state that they share."""
    unit = known(packages)
    first = place.ask(unit).items[0]
    assert place.ask(unit).cached
    asyncio.run(place.serving.live.add([click(unit, first)]))
    again = place.ask(unit)
    assert (again.cached, first in again.items) == (False, False)


# what trends


def test_what_trends_fills_the_places_that_no_model_fills(place: Place, packages: dict[int, Package]) -> None:
    rare = packages[2].items.ids[np.argsort(packages[2].histories.item_users, kind="stable")[:2]].tolist()
    assert not set(rare) & set(place.ask("a newcomer", version=2).items)
    told = [replace(click(f"u{n}", rare[0]), id=f"a{n}") for n in range(9)]
    place.observe([*told, *(replace(click(f"u{n}", rare[1]), id=f"b{n}") for n in range(6)), click("u0", "nothing")])
    place.follow(most=10, least=7)
    assert place.ask("another newcomer", version=2).items[0] == rare[0]
    place.follow(most=10, least=5)
    slate = place.ask("a third newcomer", version=2)
    assert slate.items[:2] == (rare[0], rare[1])
    assert np.isnan(slate.scores).all()  # flagged as what a fallback filled
    assert rare[0] not in place.ask("u1", version=2).items  # he has it already
    trouble(place, 1, raises=True)
    assert place.ask("a fourth newcomer", version=1).items[:2] == (rare[0], rare[1])  # no model at all
    place.follow(most=0, least=5)
    assert not set(rare) & set(place.ask("a fifth newcomer", version=2).items)
