import math
from dataclasses import replace

import numpy as np
import pytest

from abtest.statistics import heterogeneity, welch
from abtest.statistics.effect import Effects
from abtest.statistics.moments import Moments


def segments(rng: np.random.Generator, effects: np.ndarray, n: int = 200) -> Effects:
    """One effect per segment, of units with mean 10 and variance 4."""
    control, treatment = (
        Moments.of(("numerator",), rng.normal(10.0 + by, 2.0, (n, len(effects))).T[..., None])
        for by in (np.zeros(len(effects)), effects)
    )
    return welch.effects(control, treatment, 0.95)


def test_hand_computed_q() -> None:
    """Effects 1, 2, 6 with errors 1: the mean is 3, Q = 4 + 1 + 9 = 14, variance between 7 - 1 = 6."""
    found = heterogeneity.interaction(of([1.0, 2.0, 6.0], [1.0, 1.0, 1.0]))
    assert (found.q, found.freedom) == (pytest.approx(14.0), 2)
    assert found.spread**2 == pytest.approx(6.0)
    assert found.common == pytest.approx(3.0)
    assert found.common_se == pytest.approx(math.sqrt(7 / 3))
    assert found.share == pytest.approx(1 - 2 / 14)


def of(estimates: list[float], errors: list[float]) -> Effects:
    base = segments(np.random.default_rng(0), np.zeros(len(estimates)))
    return replace(base, absolute=np.array(estimates), se=np.array(errors))


def test_segments_alike_are_told_apart_one_time_in_twenty(rng: np.random.Generator) -> None:
    runs = 1_500
    p_values = [heterogeneity.interaction(segments(rng, np.full(6, 0.5))).p_value for _ in range(runs)]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def test_segments_that_differ_are_found_with_their_spread(rng: np.random.Generator) -> None:
    found = heterogeneity.interaction(segments(rng, rng.normal(0.5, 0.5, 200)))
    assert found.p_value < 1e-6
    assert found.spread == pytest.approx(0.5, abs=0.1)
    assert found.common == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("m", [4, 12])
def test_shrunk_effects_are_closer_and_their_intervals_hold(rng: np.random.Generator, m: int) -> None:
    runs, covered, squares, plain = 600, 0.0, 0.0, 0.0
    for _ in range(runs):
        truth = rng.normal(0.3, 0.2, m)
        effects = segments(rng, truth)
        shrunk = heterogeneity.shrunk(effects)
        covered += np.mean((shrunk.low <= truth) & (shrunk.high >= truth)) / runs
        squares += np.mean((shrunk.absolute - truth) ** 2)
        plain += np.mean((effects.absolute - truth) ** 2)
    assert squares < (0.95 if m == 4 else 0.8) * plain
    # segments of one run share their common effect: four errors of a share over the runs, not over their segments
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def test_few_segments_come_back_as_they_are(rng: np.random.Generator) -> None:
    effects = segments(rng, np.zeros(3))
    assert heterogeneity.shrunk(effects) is effects


def test_a_segment_without_an_effect_is_left_out(rng: np.random.Generator) -> None:
    effects = of([1.0, 2.0, 6.0, math.nan, 5.0], [1.0, 1.0, 1.0, 1.0, math.nan])
    found = heterogeneity.interaction(effects)
    assert (found.segments, found.q) == (3, pytest.approx(14.0))


def test_one_segment_has_nothing_to_differ_from() -> None:
    found = heterogeneity.interaction(of([1.0, math.nan], [1.0, 1.0]))
    assert math.isnan(found.p_value)
    assert "1 of 2 segments" in found.reason


def test_units_of_measure_change_no_test() -> None:
    near, far = (heterogeneity.interaction(of([1.0 * by, 2.0 * by, 6.0 * by], [by, by, 2 * by])) for by in (1.0, 1e-9))
    assert far.p_value == pytest.approx(near.p_value, rel=1e-9)
    assert far.spread == pytest.approx(near.spread * 1e-9, rel=1e-9)


def test_segments_are_one_axis(rng: np.random.Generator) -> None:
    effects = of([1.0, 2.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="one axis"):
        heterogeneity.interaction(replace(effects, absolute=np.zeros((2, 2))))
