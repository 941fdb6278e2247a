"""The global holdout over HTTP: who is logged under it, what the held out are given, and that nobody else notices."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from abtest.assignment.holdout import EVERYBODY, HELD_OUT, KEY
from abtest.types import Experiment, Holdout
from tests.abtest.service.worlds import HALVES, MONDAY, RANKER, TOKENS, World, header, service

UNITS = [f"u{n}" for n in range(60)]
SMALL = Experiment(key="small", variants=HALVES, metrics=("clicks",), status="running", traffic=0.3)


def hold(world: World, share: float, **kept: Any) -> None:
    world.book._keep_holdout(Holdout(share=share, since=MONDAY, **kept))
    world.book.refresh()


def arm(world: World, unit: str) -> str | None:
    (one,) = world.post("/v1/assign", {"unit": unit, "experiment": KEY}).json()["assignments"]
    return str(one["variant"]) if one["variant"] else None


def rows(world: World, experiment: str | None = None) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = world.log.exposures(experiment).to_pylist()
    return found


def test_both_arms_are_logged_when_their_units_ask_for_a_slate_and_nobody_else_is() -> None:
    with service([SMALL]) as world:
        hold(world, 0.2)
        arms = {unit: arm(world, unit) for unit in UNITS}
        assert rows(world) == []  # to be assigned is not to be shown anything
        told = {unit: world.post("/v1/recommend", {"unit": unit, "k": 3}).json() for unit in UNITS}
        kept = {row["unit"]: row for row in rows(world, KEY)}
        assert {unit: row["variant"] for unit, row in kept.items()} == {u: a for u, a in arms.items() if a}
        assert set(arms.values()) == {HELD_OUT, EVERYBODY, None}
        for unit, answer in told.items():
            inside = world.book.snapshot.assigner.assign("small", unit, MONDAY).variant
            assert answer["logged"] == (inside is not None or arms[unit] is not None)
            if arms[unit] == HELD_OUT:
                assert (inside, answer["experiment"], answer["variant"]) == (None, KEY, HELD_OUT)
                assert answer["exposure"] == kept[unit]["id"]
            elif inside is not None:
                assert (answer["experiment"], answer["variant"]) == ("small", inside)
        both = [u for u in UNITS if arms[u] == EVERYBODY and told[u]["experiment"] == "small"]
        assert both
        of_small = {row["unit"]: row for row in rows(world, "small")}
        for unit in both:  # one slate, two rows that say the same of it
            first, second = of_small[unit], kept[unit]
            assert second["id"] == f"{first['id']}:holdout"
            assert [first[name] for name in ("items", "at", "context")] == [
                second[name] for name in ("items", "at", "context")
            ]


def test_the_held_out_keep_what_was_given_when_it_began() -> None:
    with service([RANKER]) as world:
        hold(world, 0.3, baseline={"version": 7})
        held = next(unit for unit in UNITS if arm(world, unit) == HELD_OUT)
        for body in ({"unit": held}, {"unit": held, "experiment": "ranker"}, {"unit": held, "experiment": KEY}):
            answer = world.post("/v1/recommend", body).json()
            assert (answer["experiment"], answer["variant"], answer["version"]) == (KEY, HELD_OUT, 7)
        free = world.post("/v1/recommend", {"unit": held, "experiment": KEY, "variant": EVERYBODY}).json()
        assert (free["version"], free["logged"]) == (1, False)  # a preview is never logged


def test_a_slate_that_is_sent_later_is_logged_under_the_holdout_once() -> None:
    with service([RANKER]) as world:
        hold(world, 0.3)
        arms = {unit: arm(world, unit) for unit in UNITS}
        lines = []
        for unit in UNITS:
            answer = world.post("/v1/recommend", {"unit": unit, "k": 2, "expose": False}).json()
            assert (answer["logged"], answer["experiment"] is None) == (False, False)
            place = {"experiment": answer["experiment"], "variant": answer["variant"]}
            lines.append({"type": "exposure", "id": f"x-{unit}", "unit": unit, "items": ["i1", "i2"], **place})
        assert rows(world) == []
        for fate in ("kept", "duplicate"):
            told = world.post("/v1/events", {"events": lines}).json()
            assert {one["fate"] for one in told["fates"]} == {fate}
            assert [one["id"] for one in told["fates"]] == [line["id"] for line in lines]
        assert {row["unit"]: row["variant"] for row in rows(world, KEY)} == {u: a for u, a in arms.items() if a}
        assert len(rows(world, KEY)) == sum(one is not None for one in arms.values())
        # an exposure without items is no slate: its sender logs the holdout's own
        bare = {"type": "exposure", "id": "bare", "unit": UNITS[0], "experiment": "ranker", "variant": "new"}
        n = len(rows(world))
        world.post("/v1/events", {"events": [bare]})
        assert len(rows(world)) == n + 1


def test_ofrep_and_the_list_of_what_runs_know_nothing_of_it() -> None:
    with service([RANKER]) as world:
        hold(world, 0.3)
        asked = {"context": {"targetingKey": "u1"}}
        assert world.post(f"/ofrep/v1/evaluate/flags/{KEY}", asked).status_code == 404
        flags = world.post("/ofrep/v1/evaluate/flags", asked).json()["flags"]
        listed = world.post("/v1/assign", {"unit": "u1"}).json()["assignments"]
        assert [flag["key"] for flag in flags] == [one["experiment"] for one in listed] == ["ranker"]


def test_without_a_holdout_there_is_no_such_experiment_and_nothing_more_is_logged() -> None:
    with service([SMALL]) as world:
        assert world.post("/v1/assign", {"unit": "u1", "experiment": KEY}).status_code == 404
        logged = [world.post("/v1/recommend", {"unit": unit}).json()["logged"] for unit in UNITS]
        assert 0 < sum(logged) < len(UNITS)
        assert {row["experiment"] for row in rows(world)} == {"small"}


def test_testers_are_logged_under_nothing() -> None:
    with service([RANKER]) as world:
        hold(world, 0.4)
        tester = next(unit for unit in UNITS if arm(world, unit) == HELD_OUT)
        world.book._keep(replace(world.book.draft("ranker"), experiment=replace(RANKER, overrides={tester: "new"})))
        world.book.refresh()
        answer = world.post("/v1/recommend", {"unit": tester}).json()
        assert (answer["experiment"], answer["variant"], answer["logged"]) == ("ranker", "new", False)
        assert rows(world) == []


def test_it_begins_when_it_grows_and_goes_on_when_it_shrinks() -> None:
    draft = replace(RANKER, status="draft")
    with service([draft], tokens=TOKENS) as world:

        def to(share: float, day: int) -> dict[str, Any]:
            world.time[0] = MONDAY.replace(day=day)
            return dict(world.post("/v1/holdout", {"share": share, "why": "x"}, "admin").json())

        began = to(0.1, 7)
        assert began["since"] == "2025-01-07T09:00:00Z"
        assert (began["compared"], "`bakeoff analyse holdout`" in began["reading"]) == (0.1, True)
        assert to(0.05, 8)["since"] == began["since"]
        assert to(0.2, 9)["since"] == "2025-01-09T09:00:00Z"
        assert to(0.7, 10)["compared"] == pytest.approx(0.3)
        assert to(0.5, 11)["since"] == "2025-01-11T09:00:00Z"  # whom it let go would be who it is compared with
        over = to(0.0, 12)
        assert (over["since"], over["compared"], "Nobody is held out" in over["reading"]) == (None, 0.0, True)
        shown = world.client.get("/v1/holdout", headers=header("operator")).json()
        assert shown == over


def test_its_key_is_taken() -> None:
    body = {
        "key": "Holdout",
        "variants": [{"name": name, "weight": 0.5, "payload": {"version": 1}} for name in ("a", "b")],
        "metrics": {"clicks": {"kind": "mean", "numerator": "click"}},
        "why": "x",
    }
    with service([], tokens=TOKENS) as world:
        answer = world.post("/v1/experiments", body, "admin")
        assert (answer.status_code, "is that of the global holdout" in answer.json()["detail"]) == (422, True)
