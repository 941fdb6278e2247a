import math

import numpy as np
import pytest

from abtest.statistics import uplift


def experiment(rng: np.random.Generator, n: int, gain: float, level: float = 0.0) -> tuple[np.ndarray, ...]:
    """scores, outcomes, treated: three in ten are treated, and gain `gain` times their score."""
    scores, treated = rng.normal(size=n), rng.random(n) < 0.3
    return scores, rng.exponential(1.0, n) + level * scores + gain * scores * treated, treated


def test_hand_computed_area() -> None:
    """Only the better half gains, and gains 2: the curve rises to 1 at one half, half a triangle above the line."""
    scores = np.repeat([1.0, 0.0], 200)
    treated = np.tile([True, False], 200)
    outcomes = 2.0 * (scores > 0) * treated
    found = uplift.qini(scores, outcomes, treated, points=3)
    assert found.of_all == pytest.approx(1.0)
    assert found.curve[:, 1] == pytest.approx([0.0, 1.0, 1.0])
    # between the curve (0, 1, 1) and the line (0, 1/2, 1): triangles of area 1/8 on both sides
    assert found.area == pytest.approx(0.25)


@pytest.mark.parametrize(("gain", "level"), [(0.0, 0.0), (0.0, 2.0), (1.0, 2.0)])
def test_intervals_hold_also_where_the_score_knows_the_level(
    rng: np.random.Generator, gain: float, level: float
) -> None:
    runs, truth, covered, areas = 1_000, gain / (2 * math.sqrt(math.pi)), 0, []
    for _ in range(runs):
        found = uplift.qini(*experiment(rng, 800, gain, level))
        covered += found.ci[0] <= truth <= found.ci[1]
        areas.append(found.area)
    assert covered / runs == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / runs))
    assert np.mean(areas) == pytest.approx(truth, abs=4 * np.std(areas) / math.sqrt(runs))


def test_a_ranking_turned_round_has_the_opposite_area(rng: np.random.Generator) -> None:
    scores, outcomes, treated = experiment(rng, 2_000, 1.0)
    there, back = uplift.qini(scores, outcomes, treated), uplift.qini(-scores, outcomes, treated)
    assert there.area == pytest.approx(-back.area, rel=1e-9)
    assert there.p_value == pytest.approx(back.p_value, rel=1e-6)
    assert there.p_value < 1e-6


def test_ties_count_half_whatever_the_order_of_units(rng: np.random.Generator) -> None:
    _, outcomes, treated = experiment(rng, 600, 0.0)
    scores, order = rng.integers(0, 3, 600), rng.permutation(600)
    one = uplift.qini(scores, outcomes, treated)
    other = uplift.qini(scores[order], outcomes[order], treated[order])
    assert (one.area, one.se) == pytest.approx((other.area, other.se), rel=1e-9)


def test_the_level_of_outcomes_is_no_gain(rng: np.random.Generator) -> None:
    scores, outcomes, treated = experiment(rng, 600, 0.5)
    near, far = uplift.qini(scores, outcomes, treated), uplift.qini(scores, outcomes + 1e9, treated)
    assert far.ci == pytest.approx(near.ci, abs=1e-5)


@pytest.mark.parametrize(
    ("scores", "treated", "words"),
    [
        (np.arange(60.0), np.arange(60) < 20, "50 are needed in each arm, got 20 treated and 40 not"),
        (np.ones(200), np.arange(200) < 100, "they rank nothing"),
    ],
)
def test_what_cannot_be_ranked_is_nan_with_a_reason(scores: np.ndarray, treated: np.ndarray, words: str) -> None:
    found = uplift.qini(scores, scores, treated)
    assert math.isnan(found.area)
    assert words in found.reason


def test_units_all_alike_have_no_variance() -> None:
    found = uplift.qini(np.arange(200.0), np.ones(200), np.arange(200) % 2 == 0)
    assert math.isnan(found.p_value)
    assert "no variance" in found.reason


def test_bad_input_is_refused() -> None:
    good = np.zeros(4)
    with pytest.raises(ValueError, match="one score, outcome and arm per unit"):
        uplift.qini(good, good[:3], good)
    with pytest.raises(ValueError, match="0 or 1"):
        uplift.qini(good, good, good + 2)
    with pytest.raises(ValueError, match="must be finite"):
        uplift.qini(good + np.nan, good, good)
