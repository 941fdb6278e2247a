import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from abtest.assignment.assigner import Assigner
from abtest.assignment.plan import Plan
from abtest.events.memory import MemoryLog
from abtest.simulation.choice import Behaviour
from abtest.simulation.traffic import Assign, PlantedEffect, Summary, simulate
from abtest.simulation.world import World
from abtest.types import Experiment, Variant

DAYS = 10
EXPERIMENT = Experiment(
    key="ranker",
    variants=(Variant(name="control", weight=0.5), Variant(name="treatment", weight=0.5)),
    status="running",
)
PolicyOf = Callable[..., Any]
Run = Callable[..., tuple[Summary, MemoryLog, Any]]


def assigned_by(experiment: Experiment) -> Assign:
    assigner = Assigner(Plan([experiment]))
    return lambda units, at: assigner.assign_many(experiment.key, units, at).variant


@pytest.fixture
def run(small: World, policy_of: PolicyOf, start: datetime) -> Run:
    def go(**changes: Any) -> tuple[Summary, MemoryLog, Any]:
        given: dict[str, Any] = {"experiment": EXPERIMENT, "start": start, "days": DAYS, "seed": 3, "log": MemoryLog()}
        given |= {"policy": policy_of(small), "world": small} | changes
        given.setdefault("assign", assigned_by(given["experiment"]))
        return simulate(given.pop("world"), **given), given["log"], given["policy"]

    return go


def events(log: MemoryLog) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return log.exposures().to_pylist(), log.outcomes().to_pylist()


def test_same_seed_same_log_and_another_seed_another(run: Run) -> None:
    one, two, other = (events(run(seed=seed)[1]) for seed in (3, 3, 4))
    assert len(one[0]) > 500
    assert str(one) == str(two)  # as text, because NaN scores are not equal to themselves
    assert str(one) != str(other)


def test_sending_the_same_traffic_again_changes_nothing(run: Run) -> None:
    first, log, _ = run()
    again, log, _ = run(log=log)
    assert first.already_logged == 0
    assert again.already_logged == len(log.exposures()) + len(log.outcomes())


def test_the_summary_is_what_the_log_holds(run: Run) -> None:
    summary, log, policy = run()
    exposures, outcomes = events(log)
    values = {kind: [o["value"] for o in outcomes if o["kind"] == kind] for kind in ("click", "purchase")}
    assert summary.exposures == summary.visits == len(exposures)
    assert summary.impressions == sum(len(e["items"]) for e in exposures)
    assert (summary.clicks, summary.purchases) == (len(values["click"]), len(values["purchase"]))
    assert summary.purchases > 50
    assert summary.revenue == pytest.approx(sum(values["purchase"]))
    units = {name: len({e["unit"] for e in exposures if e["variant"] == name}) for name in ("control", "treatment")}
    assert summary.exposed == units
    assert sum(len(day.users) for day in policy.seen) == len(outcomes)
    assert sum(day.values.sum() for day in policy.seen) == pytest.approx(summary.clicks + summary.revenue)


def test_events_tell_a_consistent_story(run: Run, small: World, start: datetime) -> None:
    _, log, policy = run()
    exposures, outcomes = events(log)
    shown = {e["id"]: e for e in exposures}
    clicks = {(o["exposure"], o["item"]): o for o in outcomes if o["kind"] == "click"}
    price = dict(zip(small.items.tolist(), small.price.tolist(), strict=True))
    number = {unit: row for row, unit in enumerate(small.users.tolist())}
    for outcome in outcomes:
        slate = shown[outcome["exposure"]]
        assert outcome["unit"] == slate["unit"]
        assert outcome["item"] in slate["items"]
        assert outcome["at"] > slate["at"]
        if outcome["kind"] == "purchase":
            assert outcome["at"] > clicks[outcome["exposure"], outcome["item"]]["at"]
            pieces = outcome["value"] / price[outcome["item"]]
            assert pieces == pytest.approx(round(pieces))
            assert pieces > 0.5
    for exposure in exposures:
        context, row = json.loads(exposure["context"]), number[exposure["unit"]]
        assert start <= exposure["at"] < start + timedelta(days=DAYS)
        assert context["day"] == (exposure["at"] - start).days
        assert context["weekday"] == exposure["at"].weekday()
        assert context["device"] == ("mobile" if small.mobile[row] else "desktop")
        assert context["fallback"] == (row % 2 == 1)
        expected = small.items[policy.lists[exposure["variant"]][row]].tolist()
        assert exposure["items"] == expected


