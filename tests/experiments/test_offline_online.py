"""Offline promises against measured lifts."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from abtest.types import Comparison
from experiments import offline_online
from experiments.board import Leaderboard
from experiments.offline_online import Difference, Point
from experiments.store import Record
from tests.dashboards.worlds import CONVERSION, RETURNS, board, broken, decision, definition, effect, half_way, readout


def point(n: int, offline: float, lift: float, half: float = 0.01) -> Point:
    gap = Difference(value=offline, low=offline - 0.01, high=offline + 0.01)
    return Point(
        experiment=f"e{n}", title=f"e{n}", control="a", treatment="b", metric="ctr", lift=lift, low=lift - half,
        high=lift + half, offline={"ndcg_10": gap, "ndcg_5": replace(gap, value=-offline)},
    )  # fmt: skip


def boards() -> dict[int, Leaderboard]:
    """Version 1 is popularity, version 2 fusion, both of one bake-off."""
    made = board()
    versions = {"popularity": 1, "fusion": 2}
    rows = tuple(replace(row, version=versions.get(row.variant)) for row in made.standings)
    return dict.fromkeys((1, 2), replace(made, standings=rows))


def record(**changes: object) -> Record:
    return Record(
        definition=replace(definition("e"), model="market"),
        readout=replace(readout("e"), **changes),  # type: ignore[arg-type]
        decision=decision("e", "stop"),
    )


def test_point_holds_the_difference_of_the_versions_that_were_tested() -> None:
    (found,) = offline_online.points(record(), boards())
    assert found.lift == pytest.approx(0.031)
    assert found.offline["ndcg_10"].value == pytest.approx(0.1234 - 0.0624)
    assert found.offline["gini_10"].value == pytest.approx(-(0.1234 - 0.0624))  # less is better
    assert found.sure


def test_lift_is_positive_when_the_metric_moved_the_way_that_is_wanted() -> None:
    fewer = Comparison(metric=replace(RETURNS, role="primary"), variant="treatment", effect=effect(1.0, -0.1, 0.02))
    (found,) = offline_online.points(record(effects=(fewer,)), boards())
    assert (found.lift, found.low, found.high) == pytest.approx((0.1, 0.08, 0.12))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Record(definition=definition("e"), readout=None, decision=None), "not analysed yet"),
        (Record(definition=definition("e"), readout=broken("e"), decision=None), "invalid"),
        (
            Record(definition=definition("e"), readout=half_way("e"), decision=decision("e", "continue")),
            "still running",
        ),
    ],
)
def test_unfinished_and_invalid_experiments_say_why_they_do_not_count(made: Record, why: str) -> None:
    made = replace(made, readout=None if made.readout is None else replace(made.readout, planned_units=99_999))
    assert offline_online.unfinished(made).startswith(why)


def test_stopped_experiment_counts() -> None:
    stopped = replace(definition("e"), experiment=replace(definition("e").experiment, status="stopped"))
    early = replace(half_way("e"), planned_units=99_999)
    assert offline_online.unfinished(Record(definition=stopped, readout=early, decision=None)) == ""


def test_numbers_of_another_split_are_never_mixed() -> None:
    mixed = boards()
    mixed[1] = replace(mixed[1], split="another")
    with pytest.raises(ValueError, match="different data or splits"):
        offline_online.points(record(), mixed)
    with pytest.raises(ValueError, match="v1 of market came from no leaderboard"):
        offline_online.points(record(), {2: boards()[2]})
    unfit = Comparison(metric=CONVERSION, variant="treatment", effect=replace(effect(1, 0, 1), relative=math.nan))
    with pytest.raises(ValueError, match="no primary metric"):
        offline_online.points(record(effects=(unfit,)), boards())


def test_perfect_and_reversed_predictors_are_told_apart() -> None:
    found = offline_online.predictions([point(n, 0.1 * n + 0.05, 0.02 * n + 0.02) for n in range(6)])
    best, worst = found
    assert (best.metric, best.rank, best.agree, best.decided) == ("ndcg_10", pytest.approx(1.0), 6, 6)
    assert (worst.metric, worst.rank, worst.agree) == ("ndcg_5", pytest.approx(-1.0), 0)
    assert best.share_low == pytest.approx(stats.binomtest(6, 6).proportion_ci(method="wilson").low)


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(3)
    made = [point(n, float(a), float(b)) for n, (a, b) in enumerate(rng.normal(size=(12, 2)))]
    expected = stats.spearmanr([p.offline["ndcg_10"].value for p in made], [p.lift for p in made]).statistic
    found = {one.metric: one for one in offline_online.predictions(made)}["ndcg_10"]
    assert found.rank == pytest.approx(expected)
    assert found.rank_low < found.rank < found.rank_high


def test_interval_of_the_correlation_covers_as_often_as_it_says() -> None:
    """Bivariate normal, correlation 0.6, 30 pairs; 2,000 samples: the share has a standard error of 0.5 points."""
    rng, rho = np.random.default_rng(11), 0.6
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a bivariate normal
    draws = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(2_000, 30))
    ranks = [float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic) for pairs in draws]
    ends = [offline_online.spearman_interval(rank, 30) for rank in ranks]
    assert np.mean([low <= truth <= high for low, high in ends]) == pytest.approx(0.95, abs=0.02)


def test_few_experiments_get_honest_words_and_no_correlation() -> None:
    made = [point(n, 0.1 * n, 0.02 * n) for n in range(4)]
    found = offline_online.predictions(made)
    assert all(math.isnan(one.rank) for one in found)
    assert "Only 4 comparisons: too few" in offline_online.verdict(made, found)
    assert "No finished experiment" in offline_online.verdict([], [])


def test_verdict_warns_of_luck_and_of_the_best_of_many() -> None:
    made = [point(n, offline, lift) for n, (offline, lift) in enumerate([(1, 2), (2, 1), (3, 4), (4, 3), (5, 2.5)])]
    said = offline_online.verdict(made, offline_online.predictions(made), lambda name: name.upper())
    assert "NDCG_10 has predicted best so far" in said
    assert "this may be luck" in said
    assert "The best of many looks better than it is." in said


def test_what_does_not_vary_predicts_nothing() -> None:
    made = [point(n, 0.1, 0.02 * n) for n in range(6)]
    assert all(math.isnan(one.rank) for one in offline_online.predictions(made))
    assert "do not vary" in offline_online.verdict(made, offline_online.predictions(made))


def test_signs_are_counted_over_sure_lifts_only() -> None:
    made = [*(point(n, 0.1, 0.5) for n in range(3)), point(4, -0.1, 0.001)]
    found = {one.metric: one for one in offline_online.predictions(made)}["ndcg_10"]
    assert (found.n, found.agree, found.decided) == (4, 3, 3)


def test_one_length_of_list_is_looked_at_at_a_time() -> None:
    made = [point(1, 0.1, 0.2)]
    assert offline_online.lengths(made) == [5, 10]
    assert list(offline_online.at_length(made, 5)[0].offline) == ["ndcg_5"]


def test_paired_difference_is_the_mean_gap_with_its_normal_interval() -> None:
    control, treatment = np.array([0.1, 0.2, 0.3, np.nan]), np.array([0.2, 0.2, 0.6, 0.9])
    found = offline_online.paired_differences({"ndcg_10": control}, {"ndcg_10": treatment, "other_10": treatment})
    gaps = np.array([0.1, 0.0, 0.3])
    half = 1.959964 * gaps.std(ddof=1) / math.sqrt(3)
    assert list(found) == ["ndcg_10"]
    one = found["ndcg_10"]
    assert (one.value, one.low, one.high) == pytest.approx((gaps.mean(), gaps.mean() - half, gaps.mean() + half))
