"""Every statistical method keeps the promises of the table METHODS."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from abtest.statistics import METHODS
from abtest.statistics.effect import Method
from abtest.statistics.moments import Moments, stack
from bakeoff.catalogue import lookup

Draw = Callable[[np.random.Generator, int, float], Moments]


def skewed_mean(rng: np.random.Generator, n: int, lift: float) -> Moments:
    return Moments.of(("numerator",), (1 + lift) * rng.exponential(5.0, (n, 1)))


def rare_proportion(rng: np.random.Generator, n: int, lift: float) -> Moments:
    return Moments.of(("numerator",), (rng.random((n, 1)) < 0.2 * (1 + lift)).astype(float))


def correlated_ratio(rng: np.random.Generator, n: int, lift: float) -> Moments:
    # heavy users see more and click more per slate: the units are not the events
    taste, shown = rng.gamma(4.0, 0.25, n), 1.0 + rng.poisson(6.0, n)
    clicks = rng.poisson(0.1 * (1 + lift) * taste * shown * (1 + 0.02 * shown))
    return Moments.of(("numerator", "denominator"), np.column_stack([clicks, shown]))


def ratio_with_a_past(rng: np.random.Generator, n: int, lift: float) -> Moments:
    # the same taste before and in the experiment, over different numbers of slates
    taste, shown, before = rng.gamma(4.0, 0.25, n), 1.0 + rng.poisson(6.0, n), 1.0 + rng.poisson(9.0, n)
    clicks, clicked = rng.poisson(0.3 * (1 + lift) * taste * shown), rng.poisson(0.3 * taste * before)
    columns = ("numerator", "denominator", "covariate", "covariate_denominator")
    return Moments.of(columns, np.column_stack([clicks, shown, clicked, before]))


def three_strata(rng: np.random.Generator, n: int, lift: float) -> Moments:
    stratum, values = rng.choice(3, n, p=[0.6, 0.3, 0.1]), rng.exponential(2.0, n)
    values = (1 + lift) * (values + 3.0 * stratum)
    return stack([Moments.of(("numerator",), values[stratum == one, None]) for one in range(3)])


SAMPLES: dict[str, Draw] = {
    "mean": skewed_mean,
    "proportion": rare_proportion,
    "ratio": correlated_ratio,
    "cuped": ratio_with_a_past,
    "poststratified": three_strata,
}
RUNS = 1_200
# four Monte-Carlo standard errors of a share of 5% over the runs: one false alarm in 16,000
TOLERANCE = 4 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.fixture(params=METHODS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def draw(name: str) -> Draw:
    return SAMPLES[name]


@pytest.fixture
def method(name: str) -> Method:
    found: Method = lookup(METHODS, name, "method")
    return found


def test_every_registered_method_has_a_sample() -> None:
    assert set(SAMPLES) == set(METHODS)


def test_a_against_a_rejects_at_its_level_and_intervals_cover(
    method: Method, draw: Draw, rng: np.random.Generator
) -> None:
    effects = [method(draw(rng, 800, 0.0), draw(rng, 800, 0.0), 0.95) for _ in range(RUNS)]
    assert np.mean([effect.p_value < 0.05 for effect in effects]) == pytest.approx(0.05, abs=TOLERANCE)
    assert np.mean([e.ci[0] <= 0 <= e.ci[1] for e in effects]) == pytest.approx(0.95, abs=TOLERANCE)


def test_a_planted_lift_is_covered_by_the_relative_interval(
    method: Method, draw: Draw, rng: np.random.Generator
) -> None:
    effects = [method(draw(rng, 800, 0.0), draw(rng, 800, 0.2), 0.95) for _ in range(RUNS)]
    covered = [e.relative_ci[0] <= 0.2 <= e.relative_ci[1] for e in effects]
    assert np.mean(covered) == pytest.approx(0.95, abs=TOLERANCE)
    assert np.mean([e.relative for e in effects]) == pytest.approx(0.2, abs=0.02)


def test_sign_flips_when_arms_swap(method: Method, draw: Draw, rng: np.random.Generator) -> None:
    one, other = draw(rng, 900, 0.0), draw(rng, 700, 0.3)
    there, back = method(one, other, 0.9), method(other, one, 0.9)
    assert there.absolute == -back.absolute
    assert there.ci == pytest.approx((-back.ci[1], -back.ci[0]), rel=1e-12)
    assert there.p_value == pytest.approx(back.p_value, rel=1e-12)
    # the lift back is the inverse ratio, and so are its ends
    assert 1 + there.relative_ci[0] == pytest.approx(1 / (1 + back.relative_ci[1]), rel=1e-9)


def test_merged_parts_give_the_whole_effect(method: Method, draw: Draw, rng: np.random.Generator) -> None:
    parts = [[draw(rng, 300, lift) for _ in range(3)] for lift in (0.0, 0.2)]
    control, treatment = (Moments.merged(arm) for arm in parts)
    backwards = [Moments.merged(arm[::-1]) for arm in parts]
    first, second = method(control, treatment, 0.95), method(backwards[0], backwards[1], 0.95)
    assert second.p_value == pytest.approx(first.p_value, rel=1e-10)
    assert second.relative_ci == pytest.approx(first.relative_ci, rel=1e-10)


# a share has no unit of measure; that counting the others flips it is tested with proportions
@pytest.mark.parametrize("name", sorted(set(METHODS) - {"proportion"}))
def test_a_unit_of_measure_changes_no_lift_and_no_p_value(method: Method, draw: Draw, rng: np.random.Generator) -> None:
    arms = draw(rng, 800, 0.0), draw(rng, 800, 0.1)
    scale = np.ones(len(arms[0].columns))
    scale[0] = 1e-9
    tiny = [Moments(m.columns, m.n, m.mean * scale, m.comoment * np.outer(scale, scale)) for m in arms]
    here, there = method(arms[0], arms[1], 0.95), method(tiny[0], tiny[1], 0.95)
    assert there.absolute == pytest.approx(here.absolute * 1e-9, rel=1e-10)
    assert there.ci == pytest.approx([end * 1e-9 for end in here.ci], rel=1e-9)
    assert there.relative_ci == pytest.approx(here.relative_ci, rel=1e-9)
    assert there.p_value == pytest.approx(here.p_value, rel=1e-9)


def test_a_higher_level_reaches_further(method: Method, draw: Draw, rng: np.random.Generator) -> None:
    arms = draw(rng, 500, 0.0), draw(rng, 500, 0.1)
    narrow, wide = method(*arms, 0.8), method(*arms, 0.99)
    assert wide.ci[0] < narrow.ci[0] < narrow.ci[1] < wide.ci[1]
    assert wide.relative_ci[0] < narrow.relative_ci[0] < narrow.relative_ci[1] < wide.relative_ci[1]
    assert wide.level == 0.99


@pytest.mark.parametrize(
    ("n", "words"), [((0, 50), "no units in control"), ((50, 0), "no units in treatment"), ((1, 50), "only one unit")]
)
def test_too_few_units_are_nan_with_a_reason(
    method: Method, draw: Draw, rng: np.random.Generator, n: tuple[int, int], words: str
) -> None:
    effect = method(draw(rng, n[0], 0.0), draw(rng, n[1], 0.0), 0.95)
    assert np.isnan([*effect.ci, *effect.relative_ci, effect.p_value, effect.se]).all()
    assert words in effect.reason


def test_units_that_are_all_alike_are_nan_with_a_reason(method: Method, draw: Draw, rng: np.random.Generator) -> None:
    columns = draw(rng, 2, 0.0).columns
    same = Moments.of(columns, np.ones((40, len(columns))))
    effect = method(same, same, 0.95)
    assert math.isnan(effect.p_value)
    assert "no variance" in effect.reason
    assert effect.absolute == 0.0


def test_a_level_that_is_no_confidence_is_refused(method: Method, draw: Draw, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"level must lie strictly between 0 and 1, got 95"):
        method(draw(rng, 9, 0.0), draw(rng, 9, 0.0), 95)
