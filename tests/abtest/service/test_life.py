"""An experiment's whole life over HTTP: /v1/assign, /v1/recommend and both OFREP routes always say the same."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from abtest.types import Experiment
from tests.abtest.service.worlds import HALVES, LAYOUT, MONDAY, PAGE, RANKER, TOKENS, World, header, service

UNITS = [f"u{n}" for n in range(40)]
Where = dict[str, tuple[str | None, str]]
"""unit -> variant and reason."""

NEW: dict[str, Any] = {
    "key": "ease",
    "variants": [
        {"name": "knn", "weight": 0.5, "payload": {"version": 1}},
        {"name": "ease", "weight": 0.5, "payload": {"version": 2}},
    ],
    "metrics": {"clicks": {"kind": "mean", "numerator": "click", "role": "primary"}},
    "why": "it leads the leaderboard",
}


@pytest.fixture
def world() -> Iterator[World]:
    with service([], tokens=TOKENS) as made:
        yield made


def where(world: World, key: str, units: list[str] = UNITS, **context: Any) -> Where:
    """Where each unit stands, once the five ways to ask have been found to agree."""
    found: Where = {}
    for unit in units:
        ofrep = {"context": {"targetingKey": unit, **context}}
        flag = world.post(f"/ofrep/v1/evaluate/flags/{key}", ofrep, "client").json()
        bulk = world.post("/ofrep/v1/evaluate/flags", ofrep, "client").json()["flags"]
        (one,) = world.post("/v1/assign", {"unit": unit, "experiment": key, "context": context}, "client").json()[
            "assignments"
        ]
        every = world.post("/v1/assign", {"unit": unit, "context": context}, "client").json()["assignments"]
        slate = world.post("/v1/recommend", {"unit": unit, "experiment": key, "context": context, "k": 2}, "client")
        told = slate.json()
        inside = told["experiment"] == key  # else it is in no experiment, or in an arm of the holdout
        assert (told["variant"] if inside else None) == one["variant"]
        assert (told["logged"] and inside) == (one["reason"] == "split")  # nothing else may be counted
        assert (flag.get("value"), flag["metadata"]["assignment"]) == (one["variant"], one["reason"])
        assert [f for f in bulk if f["key"] == key] in ([flag], [])
        assert [a for a in every if a["experiment"] == key] in ([one], [])
        found[unit] = one["variant"], one["reason"]
    return found


def taken(found: Where) -> dict[str, str]:
    return {unit: variant for unit, (variant, _) in found.items() if variant is not None}


def reasons(found: Where) -> set[str]:
    return {reason for _, reason in found.values()}


def change(world: World, key: str, verb: str, **body: Any) -> Any:
    answer = world.post(f"/v1/experiments/{key}/{verb}", {"why": f"{verb} it", **body}, "operator")
    assert answer.status_code == 200, answer.text
    return answer.json()


def create(world: World, **fields: Any) -> None:
    answer = world.post("/v1/experiments", {**NEW, **fields}, "admin")
    assert answer.status_code == 201, answer.text


def test_a_ramp_with_a_kill_in_between_moves_nobody_and_is_audited_line_by_line(world: World) -> None:
    create(world, traffic=0.01)
    assert reasons(where(world, "ease", UNITS[:3])) == {"inactive"}
    world.time[0] += timedelta(hours=1)
    change(world, "ease", "start")
    before = taken(where(world, "ease"))
    for hour, traffic in enumerate((0.05, 0.5), start=2):
        world.time[0] = MONDAY + timedelta(hours=hour)
        change(world, "ease", "ramp", traffic=traffic)
        now = taken(where(world, "ease"))
        assert before.items() <= now.items()
        before = now
    assert len(before) == pytest.approx(20, abs=12)
    world.time[0] = MONDAY + timedelta(hours=4)
    change(world, "ease", "stop", why="prices were wrong")  # the very next request is outside
    assert reasons(where(world, "ease")) == {"inactive"}
    world.time[0] = MONDAY + timedelta(hours=5)
    change(world, "ease", "resume", why="prices are right again")
    assert taken(where(world, "ease")) == before
    world.time[0] = MONDAY + timedelta(hours=6)
    change(world, "ease", "ramp", traffic=1.0)
    now = taken(where(world, "ease"))
    assert before.items() <= now.items()
    assert set(now) == set(UNITS)
    trail = world.client.get("/v1/experiments/ease/audit", headers=header("operator")).json()["changes"]

    def line(hour: int, by: str, action: str, before: Any, after: Any, why: str) -> dict[str, Any]:
        at = (MONDAY + timedelta(hours=hour)).isoformat().replace("+00:00", "Z")
        return {"at": at, "by": by, "action": action, "before": before, "after": after, "why": why}

    assert trail == [
        line(0, "ada", "create", {}, {"status": "draft", "traffic": 0.01}, "it leads the leaderboard"),
        line(1, "olga", "start", {"status": "draft"}, {"status": "running"}, "start it"),
        line(2, "olga", "ramp", {"traffic": 0.01}, {"traffic": 0.05}, "ramp it"),
        line(3, "olga", "ramp", {"traffic": 0.05}, {"traffic": 0.5}, "ramp it"),
        line(4, "olga", "stop", {"status": "running"}, {"status": "stopped"}, "prices were wrong"),
        line(5, "olga", "resume", {"status": "stopped"}, {"status": "running"}, "prices are right again"),
        line(6, "olga", "ramp", {"traffic": 0.5}, {"traffic": 1.0}, "ramp it"),
    ]


def test_it_begins_and_ends_by_its_schedule(world: World) -> None:
    starts, ends = MONDAY + timedelta(hours=1), MONDAY + timedelta(days=1)
    create(world, starts=starts.isoformat(), ends=ends.isoformat())
    change(world, "ease", "start")
    tick, few = timedelta(seconds=1), UNITS[:5]
    told = []
    for at in (starts - tick, starts, ends - tick, ends):
        world.time[0] = at
        told.append(reasons(where(world, "ease", few)))
    assert told == [{"inactive"}, {"split"}, {"split"}, {"inactive"}]


def test_an_audience_is_chosen_by_the_context_of_the_request(world: World) -> None:
    create(world, audience={"country": ["CA", "US"], "age": {"min": 18}})
    change(world, "ease", "start")
    inside = where(world, "ease", country="CA", age=30)
    assert reasons(inside) == {"split"}
    for context in ({"country": "GB", "age": 30}, {"country": "CA", "age": 17}, {"country": "CA"}, {}):
        assert reasons(where(world, "ease", UNITS[:5], **context)) == {"audience"}
    assert where(world, "ease", country="US", age=18, page="home") == inside  # who he is says where he stands


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"audience": {"country": []}}, "an audience whose 'country' may be none of"),
        ({"audience": {"age": {"above": 3}}}, "expected some of min, max, not"),
        ({"overrides": {"me": "als"}}, "gives the tester 'me' the variant 'als'"),
    ],
)
def test_an_audience_or_tester_that_means_nothing_is_refused(world: World, fields: dict[str, Any], words: str) -> None:
    answer = world.post("/v1/experiments", {**NEW, **fields}, "admin")
    assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text


def test_testers_see_their_variant_and_are_never_counted(world: World) -> None:
    create(world, traffic=0.01, audience={"country": "CA"}, overrides={"ada": "ease"})
    few = ["ada", "olga", "u1"]
    assert where(world, "ease", few) == {
        "ada": ("ease", "override"),
        "olga": (None, "inactive"),
        "u1": (None, "inactive"),
    }
    change(world, "ease", "start")
    shown = change(world, "ease", "override", overrides={"ada": "knn", "olga": "ease"})
    assert shown["overrides"] == {"ada": "knn", "olga": "ease"}
    assert taken(where(world, "ease", few)) == {"ada": "knn", "olga": "ease"}
    slate = world.post("/v1/recommend", {"unit": "olga"}, "client").json()  # asked without naming the experiment
    assert (slate["experiment"], slate["version"], slate["exposure"]) == ("ease", 2, None)
    assert len(world.log.exposures()) == 0
    answer = world.post("/v1/experiments/ease/override", {"why": "x", "overrides": {"a": "b"}}, "operator")
    assert answer.status_code == 422
    change(world, "ease", "stop")
    assert taken(where(world, "ease", few)) == {}
    trail = world.client.get("/v1/experiments/ease/audit", headers=header("operator")).json()["changes"]
    assert trail[2]["before"] == {"overrides": {"ada": "ease"}}


def test_new_weights_are_for_new_units_only(world: World) -> None:
    create(world, traffic=0.4)
    change(world, "ease", "start")
    before = taken(where(world, "ease"))
    shown = change(world, "ease", "reweigh", weights={"ease": 1.0, "knn": 0.0})
    assert [variant["weight"] for variant in shown["variants"]] == [0.0, 1.0]
    assert taken(where(world, "ease")) == before
    change(world, "ease", "ramp", traffic=1.0)
    after = taken(where(world, "ease"))
    assert before.items() <= after.items()
    assert {variant for unit, variant in after.items() if unit not in before} == {"ease"}
    assert set(before.values()) == {"knn", "ease"}
    for body, status, words in [
        ({"weights": {"ease": 0.5, "knn": 0.5}}, 409, "has all of the traffic"),
        ({"weights": {"ease": 1.0}}, 422, "must name every variant of 'ease' (knn, ease)"),
    ]:
        answer = world.post("/v1/experiments/ease/reweigh", {"why": "x", **body}, "operator")
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    trail = world.client.get("/v1/experiments/ease/audit", headers=header("operator")).json()["changes"]
    assert trail[2]["after"] == {"weights": {"knn": 0.0, "ease": 1.0}}


def test_experiments_of_a_layer_exclude_each_other() -> None:
    other = replace(LAYOUT, key="header", layer_range=(0.5, 1.0), traffic=1.0, starts=None, ends=None)
    with service([replace(LAYOUT, traffic=1.0), other], tokens=TOKENS) as world:
        here, there = where(world, "layout"), where(world, "header")
    assert set(taken(here)) | set(taken(there)) == set(UNITS)
    assert not set(taken(here)) & set(taken(there))
    assert reasons(here) == reasons(there) == {"split", "layer"}


def test_the_holdout_is_outside_of_everything_and_never_grows_while_something_runs() -> None:
    layered = Experiment(key="layered", variants=HALVES, metrics=("clicks",), status="running", layer=PAGE)

    def hold(world: World, share: float) -> Any:
        return world.post("/v1/holdout", {"share": share, "why": f"{share:g}"}, "admin")

    with service([replace(RANKER, status="draft"), replace(layered, status="draft")], tokens=TOKENS) as world:
        assert hold(world, 0.3).json()["share"] == 0.3
        for key in ("ranker", "layered"):
            change(world, key, "start")
        found = {key: where(world, key) for key in ("ranker", "layered")}
        held = [{u for u, (_, reason) in found[key].items() if reason == "holdout"} for key in found]
        assert held[0] == held[1]
        assert len(held[0]) == pytest.approx(12, abs=9)
        slate = world.post("/v1/recommend", {"unit": min(held[0])}, "client").json()
        assert (slate["experiment"], slate["variant"], slate["logged"]) == ("holdout", "held out", True)
        refused = hold(world, 0.4)
        assert (refused.status_code, "throw units out" in refused.json()["detail"]) == (409, True)
        assert hold(world, 1.0).status_code == 422
        assert hold(world, 0.0).status_code == 200
        assert reasons(where(world, "ranker", UNITS[:30])) == {"split"}
        told = world.client.get("/v1/holdout", headers=header("operator")).json()
    assert (told["share"], told["salt"]) == (0.0, "holdout")
    assert [(c["by"], c["before"], c["after"], c["why"]) for c in told["changes"]] == [
        ("ada", {"share": 0.0}, {"share": 0.3}, "0.3"),
        ("ada", {"share": 0.3}, {"share": 0.0}, "0"),
    ]