def test_assignment_is_the_assigners(run: Run) -> None:
    _, log, _ = run()
    assigner = Assigner(Plan([EXPERIMENT]))
    for exposure in events(log)[0]:
        assert assigner.assign("ranker", exposure["unit"], exposure["at"]).variant == exposure["variant"]


def test_the_policy_is_asked_for_each_user_once_and_never_after_a_visit(run: Run) -> None:
    _, log, policy = run()
    assert all(len(np.unique(users)) == len(users) for _, users, _ in policy.calls)
    assert sum(len(users) for _, users, _ in policy.calls) == len(log.exposures())
    moments = sorted(e["at"] for e in events(log)[0])
    assert min(at for _, _, at in policy.calls) == moments[0]


def identical(units: NDArray[np.str_], at: datetime) -> NDArray[np.int8]:
    return np.zeros(len(units), np.int8)


def test_with_one_policy_a_users_behaviour_does_not_depend_on_the_split(run: Run) -> None:
    stories = []
    for experiment in (EXPERIMENT, replace(EXPERIMENT, salt="other")):
        exposures, outcomes = events(run(experiment=experiment)[1])
        split = {e["unit"]: e["variant"] for e in exposures}
        stories.append((split, [e["id"] for e in exposures], str(outcomes)))
    assert stories[0][0] != stories[1][0]
    assert stories[0][1:] == stories[1][1:]


def test_what_others_are_shown_does_not_touch_a_user(run: Run, small: World, policy_of: PolicyOf) -> None:
    control = policy_of(small).lists["control"]
    kept = []
    for other in (control, control[:, ::-1].copy()):
        policy = policy_of(small, lists={"control": control, "treatment": other})
        outcomes = events(run(policy=policy)[1])[1]
        units = {e["unit"] for e in events(run()[1])[0] if e["variant"] == "control"}
        kept.append([o for o in outcomes if o["unit"] in units])
    assert len(kept[0]) > 200
    assert kept[0] == kept[1]


def test_before_the_experiment_users_get_the_control_and_leave_outcomes_without_exposure(
    run: Run, start: datetime
) -> None:
    begins = start + timedelta(days=4)
    summary, log, policy = run(experiment=replace(EXPERIMENT, starts=begins))
    exposures, outcomes = events(log)
    assert min(e["at"] for e in exposures) >= begins
    before = [o for o in outcomes if o["exposure"] == ""]
    assert len(before) > 100
    # a click may come a minute after midnight for a visit before it
    assert max(o["at"] for o in before) < begins + timedelta(minutes=5)
    assert {variant for variant, _, at in policy.calls if at < begins} == {"control"}
    assert summary.visits > summary.exposures == len(exposures)


def test_a_planted_shift_lifts_only_its_variant(run: Run) -> None:
    effect = {"treatment": PlantedEffect(delta=2.0)}
    outcomes = [events(run(planted=planted)[1])[1] for planted in ({}, effect)]
    split = {e["unit"]: e["variant"] for e in events(run()[1])[0]}
    counts = [
        {name: sum(split[o["unit"]] == name for o in rows if o["kind"] == "click") for name in ("control", "treatment")}
        for rows in outcomes
    ]
    assert counts[0]["control"] == counts[1]["control"]
    assert counts[1]["treatment"] > 1.2 * counts[0]["treatment"]


def test_novelty_fades(run: Run, market: World, policy_of: PolicyOf) -> None:
    nothing, novel = (
        run(world=market, policy=policy_of(market), days=24, assign=identical, planted=planted)[2].seen
        for planted in ({}, {"control": PlantedEffect(novelty=1.0, tau=3.0)})
    )
    clicks = np.array([[(day.kinds == "click").sum() for day in days] for days in (nothing, novel)])
    early, late = clicks[:, :3].sum(axis=1), clicks[:, 18:].sum(axis=1)
    assert early[1] > 1.3 * early[0]
    assert late[1] < 1.15 * late[0]  # those who come late first, and the happier, keep it a little above


def test_progress_is_reported_day_by_day(run: Run) -> None:
    told: list[tuple[int, int]] = []
    run(report=lambda done, of: told.append((done, of)))
    assert told == [(day, DAYS) for day in range(1, DAYS + 1)]


