from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from abtest.simulation.choice import Behaviour
from abtest.simulation.truth import METRICS, TOTALS, true_effect, user_totals
from abtest.simulation.visits import Market, PlantedEffect
from abtest.simulation.world import World

PolicyOf = Callable[..., Any]
PLANTED = {"treatment": PlantedEffect(delta=0.4)}


def everybody(units: NDArray[np.str_], at: datetime) -> NDArray[np.int8]:
    return np.zeros(len(units), np.int8)


def totals(world: World, policy: Any, start: datetime, seed: int, days: int, **changes: Any) -> NDArray[np.float64]:
    given: dict[str, Any] = {"variants": ("control",), "assign": everybody, "behaviour": Behaviour(), "planted": {}}
    return user_totals(Market(world=world, policy=policy, start=start, seed=seed, **(given | changes)), days)


def test_the_same_policy_has_no_effect_at_all(small: World, policy_of: PolicyOf, start: datetime) -> None:
    found = true_effect(
        small, variants=("control", "treatment"), new_policy=lambda: policy_of(small), start=start, days=5, seeds=[1, 2]
    )
    assert set(found) == set(METRICS)
    assert all((effect.absolute, effect.error) == (0.0, 0.0) for effect in found.values())
    assert found["ctr"].control > 0


def test_an_experiment_recovers_the_planted_effect(market: World, policy_of: PolicyOf, start: datetime) -> None:
    """Sign and size: the estimate of one A/B test lies within 3.5 standard errors of the truth, which is clear of 0."""
    policy = policy_of(market)
    truth = true_effect(
        market,
        variants=("control", "treatment"),
        new_policy=lambda: policy,
        start=start,
        days=14,
        seeds=[1, 2],
        planted=PLANTED,
    )
    assert truth["ctr"].absolute > 10 * truth["ctr"].error
    assert truth["clicks_per_user"].relative > truth["ctr"].relative > 0.15
    assert truth["visits_per_user"].absolute > 0  # happier users come back: visits and clicks move together

    coin = np.random.default_rng(8).integers(2, size=market.n_users).astype(np.int8)
    number = {unit: row for row, unit in enumerate(market.users.tolist())}
    split = totals(
        market,
        policy,
        start,
        seed=77,
        days=14,
        variants=("control", "treatment"),
        planted=PLANTED,
        assign=lambda units, at: coin[[number[unit] for unit in units.tolist()]],
    )
    clicks, came = split[TOTALS.index("clicks")], split[0] > 0
    arms = [clicks[came & (coin == arm)] for arm in (0, 1)]
    error = np.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms))
    assert abs(arms[1].mean() - arms[0].mean() - truth["clicks_per_user"].absolute) < 3.5 * error


def test_the_error_covers_the_truth_of_another_seed(market: World, policy_of: PolicyOf, start: datetime) -> None:
    policy = policy_of(market)
    one, two = (
        true_effect(
            market,
            variants=("control", "treatment"),
            new_policy=lambda: policy,
            start=start,
            days=7,
            seeds=[seed],
            planted=PLANTED,
        )
        for seed in (1, 2)
    )
    for metric in ("ctr", "clicks_per_user"):
        gap = one[metric].absolute - two[metric].absolute
        assert abs(gap) < 4 * np.hypot(one[metric].error, two[metric].error)


def test_a_market_without_visits_has_no_truth(small: World, policy_of: PolicyOf, start: datetime) -> None:
    silent = replace(small, activity=np.zeros(300))
    found = true_effect(
        silent, variants=("control", "treatment"), new_policy=lambda: policy_of(small), start=start, days=2, seeds=[1]
    )
    assert all(np.isnan(effect.absolute) for effect in found.values())


def test_no_seed_is_refused(small: World, policy_of: PolicyOf, start: datetime) -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        true_effect(small, variants=("a", "b"), new_policy=policy_of, start=start, days=2, seeds=[])


def test_the_default_market_has_realistic_rates(market: World, policy_of: PolicyOf, start: datetime) -> None:
    before, both = (totals(market, policy_of(market), start, seed=5, days=days) for days in (28, 56))
    after = both - before  # the same seed lives the same first 28 days
    visits, impressions, clicks, purchases = both[1:5].sum(axis=1)
    assert 0.04 < clicks / impressions < 0.06
    assert 0.02 < purchases / clicks < 0.03
    assert 0.8 < (before[1] > 0).mean() < 0.93
    there = market.join_day < 0
    assert np.corrcoef(before[3, there], after[3, there])[0, 1] > 0.6  # what CUPED lives on
    assert visits / market.n_users / 56 > 0.2


def test_welch_on_users_keeps_its_level_and_the_naive_impression_test_does_not(
    market: World, policy_of: PolicyOf, start: datetime
) -> None:
    """A/A over 400 splits of 8 seeds. Welch: 5% with sd 1.1%; the z-test of impressions takes one user's for many."""
    policy, rng = policy_of(market), np.random.default_rng(6)
    welch, naive = [], []
    for seed in range(8):
        lived = totals(market, policy, start, seed=seed, days=14)
        clicks, impressions = (lived[TOTALS.index(name)][lived[0] > 0] for name in ("clicks", "impressions"))
        for _ in range(50):
            arm = rng.random(len(clicks)) < 0.5
            welch.append(stats.ttest_ind(clicks[arm], clicks[~arm], equal_var=False).pvalue)
            shares = [clicks[mine].sum() / impressions[mine].sum() for mine in (arm, ~arm)]
            pooled = clicks.sum() / impressions.sum()
            spread = pooled * (1 - pooled) * sum(1 / impressions[mine].sum() for mine in (arm, ~arm))
            naive.append(2 * stats.norm.sf(abs(shares[0] - shares[1]) / np.sqrt(spread)))
    assert 0.02 < np.mean(np.array(welch) < 0.05) < 0.085
    assert np.mean(np.array(naive) < 0.05) > 0.12
