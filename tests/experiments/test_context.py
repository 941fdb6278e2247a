"""What a request tells of itself reaches the models that were fitted with it, and only those."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abtest.service.ports import Slate
from experiments.home import Home
from experiments.live import Asked
from experiments.online.memory import MemoryOnline
from experiments.package import Package
from experiments.serving import SLATES, Patience, Serving, SlateCache
from experiments.shelf import Aliases, Shelf
from experiments.slots import Breaker, Served, Slots
from recsys.data.dataset import Dataset
from recsys.data.sources.loaded import Loaded
from recsys.hybrid.fusion import Fusion
from recsys.hybrid.pipeline import Pipeline
from recsys.models.popularity import Popularity
from tests.experiments.conftest import packed
from tests.worlds import dataset


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Ten users: those from se like the even items, those from no the odd ones; ages of all."""
    pairs = [(user, item) for user in range(10) for item in range(user % 2, 12, 2) if item != user]
    made = dataset(pairs, n_users=10, n_items=12)
    countries = np.array(["se", "no"] * 5, dtype=object)
    return replace(made, user_features={"country": countries, "age": np.arange(20.0, 30.0)})


class Place:
    """A service of one version."""

    def __init__(self, package: Package, folder: Path) -> None:
        self.package = package
        self.slots = Slots(
            lambda: self,
            Shelf(Home.at(folder), "m"),
            needed=tuple,
            serve=lambda version, package: Served(
                version=version, package=package, breaker=Breaker(lambda: 0.0, 3, 5.0), threads=1
            ),
        )
        self.slots.open(20.0)
        cache = SlateCache(lambda: 0.0, seconds=30.0, users=100)
        patience = Patience(deadline=5.0, second=5.0)
        self.serving = Serving("m", self.slots, cache=cache, live=MemoryOnline(), patience=patience)

    def aliases(self) -> Aliases:
        return Aliases(champion=1, challenger=None, previous=None)

    def load(self, version: int) -> Package:
        return self.package

    def ask(self, unit: str, **context: Any) -> Slate:
        return asyncio.run(self.serving(unit, 4, None, context))


@pytest.fixture
def by_country(data: Dataset, tmp_path: Path) -> Iterator[Place]:
    place = Place(packed(data, Popularity(segment="country", prior=0.1)), tmp_path)
    yield place
    place.slots.close()


def parities(data: Dataset, slate: Slate) -> set[int]:
    return {int(number) % 2 for number in data.items.numbers(list(slate.items))}


def test_a_visitor_gets_what_is_popular_where_the_request_comes_from(by_country: Place, data: Dataset) -> None:
    assert parities(data, by_country.ask("visitor", country="se")) == {0}
    assert parities(data, by_country.ask("visitor", country="no")) == {1}
    assert by_country.ask("visitor", country="dk").items == by_country.ask("visitor").items


def test_a_slate_is_kept_for_what_its_request_told_of_what_the_model_reads(by_country: Place) -> None:
    first = by_country.ask("visitor", country="se", battery=0.3)
    again = by_country.ask("visitor", country="se", battery=0.2, since=["a", "list"])
    other = by_country.ask("visitor", country="no")
    assert (first.cached, again.cached, other.cached) == (False, True, False)
    assert first.items == again.items != other.items
    assert by_country.ask("visitor", country=True).cached is False
    assert by_country.ask("visitor", country=1).cached is False


def test_ever_new_contexts_do_not_fill_the_memory(by_country: Place) -> None:
    for n in range(3 * SLATES):
        by_country.ask("visitor", country=f"c{n}")
    assert len(by_country.serving.cache.page("visitor")) <= SLATES


def test_what_no_model_reads_is_left_out(data: Dataset) -> None:
    asked = Asked(packed(data, Popularity(segment="country")))
    assert asked.told({"country": "se", "age": 3, "screen": {"w": 1}}) == (("country", "se"),)
    assert asked.told({"country": ["se"]}) == asked.told({"country": None}) == ()
    assert Asked(packed(data, Popularity())).reads == frozenset()
    parts = [{"model": "popularity"}, {"model": "popularity", "params": {"segment": "country"}}]
    assert Asked(packed(data, Fusion(parts))).reads == {"country"}


def test_a_pipeline_reads_what_its_features_are_of_and_a_text_is_no_number(loaded: Loaded, tmp_path: Path) -> None:
    market = loaded.dataset
    numbers = np.arange(len(market.users))
    countries = np.where(numbers % 3 == 0, "se", "no").astype(object)
    market = replace(market, user_features={"country": countries, "age": 20.0 + numbers % 50})
    sources = [{"model": "popularity", "m": 30}, {"model": "item_knn", "m": 30}]
    place = Place(packed(market, Pipeline(sources, features=["origins", "context"], rerankers=[])), tmp_path)
    try:
        served = place.slots.current.served[1]
        model = served.package.model
        assert isinstance(model, Pipeline)
        assert not model.unranked
        assert model.reads == {"country", "age"}
        for context in ({"age": 22}, {"age": "twenty"}, {"age": True, "country": 7}):
            slate = place.ask("visitor", **context)
            assert (slate.fallback, len(slate.items)) == ("", 4)
    finally:
        place.slots.close()
