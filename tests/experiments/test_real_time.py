"""A whole pipeline in real time: what was done a second ago changes the slate, through `recommend` and over HTTP."""

import dataclasses
import itertools
import json
import socket
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from abtest.service.security import Tokens
from experiments.config import CHAMPION
from experiments.home import Home
from experiments.journal import Event
from experiments.package import Package
from experiments.registry import Registry
from experiments.server import build
from experiments.serving_config import ServingConfig
from experiments.tracking import Tracker
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.sources.loaded import Loaded
from recsys.hybrid.cold import STAGES, Progressive
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import Recommender
from recsys.models.popularity import Popularity
from recsys.recommend import recommend

SECOND = np.timedelta64(1, "s")
STEPS: dict[str, Any] = {
    "popular": {"model": "popularity", "params": {"segment": "country", "prior": 1.0}},
    "content": {"model": "content", "params": {"dimensions": 16}},
    "collaborative": {"model": "item_knn"},
    "first_clicks": 0.5,
    "grown": 4.0,
    "steepness": 6.0,
}
CANDIDATES: list[dict[str, Any]] = [
    {"model": "progressive", "m": 30, "params": {**STEPS}},
    {"model": "item_knn", "m": 30},
    {"model": "popularity", "m": 20},
]


@pytest.fixture(scope="module")
def data(loaded: Loaded) -> Dataset:
    market = loaded.dataset
    countries = np.where(np.arange(len(market.users)) % 3 == 0, "fr", "de").astype(object)
    return dataclasses.replace(market, user_features={**market.user_features, "country": countries})


@pytest.fixture(scope="module")
def pipeline(data: Dataset) -> Pipeline:
    made = Pipeline(
        candidates=CANDIDATES,
        ranker={"n_trees": 20, "min_leaf": 10},
        rerankers=[{"name": "mmr", "params": {"strength": 0.2}}, {"name": "novelty", "params": {"strength": 0.05}}],
    ).fit(data)
    assert made.unranked == ""
    return made


def history(data: Dataset, items: list[int], *, user: int = -1, country: str = "") -> Queries:
    """Somebody who touched these items, one a second after the log ended; asked a second after the last."""
    start = data.interactions.time[-1] + np.timedelta64(1, "D")
    context: dict[str, Any] = {"time": np.array([start + len(items) * SECOND])}
    if country:
        context["country"] = np.array([country], object)
    return Queries(
        users=np.array([user], np.int32),
        indptr=np.array([0, len(items)], np.int64),
        items=np.array(items, np.int32),
        weights=np.ones(len(items), np.float32),
        times=start + np.arange(len(items)) * SECOND,
        context=context,
    )


def slate(model: Recommender, query: Queries, k: int = 10) -> list[int]:
    found: list[int] = recommend(model, query, k).items[0].tolist()
    return found


def test_an_event_of_a_second_ago_changes_the_slate_and_its_features(pipeline: Pipeline, data: Dataset) -> None:
    before, after = history(data, [3, 7]), history(data, [3, 7, 11])
    assert slate(pipeline, before) != slate(pipeline, after)
    assert not {3, 7, 11} & set(slate(pipeline, after))
    names = list(pipeline.feature_table())
    rows = {
        name: pipeline.described(query, pipeline.named(query))[:, names.index("user_idle")]
        for name, query in (("before", before), ("after", after))
    }
    for idle in rows.values():  # the last event is a second old in both: the new one is read
        np.testing.assert_allclose(idle, np.log1p(1 / 86_400), rtol=1e-3)


def test_the_moment_of_the_query_hides_what_comes_after_it(pipeline: Pipeline, data: Dataset) -> None:
    late = history(data, [3, 7, 11])
    early = dataclasses.replace(late, context={"time": late.times[:1] + SECOND})
    with pytest.raises(ValueError, match="history"):
        pipeline.described(early, pipeline.named(early))


def test_a_newcomers_slate_turns_from_popular_to_content_to_collaborative(data: Dataset) -> None:
    model = Progressive(**STEPS).fit(data)
    liked = [int(item) for item in np.argsort(-data.interactions.item_users, kind="stable")[20:32]]

    def leading(n: int) -> str:
        query = history(data, liked[:n], country="fr")
        mine = slate(model, query)
        shared = {stage: len(set(mine) & set(slate(model.members[stage], query))) for stage in STAGES}
        return max(reversed(STAGES), key=lambda stage: shared[stage])

    assert slate(model, history(data, [], country="fr")) == slate(
        model.members["popular"], history(data, [], country="fr")
    )
    assert slate(model, history(data, [], country="fr")) != slate(model, history(data, [], country="de"))
    assert [leading(n) for n in (0, 1, 12)] == ["popular", "content", "collaborative"]


def test_a_newcomers_slate_of_the_whole_pipeline_moves_with_every_click(pipeline: Pipeline, data: Dataset) -> None:
    liked = [5, 17, 29, 31]
    slates = [slate(pipeline, history(data, liked[:n])) for n in range(5)]
    assert all(before != after for before, after in itertools.pairwise(slates))
    assert not any(set(liked[:n]) & set(shown) for n, shown in enumerate(slates))


@pytest.fixture(scope="module")
def address(
    pipeline: Pipeline, data: Dataset, tmp_path_factory: pytest.TempPathFactory, migrated: Path
) -> Iterator[str]:
    """The pipeline registered as champion and served over HTTP by uvicorn."""
    home = Home.at(tmp_path_factory.mktemp("live"))
    with closing(sqlite3.connect(migrated)) as old, closing(sqlite3.connect(home.database)) as new:
        old.backup(new)
    package = Package(
        model=pipeline,
        fallback=Popularity().fit(data),
        users=data.users,
        items=data.items,
        histories=data.interactions,
        titles=data.item_features["title"].astype(str),
    )
    registry = Registry(home)
    with Tracker(home).run("live", "pipeline", kind="variant") as run:
        run.model(package, "pipeline", data.users.ids[:2].tolist())
    version = registry.register("live", run.id, "pipeline", {"bakeoff.variant": "pipeline"})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    registry.move(Event(at=at, model="live", change="register", alias=CHAMPION, version=version, before=None))
    config = ServingConfig(deadline_ms=5_000, second_deadline_ms=5_000)
    service = build(home, "live", config, tokens=Tokens.parse("shop:client:client-0123456789ab"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(service.app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
    service.close()


def post(address: str, path: str, body: Any) -> Any:
    headers = {"authorization": "Bearer client-0123456789ab", "content-type": "application/json"}
    request = urllib.request.Request(f"{address}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_service_answers_a_click_of_a_second_ago(address: str, data: Dataset) -> None:
    def asked() -> Any:
        answer = post(address, "/v1/recommend", {"unit": "somebody new", "k": 8, "reasons": True})
        assert answer["fallback"] == ""
        return answer["items"]

    first = asked()
    assert not any("because" in place["reason"] for place in first)
    shown = [first]
    for n in range(3):
        clicked = shown[-1][n]
        event = {"type": "outcome", "id": f"c{n}", "unit": "somebody new", "kind": "click", "item": clicked["item"]}
        assert post(address, "/v1/events", {"events": [event]})["kept"] == 1
        shown.append(asked())
        assert clicked["item"] not in [place["item"] for place in shown[-1]]
    lists = [[place["item"] for place in places] for places in shown]
    assert all(before != after for before, after in itertools.pairwise(lists))
    titles = {place["title"] for places in shown[:3] for place in places}
    named = [
        place["reason"].removeprefix("because you touched ") for place in shown[-1] if "because" in place["reason"]
    ]
    assert named
    assert set(named) <= titles