def test_short_slates_and_a_market_without_visitors_are_served(run: Run, small: World, policy_of: PolicyOf) -> None:
    short = np.full((300, 10), -1, np.int32)
    short[:, :3] = [4, 5, 6]
    summary, log, _ = run(policy=policy_of(small, lists={"control": short, "treatment": short[:, :5].copy()}))
    assert summary.impressions == 3 * summary.visits
    assert {len(e["items"]) for e in events(log)[0]} == {3}
    empty, log, _ = run(world=replace(small, activity=np.zeros(300)))
    assert (empty.visits, len(log.exposures())) == (0, 0)
    assert np.isnan(empty.ctr)


BAD_SLATES: list[tuple[Any, str]] = [
    (np.zeros((3, 4), np.int32), r"'control': items have shape \(3, 4\), expected \(\d+, k\)"),
    (np.full((300, 4), 60, np.int32), "integers from -1 to 59, got int32 60 to 60"),
    (np.tile(np.array([1, -1, 2], np.int32), (300, 1)), r"an empty place \(-1\) stands before a filled one"),
    (np.zeros((300, 4)), "must be integers"),
]


@pytest.mark.parametrize(("items", "message"), BAD_SLATES)
def test_bad_slates_are_refused(run: Run, small: World, policy_of: PolicyOf, items: Any, message: str) -> None:
    policy = policy_of(small, lists={"control": items, "treatment": items})
    if len(items) == 3:
        policy.lists = {name: AlwaysWhole(items) for name in policy.lists}
    with pytest.raises(ValueError, match=message):
        run(policy=policy)


class AlwaysWhole:
    """Gives the same rows whoever is asked for."""

    def __init__(self, rows: NDArray[np.int32]) -> None:
        self.rows = rows

    def __getitem__(self, users: NDArray[np.int32]) -> NDArray[np.int32]:
        return self.rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": 0}, "days must be >= 1, got 0"),
        ({"start": datetime(2024, 3, 4)}, "start must have a time zone"),
        ({"planted": {"blue": PlantedEffect()}}, r"planted names \['blue'\], which are no variants; known: control"),
        ({"assign": lambda units, at: np.full(len(units), 2, np.int8)}, "one number from -1 to 1 per unit"),
        ({"assign": lambda units, at: np.zeros(3, np.int8)}, "one number from -1 to 1 per unit"),
    ],
)
def test_wrong_arguments_are_named(run: Run, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**change)


def test_a_start_in_another_zone_is_logged_in_utc(run: Run, start: datetime) -> None:
    tokyo = start.astimezone(timezone(timedelta(hours=9)))
    assert str(events(run(start=tokyo)[1])) == str(events(run(start=tokyo.astimezone(UTC))[1]))


def test_a_day_that_starts_at_noon_loses_no_visit(run: Run, start: datetime) -> None:
    summary, log, _ = run(start=start + timedelta(hours=12))
    exposures = events(log)[0]
    assert summary.already_logged == 0
    assert len(exposures) == summary.exposures
    assert all(json.loads(e["context"])["weekday"] == e["at"].weekday() for e in exposures)


def test_an_endless_novelty_is_refused() -> None:
    with pytest.raises(ValueError, match="tau above 0"):
        PlantedEffect(novelty=1.0, tau=0.0)


def test_click_rate_falls_with_the_place_on_a_list_of_equals(run: Run, market: World, policy_of: PolicyOf) -> None:
    shuffled = np.random.default_rng(0).permuted(np.tile(np.arange(1_000, dtype=np.int32), (2_000, 1)), axis=1)[:, :6]
    desktop = replace(market, mobile=np.zeros(2_000, bool), sigma_0=-1.0)
    behaviour = Behaviour(click_model="position", satiation_strength=0.0, repeat_penalty=0.0, taste_walk=0.0)
    policy = policy_of(desktop, lists={"control": shuffled, "treatment": shuffled})
    summary, log, _ = run(world=desktop, policy=policy, behaviour=behaviour, days=20, assign=identical)
    places = np.array([int(o["id"].split("-")[-2]) for o in events(log)[1] if o["kind"] == "click"])
    rates = np.bincount(places, minlength=6) / summary.visits
    # about 2,500 clicks in the first place: 6% is three standard errors of the later ones
    assert rates / rates[0] == pytest.approx(np.arange(1, 7) ** -0.8, rel=0.12)
