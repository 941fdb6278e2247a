from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import softmax

from abtest.simulation.calibration import Fitted, fit_world
from abtest.simulation.choice import Behaviour
from abtest.simulation.world import QUALITY_WEIGHT, World, draw_world

Columns = dict[str, Any]


def logged(world: World, seed: int, events: int = 40) -> Columns:
    """A log of a known world: each user picks `events` x activity items by softmax(attraction), once each."""
    rng = np.random.default_rng(seed)
    logits = world.user_taste @ world.item_taste.T + QUALITY_WEIGHT * world.item_quality
    counts = np.minimum(rng.poisson(events * world.activity / world.activity.mean()) + 3, world.n_items // 3)
    # Gumbel top-k is sampling without replacement by softmax
    order = np.argsort(-(logits + rng.gumbel(size=logits.shape)), axis=1)
    users = np.repeat(np.arange(world.n_users), counts)
    ranks = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    days = rng.integers(90, size=len(users))
    return {
        "user": users.astype(np.int32),
        "item": order[users, ranks].astype(np.int32),
        "time": np.datetime64("2024-01-01", "s") + (days * 86_400).astype("m8[s]"),
        "users": world.users,
        "items": world.items,
        "prices": world.price,
        "categories": world.category,
    }


@pytest.fixture(scope="module")
def truth() -> World:
    return draw_world(600, 300, rng=np.random.default_rng(4), dimensions=8)


@pytest.fixture(scope="module")
def fitted(truth: World) -> Fitted:
    return fit_world(**logged(truth, seed=1), seed=2, dimensions=8)


def logits_of(world: World) -> NDArray[np.float64]:
    return np.asarray(world.user_taste @ world.item_taste.T + QUALITY_WEIGHT * world.item_quality)


def own_auc(world: World) -> float:
    """How predictable the world's own choices are, users by how often they choose."""
    logits = logits_of(world)
    ranks = stats.rankdata(logits, axis=1) - 0.5
    return float(world.activity @ (softmax(logits, axis=1) * ranks).sum(axis=1) / world.activity.sum() / len(ranks[0]))


def test_the_worlds_choices_are_as_predictable_as_the_held_out_ones(fitted: Fitted) -> None:
    report = fitted.report
    assert report.auc_simulated == pytest.approx(report.auc_held_out, abs=0.002)
    assert own_auc(fitted.world) == pytest.approx(report.auc_held_out, abs=0.02)


def test_the_held_out_auc_lies_between_popularity_and_the_truth(truth: World, fitted: Fitted) -> None:
    assert fitted.report.auc_popularity + 0.02 < fitted.report.auc_held_out < own_auc(truth) + 0.01


def test_qualities_and_tastes_are_recovered_in_rank(truth: World, fitted: Fitted) -> None:
    # popularity is quality and what many tastes share: against the mean choice chance, not the quality alone
    appeal = softmax(logits_of(truth), axis=1).mean(axis=0)
    assert stats.spearmanr(fitted.world.item_quality, appeal).statistic > 0.9
    assert stats.spearmanr(fitted.world.item_quality, truth.item_quality).statistic > 0.4
    liking = [world.user_taste @ world.item_taste.T for world in (truth, fitted.world)]
    own = [stats.spearmanr(mine, found).statistic for mine, found in zip(*liking, strict=True)]
    assert np.median(own) > 0.4


def test_activity_keeps_everybodys_place(truth: World, fitted: Fitted) -> None:
    assert stats.spearmanr(fitted.world.activity, truth.activity).statistic > 0.85
    assert fitted.report.activity_ks < 0.2


def test_base_logits_hit_the_targets(truth: World) -> None:
    found = fit_world(**logged(truth, seed=1), seed=2, dimensions=8, target_ctr=0.08, target_orders=0.04).report
    assert found.ctr == pytest.approx(0.08, abs=1e-6)
    assert found.orders_per_click == pytest.approx(0.04, abs=1e-6)


def test_the_report_names_what_was_fitted_and_what_was_not(truth: World) -> None:
    bare = logged(truth, seed=1) | {"prices": None, "categories": None}
    bare["time"] = np.full(len(bare["user"]), np.datetime64("2024-01-01", "s"))
    report = fit_world(**bare, seed=2, dimensions=8).report
    defaulted = " ".join(report.defaulted)
    for word in ("prices: 1", "categories: 20 clusters", "0.22", "weekday rhythm", "position effect"):
        assert word in defaulted
    assert np.isnan(report.gap_days_log[0])
    full = fit_world(**logged(truth, seed=1), seed=2, dimensions=8).report
    assert {"prices", "categories", "weekday rhythm"} <= set(full.fitted)


def test_the_weekdays_of_the_log_are_kept_unless_a_behaviour_is_given(truth: World) -> None:
    log = logged(truth, seed=1)
    monday = (log["time"].astype("M8[D]").astype(int) + 3) % 7 == 0
    keep = ~monday | (np.arange(len(monday)) % 2 == 0)
    thinned = log | {name: log[name][keep] for name in ("user", "item", "time")}
    weekdays = fit_world(**thinned, seed=2, dimensions=8).behaviour.weekdays
    assert sum(weekdays) == pytest.approx(7)
    assert weekdays[0] == pytest.approx(0.5 * np.mean(weekdays[1:]), rel=0.15)
    given = Behaviour(leave=0.9)
    assert fit_world(**thinned, seed=2, dimensions=8, behaviour=given).behaviour is given


def test_same_seed_same_world(truth: World, fitted: Fitted) -> None:
    again = fit_world(**logged(truth, seed=1), seed=2, dimensions=8)
    for field in fields(World):
        assert np.array_equal(getattr(again.world, field.name), getattr(fitted.world, field.name)), field.name
    assert again.report == fitted.report


def test_repeated_rows_do_not_inflate_the_held_out_auc(truth: World) -> None:
    """Rows that have nothing to teach: were a pair's repeats on both sides, the AUC would be near 1."""
    rng = np.random.default_rng(3)
    log = logged(truth, seed=1)
    pairs = rng.integers(600, size=4_000), rng.integers(300, size=4_000)
    log |= {"user": np.tile(pairs[0], 3), "item": np.tile(pairs[1], 3), "time": np.tile(log["time"][:4_000], 3)}
    assert fit_world(**log, seed=2, dimensions=8).report.auc_held_out == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": np.zeros(3, np.int32)}, "columns must be one-dimensional and equally long"),
        ({"user": np.full(200, 600)}, "user must hold integers from 0 to 599, got int64 600 to 600"),
        ({"time": np.full(200, np.datetime64("NaT", "s"))}, "time must hold datetime64 values without NaT"),
        ({"weight": np.zeros(200)}, "weight must be finite and above 0"),
        ({"dimensions": 300}, r"dimensions must lie in \[1, 299\], got 300"),
        ({"target_ctr": 0.5}, r"target_ctr must lie in \(0, 0\.2\), got 0\.5"),
    ],
)
def test_a_bad_log_is_refused(truth: World, change: Columns, message: str) -> None:
    log = logged(truth, seed=1)
    short = log | {name: log[name][:200] for name in ("user", "item", "time")}
    with pytest.raises(ValueError, match=message):
        fit_world(**(short | {"seed": 2, "dimensions": 8} | change))


