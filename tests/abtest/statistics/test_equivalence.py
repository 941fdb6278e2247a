import math

import numpy as np
import pytest

from abtest.statistics import equivalence, proportion, welch
from abtest.statistics.effect import Effects
from abtest.statistics.moments import Moments


def drawn(rng: np.random.Generator, runs: int, n: int, lift: float, level: float) -> Effects:
    control, treatment = (
        Moments.of(("numerator",), by * rng.lognormal(0.0, 1.0, (runs, n, 1))) for by in (1.0, 1 + lift)
    )
    return welch.effects(control, treatment, level)


@pytest.mark.parametrize("direction", ["increase", "decrease"])
def test_at_the_margin_one_in_forty_is_called_not_inferior(rng: np.random.Generator, direction: str) -> None:
    runs, worse = 4_000, -0.05 if direction == "increase" else 0.05
    held = equivalence.non_inferiority(drawn(rng, runs, 400, worse, 0.95), 0.05, direction=direction)
    # skewed values lean a one-sided test a little: four standard errors and half a percent
    assert held.shown.mean() == pytest.approx(0.025, abs=4 * math.sqrt(0.025 * 0.975 / runs) + 0.005)


def test_at_the_margin_one_in_twenty_is_called_equivalent(rng: np.random.Generator) -> None:
    runs = 2_000
    held = equivalence.equivalence(drawn(rng, runs, 4_000, 0.1, 0.9), 0.1)
    assert held.shown.mean() == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def test_verdict_and_interval_agree_on_both_scales(rng: np.random.Generator) -> None:
    effects = drawn(rng, 500, 100, 0.0, 0.95)
    relative, absolute = (equivalence.non_inferiority(effects, 0.2, scale=scale) for scale in ("relative", "absolute"))
    assert (relative.shown == (effects.relative_low > -0.2)).all()
    assert (absolute.shown == (effects.low > -0.2)).all()
    assert 0 < relative.shown.mean() < 1
    assert relative.low == pytest.approx(effects.relative_low, rel=1e-6)
    assert absolute.low == pytest.approx(effects.low, rel=1e-6)


def test_a_rate_is_held_by_its_newcombe_interval() -> None:
    one = [Moments.of(("numerator",), np.repeat([1.0, 0.0], [k, 2_000 - k])[:, None]) for k in (200, 196)]
    effects = Effects.of([proportion.effect(*one, 0.95)])
    held = equivalence.non_inferiority(effects, 0.02, scale="absolute")
    assert held.low == pytest.approx(effects.low, rel=1e-9)
    assert held.shown.all() == (effects.low[0] > -0.02)


def test_what_is_much_better_is_not_inferior_and_not_equivalent(rng: np.random.Generator) -> None:
    effects = drawn(rng, 3, 5_000, 1.0, 0.95)
    assert equivalence.non_inferiority(effects, 0.01).shown.all()
    assert not equivalence.non_inferiority(effects, 0.01, direction="decrease").shown.any()
    assert not equivalence.equivalence(effects, 0.01).shown.any()


def test_an_effect_that_is_unknown_shows_nothing_and_says_why() -> None:
    nothing = Moments.of(("numerator",), np.zeros((0, 1)))
    held = equivalence.non_inferiority(Effects.of([welch.effect(nothing, nothing, 0.95)]), 0.02)
    assert not held.shown.any()
    assert math.isnan(held.p_value[0])
    assert "no units in control" in held.reason[0]


def test_a_lift_without_end_shows_nothing_and_says_why(rng: np.random.Generator) -> None:
    values = rng.normal(0.01, 1.0, (2, 50, 1))
    effects = Effects.of([welch.effect(*(Moments.of(("numerator",), v) for v in values), 0.95)])
    held = equivalence.non_inferiority(effects, 0.02)
    assert not held.shown.any()
    assert "cannot be told from 0" in held.reason[0]
    assert equivalence.non_inferiority(effects, 5.0, scale="absolute").shown.all()


@pytest.mark.parametrize("margin", [0.0, -0.02, math.inf, math.nan])
def test_a_margin_that_is_none_is_refused(rng: np.random.Generator, margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be > 0"):
        equivalence.non_inferiority(drawn(rng, 1, 9, 0.0, 0.95), margin)
