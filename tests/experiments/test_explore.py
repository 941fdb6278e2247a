"""Exploration: the same request gives the same slate, what it learns is true, and its propensities can be used."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import orjson
import pytest

from abtest.assignment.holdout import HELD_OUT, KEY
from abtest.events.memory import MemoryLog
from abtest.service.answers import Answers
from abtest.service.exploring import explores, marked
from abtest.service.ports import Slate
from abtest.types import Exposure, Holdout, Outcome, Variant
from experiments.explore import NAME, Explorer, lately
from experiments.home import Home
from experiments.online.memory import MemoryOnline
from experiments.online.shared import RedisOnline
from experiments.online.state import Online
from experiments.serving_config import ExploreConfig
from tests.abtest.service.worlds import MONDAY, RANKER, World, service
from tests.experiments.test_server import ADMIN, CLIENT, NEW, QUICK, served, until
from tests.redis import RedisServer

K, BEYOND, SHARE = 3, 8, 0.25
LONG = Slate(
    items=tuple(f"i{n}" for n in range(K + BEYOND)), scores=tuple(1.0 / (n + 1) for n in range(K + BEYOND)),
    titles=tuple(f"Item {n}" for n in range(K + BEYOND)), model="m", version=1,
)  # fmt: skip
BELOW = LONG.items[K:]
GOOD = BELOW[-2]
SEEDS = [f"u{n} r{n}" for n in range(4_000)]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    made = RedisServer.make()
    yield made
    made.close()


Run = Callable[[Callable[[Online], Awaitable[list[float]]]], list[float]]


@pytest.fixture(params=["memory", "redis"])
def run(request: pytest.FixtureRequest, redis: RedisServer) -> Run:
    """Runs some work with an empty online state of each kind."""

    def work(of: Callable[[Online], Awaitable[list[float]]]) -> list[float]:
        async def inside() -> list[float]:
            live: Online = MemoryOnline()
            if request.param == "redis":
                live = RedisOnline(redis.url, prefix=f"explore{next(numbers)}:", timeout=5.0)
            try:
                return await of(live)
            finally:
                await live.close()

        return asyncio.run(inside())

    return work


numbers = count()


def explorer(live: Online | None = None, **parts: Any) -> Explorer:
    return Explorer(live=live or MemoryOnline(), share=SHARE, beyond=BEYOND, **parts)


def test_one_place_at_most_is_explored_and_the_same_request_gives_the_same() -> None:
    one, other = explorer(), explorer()
    told = [one(LONG, K, seed) for seed in SEEDS]
    assert told == [other(LONG, K, seed) for seed in SEEDS]
    tried = [slate for slate in told if slate.explored]
    assert len(tried) / len(SEEDS) == pytest.approx(SHARE, abs=4 * (SHARE * (1 - SHARE) / len(SEEDS)) ** 0.5)
    for slate in told:
        assert slate.items[: K - 1] == LONG.items[: K - 1]
        assert len(slate.items) == len(slate.scores) == len(slate.titles) == len(slate.propensities) == K
        assert slate.propensities[: K - 1] == (1.0,) * (K - 1)
    for slate in tried:
        assert slate.explored == slate.items[-1]
        place = LONG.items.index(slate.explored)
        assert place >= K
        assert (slate.scores[-1], slate.titles[-1]) == (LONG.scores[place], LONG.titles[place])
    rest = {(slate.items, slate.propensities[-1]) for slate in told if not slate.explored}
    assert rest == {(LONG.items[:K], 1 - SHARE)}


def test_the_propensities_are_those_with_which_items_are_chosen() -> None:
    """For every item, 1 / propensity summed over the requests that chose it is the number of requests."""
    one = explorer()
    one._known = {item: (taken, 20.0) for item, taken in zip(BELOW, range(BEYOND), strict=True)}
    weights = dict.fromkeys([LONG.items[K - 1], *BELOW], 0.0)
    squares = dict(weights)
    n = 20_000
    for number in range(n):
        slate = one(LONG, K, f"seed {number}")
        weights[slate.items[-1]] += 1 / slate.propensities[-1]
        squares[slate.items[-1]] += slate.propensities[-1] ** -2
    for item, total in weights.items():
        error = (squares[item] / n - (total / n) ** 2) ** 0.5 / n**0.5
        assert total / n == pytest.approx(1.0, abs=4.5 * error), item


@pytest.mark.parametrize(
    "slate",
    [
        replace(LONG, fallback="popularity", why="deadline"),
        replace(LONG, items=LONG.items[:K], scores=LONG.scores[:K], titles=LONG.titles[:K]),
        replace(LONG, scores=(*LONG.scores[:K], *(float("nan"),) * BEYOND)),  # only a fallback ranked them
    ],
)
def test_where_there_is_nothing_to_choose_nothing_is_random(slate: Slate) -> None:
    for seed in SEEDS[:50]:
        told = explorer()(slate, K, seed)
        assert (told.items, told.propensities, told.explored) == (slate.items[:K], (), "")


def test_a_prior_that_expects_little_is_slow_to_give_an_item_up() -> None:
    rng = np.random.default_rng(0)
    flat, doubtful = explorer(), explorer(prior_taken=1.0, prior_left=30.0)
    for one in (flat, doubtful):
        one._known = {BELOW[0]: (0.0, 3.0)}
    assert doubtful.chances(BELOW, rng)[0] > 2 * flat.chances(BELOW, rng)[0]
    assert flat.chances(BELOW, rng).sum() == pytest.approx(1.0)
    assert (flat.chances(BELOW, rng) > 0).all()


def test_a_good_new_item_is_found(run: Run) -> None:
    """Taken four times in ten where the others are one time in twenty: soon most tries are its."""

    async def days(live: Online) -> list[float]:
        one, rng, shares = explorer(live), np.random.default_rng(3), []
        for day in range(12):
            tried: Counter[str] = Counter()
            for number in range(400):
                slate = one(LONG, K, f"u{number} day{day}")
                if not slate.explored:
                    continue
                tried[slate.explored] += 1
                id = marked(f"x{day}-{number}", slate.explored)
                shown = Exposure(id=id, unit="u", experiment="e", variant="a", at=MONDAY, items=slate.items)
                done = Outcome(id=f"o{id}", unit="u", kind="click", at=MONDAY, item=slate.explored, exposure=id)
                other = replace(done, item=slate.items[0])  # another item of the slate says nothing of this one
                taken = rng.random() < (0.4 if slate.explored == GOOD else 0.05)
                await one.observe([shown, *([done] if taken else []), other, replace(done, kind="view")])
            await one.follow()
            shares.append(tried[GOOD] / tried.total())
        return shares

    shares = run(days)
    assert shares[0] < 0.3
    assert np.mean(shares[-4:]) > 0.6


# through the service


def answers_of(app: Any) -> Answers:
    """What answers the hot routes of a service."""
    answers = app.hot.routes["/v1/recommend"].__self__
    assert isinstance(answers, Answers)
    return answers


@pytest.fixture
def world() -> Iterator[World]:
    """A service whose model always gives LONG, and which explores."""

    async def always(unit: str, k: int, variant: Variant | None, context: Mapping[str, Any]) -> Slate:
        return replace(LONG, items=LONG.items[:k], scores=LONG.scores[:k], titles=LONG.titles[:k])

    one = explorer()
    with service([RANKER], recommender=always, explore=one, observe=one.observe) as made:
        yield made


def test_another_policy_s_value_is_told_by_the_log_without_bias(world: World) -> None:
    """What showing GOOD last would give, the model's own, or any other: by inverse propensities from the log."""
    chance = {item: 0.1 + 0.03 * place for place, item in enumerate(LONG.items)}
    n, rng, answers = 4_000, np.random.default_rng(5), answers_of(world.app)
    one = answers.explore
    assert isinstance(one, Explorer)

    async def visits() -> None:
        for number in range(n):
            asked = {"unit": f"u{number}", "k": K}
            answer = await answers.recommend(orjson.dumps(asked), f"r{number}")
            last = orjson.loads(orjson.dumps(answer["items"]))[-1]["item"]
            if rng.random() < chance[last]:
                click = {"type": "outcome", "id": f"o{number}", "unit": asked["unit"], "kind": "click", "item": last}
                await answers.events(orjson.dumps({"events": [{**click, "exposure": answer["exposure"]}]}), "")
            if number % 400 == 399:
                await one.follow()  # the policy that logs goes on changing meanwhile

    asyncio.run(visits())
    rows, clicked = world.log.exposures().to_pylist(), set(world.log.outcomes()["exposure"].to_pylist())
    assert len(rows) == n
    shown = [(row["items"][-1], row["id"] in clicked, row["propensities"][-1]) for row in rows]
    own = LONG.items[K - 1]
    targets: dict[str, dict[str, float]] = {
        "good": {GOOD: 1.0}, "own": {own: 1.0}, "any": dict.fromkeys(BELOW, 1 / BEYOND)
    }  # fmt: skip
    for name, target in targets.items():
        truth = sum(share * chance[item] for item, share in target.items())
        values = np.array([target.get(item, 0.0) * taken / propensity for item, taken, propensity in shown])
        error = values.std() / n**0.5
        assert abs(values.mean() - truth) < 3 * error, name
        assert 0 < error < 0.1, name
    tried = [row for row in rows if "explored" in row["context"]]
    assert all(explores(row["id"], row["items"][-1]) for row in tried)
    assert len(tried) / n == pytest.approx(SHARE, abs=0.03)
    assert f"bakeoff_explored_slates_total {len(tried)}.0" in world.client.get("/metrics").text