def test_too_short_a_log_is_refused(truth: World) -> None:
    log = logged(truth, seed=1)
    short = log | {name: log[name][:99] for name in ("user", "item", "time")}
    with pytest.raises(ValueError, match="at least 100 rows to be fitted, got 99"):
        fit_world(**short, seed=2)


@pytest.mark.real_data
def test_a_world_fitted_on_movielens_separates_and_resembles_it(data_folder: Path) -> None:
    rows = np.loadtxt(data_folder / "ml-latest-small" / "ratings.csv", delimiter=",", skiprows=1)
    users, user = np.unique(rows[:, 0].astype(int).astype(str), return_inverse=True)
    items, item = np.unique(rows[:, 1].astype(int).astype(str), return_inverse=True)
    time = rows[:, 3].astype("M8[s]")
    found = fit_world(user, item, time, rows[:, 2], users=users, items=items, seed=1)
    report = found.report
    assert report.auc_held_out > report.auc_popularity + 0.02 > 0.8
    assert report.auc_simulated == pytest.approx(report.auc_held_out, abs=0.002)
    assert 0.85 < report.activity_log_sd < 1.1
    assert report.gini_simulated == pytest.approx(report.gini_log, abs=0.06)
    assert 3 <= report.gap_days_log[0] <= 6
