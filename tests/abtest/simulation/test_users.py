from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from abtest.simulation import users as state
from abtest.simulation.choice import Behaviour
from abtest.simulation.draws import Draws
from abtest.simulation.world import World, affinity

ONE, SLATE = np.array([7], np.int32), np.array([[3, 4]], np.int32)
NOTHING = (np.empty(0, np.int32), np.empty(0, np.int32))


def clicked(world: World, users: state.Users, behaviour: Behaviour, *flags: bool) -> None:
    state.record(world, users, behaviour, ONE, SLATE, np.array([flags]))


def test_a_rested_user_is_attracted_by_affinity_alone(small: World) -> None:
    found = state.attraction(small, state.fresh(small), Behaviour(), ONE, SLATE, day=40)
    assert found == pytest.approx(affinity(small, ONE, SLATE))


def test_a_click_tires_of_the_category_and_a_night_rests(small: World) -> None:
    world = replace(small, category=np.where(np.arange(60) == 3, 1, 2))
    behaviour = Behaviour(repeat_penalty=0.0, taste_pull=0.0, taste_walk=0.0)
    users = state.fresh(world)
    before = state.attraction(world, users, behaviour, ONE, SLATE, day=40)
    clicked(world, users, behaviour, True, False)
    tired = state.attraction(world, users, behaviour, ONE, SLATE, day=40) - before
    assert tired == pytest.approx(np.array([[-0.6 * 0.3, 0.0]]), abs=1e-6)
    state.close_day(world, users, behaviour, Draws(1), day=40, visitors=ONE, clicked=NOTHING)
    rested = state.attraction(world, users, behaviour, ONE, SLATE, day=41) - before
    assert rested == pytest.approx(np.array([[-0.6 * 0.3 * 0.85, 0.0]]), abs=1e-6)


def test_two_clicks_in_one_category_tire_twice(small: World) -> None:
    world, users = replace(small, category=np.zeros(60, np.int64)), state.fresh(small)
    clicked(world, users, Behaviour(), True, True)
    assert users.satiation[7, 0] == pytest.approx(0.6)


def test_being_shown_again_costs_the_log_of_times_shown_and_saturates(small: World) -> None:
    behaviour, users = Behaviour(), state.fresh(small)
    before = state.attraction(small, users, behaviour, ONE, SLATE, day=40)
    for _ in range(300):
        clicked(small, users, behaviour, False, False)
    lost = state.attraction(small, users, behaviour, ONE, SLATE, day=40) - before
    assert lost == pytest.approx(np.full((1, 2), -0.1 * np.log1p(255)), abs=1e-5)
    assert users.shown[6].sum() == 0


def test_happiness_is_a_moving_average_of_visits_with_a_click(small: World) -> None:
    users = state.fresh(small)
    clicked(small, users, Behaviour(), True, True)
    assert users.happiness[7] == pytest.approx(0.9 * 0.5 + 0.1)
    clicked(small, users, Behaviour(), False, False)
    assert users.happiness[7] == pytest.approx(0.9 * 0.55)


def test_visit_rate_by_hand(small: World) -> None:
    users, behaviour = state.fresh(small), Behaviour()
    users.happiness[:] = 0.9
    users.alive[0] = False
    rates = state.visit_rates(small, users, behaviour, day=40, weekday=6)
    assert rates[0] == 0.0
    assert rates[7] == pytest.approx(small.activity[7] * 1.09 * np.exp(small.weekend_taste[7] + 0.5 * 0.4))
    # a Tuesday knows no weekend taste
    tuesday = state.visit_rates(small, users, behaviour, day=40, weekday=1)
    assert tuesday[7] == pytest.approx(small.activity[7] * 0.95 * np.exp(0.5 * 0.4))


def test_nobody_comes_before_joining(small: World) -> None:
    world = replace(small, join_day=np.where(np.arange(300) < 100, 3, -1), activity=np.full(300, 5.0))
    users = state.fresh(world)
    visits = [state.visits(world, users, Behaviour(), Draws(1), day=day, weekday=1) for day in (2, 3)]
    assert visits[0][:100].sum() == 0
    assert visits[1][:100].sum() > 400  # 500 expected, sd 22
    assert visits[0][100:].sum() > 900


def test_happy_users_come_more_often_and_stay(small: World) -> None:
    world = replace(small, activity=np.full(300, 2.0), join_day=np.full(300, -1))
    everybody, totals, left = np.arange(300, dtype=np.int32), [], []
    behaviour = Behaviour(churn=0.2)
    for mood in (0.1, 0.9):
        users = state.fresh(world)
        users.happiness[:] = mood
        totals.append(state.visits(world, users, behaviour, Draws(2), day=0, weekday=2).sum())
        state.close_day(world, users, behaviour, Draws(2), day=0, visitors=everybody, clicked=NOTHING)
        left.append(1 - users.alive.mean())
    assert totals[1] / totals[0] == pytest.approx(np.exp(0.5 * 0.8), rel=0.1)
    # .2 exp(.6) = .36 and .2 exp(-.6) = .11, sd .03 and .02
    assert left == pytest.approx([0.364, 0.110], abs=0.08)


def test_only_visitors_are_lost(small: World) -> None:
    users = state.fresh(small)
    state.close_day(small, users, Behaviour(churn=1.0), Draws(1), day=0, visitors=ONE, clicked=NOTHING)
    assert np.flatnonzero(~users.alive).tolist() in ([7], [])
    users.happiness[7] = 0.0  # hazard exp(.75) > 1: certain
    state.close_day(small, users, Behaviour(churn=1.0), Draws(1), day=0, visitors=ONE, clicked=NOTHING)
    assert np.flatnonzero(~users.alive).tolist() == [7]


def test_taste_turns_towards_what_was_clicked_and_keeps_its_length(small: World) -> None:
    users, behaviour = state.fresh(small), Behaviour(taste_walk=0.0, churn=0.0)
    target = small.item_taste[3] / np.linalg.norm(small.item_taste[3])
    before = users.taste[7].copy()
    for day in range(200):
        state.close_day(small, users, behaviour, Draws(1), day=day, visitors=ONE, clicked=(ONE, SLATE[0, :1]))
    assert np.linalg.norm(users.taste[7]) == pytest.approx(np.linalg.norm(before), rel=1e-4)
    cosines = [taste @ target / np.linalg.norm(taste) for taste in (before, users.taste[7])]
    assert cosines[1] > cosines[0] + 0.2
    assert np.array_equal(users.taste[8], small.user_taste[8].astype(np.float32))


def test_an_unborn_item_and_an_empty_place_attract_nobody(small: World, start: datetime) -> None:
    world = replace(small, item_birth_day=np.where(np.arange(60) == 3, 5, -1))
    slate = np.array([[3, 4, -1]], np.int32)
    before, after = (state.attraction(world, state.fresh(world), Behaviour(), ONE, slate, day=d)[0] for d in (4, 5))
    assert np.isneginf(before).tolist() == [True, False, True]
    assert np.isneginf(after).tolist() == [False, False, True]