def test_what_is_not_logged_here_is_not_explored(world: World) -> None:
    world.book._keep_holdout(Holdout(share=0.2))
    world.book.refresh()
    snapshot = world.book.snapshot
    held = next(f"u{n}" for n in range(99) if snapshot.arm_of(f"u{n}", MONDAY) == HELD_OUT)
    free = next(f"u{n}" for n in range(99) if snapshot.arm_of(f"u{n}", MONDAY) is None)
    bodies = (
        {"unit": held},
        {"unit": free, "expose": False},
        {"unit": free, "experiment": "ranker", "variant": "new"},
        {"unit": held, "experiment": KEY},
    )
    for body in bodies:
        for number in range(30):
            answer = world.post("/v1/recommend", {**body, "k": K}, **{"x-request-id": f"r{number}"}).json()
            assert [place["item"] for place in answer["items"]] == list(LONG.items[:K])
    assert all(not row["propensities"] for row in world.log.exposures().to_pylist())


def test_the_composed_service_explores_and_remembers_over_a_restart(copied: Home) -> None:
    config = QUICK.model_copy(update={"explore": ExploreConfig(share=0.5, beyond=5)})
    tried: list[dict[str, Any]] = []
    with served(copied, config) as client:
        client.post("/v1/experiments", json=NEW, headers=ADMIN)
        assert client.post("/v1/experiments/knn-again/start", json={"why": "now"}, headers=ADMIN).status_code == 200
        for number in range(40):
            asked, named = {"unit": f"u{number:04d}", "k": 3}, {"x-request-id": f"r{number}"}
            answer = client.post("/v1/recommend", json=asked, headers={**CLIENT, **named}).json()
            last = answer["items"][-1]["item"]
            if explores(answer["exposure"], last):
                tried.append(answer)
                click = {"type": "outcome", "id": f"o{number}", "unit": answer["unit"], "kind": "click", "item": last}
                client.post("/v1/events", json={"events": [{**click, "exposure": answer["exposure"]}]}, headers=CLIENT)
        first = answers_of(client.app).explore
        assert isinstance(first, Explorer)
        until(lambda: sum(taken for taken, _ in first._known.values()) == len(tried))  # a click comes after its slate
        before = dict(first._known)
    assert 4 < len(tried) < 32  # of a user whom the model knows too few items for, none
    assert sum(taken for taken, _ in before.values()) == len(tried)
    with served(copied, config) as client:
        again = answers_of(client.app).explore
        assert isinstance(again, Explorer)
        assert again is not first
        assert again._known == before
    with served(copied) as client:
        assert client.app.hot.routes["/v1/recommend"].__self__.explore is None


def test_only_what_was_explored_is_read_back() -> None:
    shown = Exposure(id="x1", unit="u", experiment="e", variant="a", at=MONDAY, items=("i1", "i2"))
    tried = replace(shown, id=marked("x2", "i2"))
    click = Outcome(id="o1", unit="u", kind="click", at=MONDAY, item="i2", exposure=tried.id)
    with MemoryLog() as log:
        log.append([shown, tried, click, replace(click, id="o2", exposure="x1")])
        found = lately(log, MONDAY, MONDAY.replace(hour=23))
        assert [event.id for event in found] == [tried.id, "o1"]
        assert lately(log, MONDAY.replace(hour=1), MONDAY) == []
    one = explorer()
    asyncio.run(one.observe(found))
    assert asyncio.run(one.live.sums(NAME)) == {"shown i2": 1.0, "taken i2": 1.0}
