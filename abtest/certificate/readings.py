"""Other readings of the same data: margins instead of zero, posteriors instead of p-values, segments, resampling."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from abtest.certificate.fixed import MOST, standard_error
from abtest.certificate.lines import FIXED, LEVEL, NOTHING, Band, Line, Measured, judge, mean, missed, share
from abtest.certificate.populations import Population, log_normal, normal
from abtest.certificate.subjects import POPULATIONS
from abtest.statistics import bayes, beta, heterogeneity, resampling, welch
from abtest.statistics.effect import Effects
from abtest.statistics.equivalence import Held, equivalence, non_inferiority
from abtest.statistics.moments import Array, Moments

ONE_SIDED: Band = (0.02, 0.03)
MARGIN = 3.0  # standard errors: room for a test of 2.5% or two of 5% to show that nothing is lost
PRIOR = 0.05  # the standard deviation of the lifts that are drawn where a prior is believed
SEGMENTS, APART = 5, 4.0  # segments, and the standard errors by which one of them differs
SLOW, RESAMPLES = 10, 500  # a bootstrap costs as much as hundreds of tests: a tenth of the runs
SLOWEST = 20  # and two beta posteriors as much as thousands


Reading = Callable[[str, int, int, np.random.Generator], Line]


def certify(reading: str, scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """What `runs` experiments with `units` per arm say of a reading."""
    return READINGS[reading][0](scenario, units, runs, rng)


def _not_worse(scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    def test(found: Effects, margin: float) -> Held:
        return non_inferiority(found, margin)

    return _within("non-inferiority", test, -1.0, ONE_SIDED, scenario, units, runs, rng)


def _alike(scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    return _within("equivalence", equivalence, 1.0, FIXED, scenario, units, runs, rng)


def _within(
    name: str,
    test: Callable[[Effects, float], Held],
    side: float,
    band: Band,
    scenario: str,
    units: int,
    runs: int,
    rng: np.random.Generator,
) -> Line:
    """A test against a margin: wrong when the truth lies on the margin, right when it lies at 0."""
    population = POPULATIONS[scenario]()
    margin = min(MARGIN * standard_error(population, 0.0, units) / abs(population.value), MOST)
    on_margin = test(_welch(population, side * margin, units, runs, rng), margin)
    at_zero = test(_welch(population, 0.0, units, runs, rng), margin)
    type_i = share(int(on_margin.shown.sum()), runs)
    return _line(name, scenario, units, runs, margin, {"type I error": (type_i, band)}, type_i, at_zero.shown)


def _normal_posterior(scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """Lifts drawn from the prior: the credible intervals must cover them, the chance to win must come true."""
    population, lift = normal(), rng.normal(0.0, PRIOR, runs)
    control, treatment = population.draw(rng, units, (runs,)), population.draw(rng, units, (runs,))
    moved = treatment.mean + (lift * population.value)[:, None]
    found = bayes.normal(
        welch.effects(control, Moments(treatment.columns, treatment.n, moved, treatment.comoment), LEVEL),
        LEVEL,
        bayes.Prior(sd=PRIOR),
    )
    return _posterior("normal posterior", found, lift * population.value, lift, units, runs)


def _beta_posterior(scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """Rates drawn from the prior, which is uniform."""
    runs = max(runs // SLOWEST, 1)
    rates = rng.random((2, runs))
    ones = rng.binomial(units, rates)
    arms = [_binary(row, units) for row in ones]
    found = beta.posteriors(arms[0], arms[1], LEVEL)
    return _posterior("beta posterior", found, rates[1] - rates[0], rates[1] / rates[0] - 1.0, units, runs)


def _posterior(name: str, found: bayes.Posteriors, truth: Array, lift: Array, units: int, runs: int) -> Line:
    coverage = share(int(((found.low <= truth) & (truth <= found.high)).sum()), runs)
    relative = share(int(((found.relative_low <= lift) & (lift <= found.relative_high)).sum()), runs)
    verdict, reason = judge({"misses": (missed(coverage), FIXED), "misses of the lift": (missed(relative), FIXED)})
    surprise = mean(found.chance_to_win - (truth > 0))
    if verdict == "holds" and max(surprise.low, -surprise.high) > 0.005:
        verdict, reason = "does not hold", f"the chance to win is off by {surprise.value:+.1%}"
    return Line(
        kind="reading",
        method=name,
        scenario="truths from the prior",
        units=units,
        looks=1,
        runs=runs,
        lift=0.0,
        coverage=coverage,
        relative_coverage=relative,
        verdict=verdict,
        reason=reason,
    )


def _interaction(scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """One effect for all segments, then one segment that differs."""
    population = POPULATIONS[scenario]()
    lift = APART * standard_error(population, 0.0, units) / abs(population.value)
    shape = (runs, SEGMENTS)
    equal = welch.effects(population.draw(rng, units, shape), population.draw(rng, units, shape), LEVEL)
    other = welch.effects(
        population.draw(rng, units, (runs, 1)), population.lifted(lift).draw(rng, units, (runs, 1)), LEVEL
    )
    rejected = [_interacts(equal.absolute, equal.se)]
    rejected.append(
        _interacts(
            np.concatenate([other.absolute, equal.absolute[:, 1:]], axis=1),
            np.concatenate([other.se, equal.se[:, 1:]], axis=1),
        )
    )
    type_i = share(int(rejected[0].sum()), runs)
    return _line(
        "interaction test", scenario, units, runs, lift, {"type I error": (type_i, FIXED)}, type_i, rejected[1]
    )


def _interacts(absolute: Array, se: Array) -> NDArray[np.bool_]:
    """Whether Cochran's test rejects each row (runs, segments)."""
    nothing = np.full(absolute.shape[-1], np.nan)
    words = np.full(absolute.shape[-1], "")
    return np.array(
        [
            heterogeneity.interaction(
                Effects(
                    control=nothing,
                    treatment=nothing,
                    absolute=row,
                    relative=nothing,
                    se=error,
                    low=nothing,
                    high=nothing,
                    relative_low=nothing,
                    relative_high=nothing,
                    p_value=nothing,
                    method=words,
                    reason=words,
                    level=LEVEL,
                )
            ).p_value
            < 1.0 - LEVEL
            for row, error in zip(absolute, se, strict=True)
        ]
    )


def _bootstrap(scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """The mean of heavy-tailed values by resampling, unit by unit."""
    runs, population = max(runs // SLOW, 1), log_normal(1.0)
    lift = min(2.8 * standard_error(population, 0.0, units) / population.value, MOST)

    def arm(by: float) -> Array:
        return (1.0 + by) * rng.choice(population.values, units, p=population.shares)

    def found(by: float) -> list[tuple[float, bool]]:
        rows = [
            resampling.effect(arm(0.0), arm(by), LEVEL, statistic=resampling.MEAN, resamples=RESAMPLES, rng=rng)
            for _ in range(runs)
        ]
        return [(row.p_value, row.ci[0] <= by * population.value <= row.ci[1]) for row in rows]

    equal, planted = found(0.0), found(lift)
    type_i = share(sum(p < 1.0 - LEVEL for p, _ in equal), runs)
    coverage = share(sum(covers for _, covers in planted), runs)
    shown = np.array([p < 1.0 - LEVEL for p, _ in planted])
    errors = {"type I error": (type_i, FIXED), "misses of the effect": (missed(coverage), FIXED)}
    return _line("bootstrap of the mean", "log-normal", units, runs, lift, errors, type_i, shown, coverage)


def _line(
    name: str,
    scenario: str,
    units: int,
    runs: int,
    lift: float,
    errors: dict[str, tuple[Measured, Band]],
    type_i: Measured,
    found: NDArray[np.bool_],
    coverage: Measured = NOTHING,
) -> Line:
    verdict, reason = judge(errors)
    return Line(
        kind="reading",
        method=name,
        scenario=scenario,
        units=units,
        looks=1,
        runs=runs,
        lift=lift,
        type_i=type_i,
        coverage=coverage,
        power=share(int(found.sum()), runs),
        verdict=verdict,
        reason=reason,
    )


def _welch(population: Population, lift: float, units: int, runs: int, rng: np.random.Generator) -> Effects:
    return welch.effects(population.draw(rng, units, (runs,)), population.lifted(lift).draw(rng, units, (runs,)), LEVEL)


def _binary(ones: NDArray[np.int64], units: int) -> Moments:
    rate = ones / units
    spread = units * rate * (1.0 - rate)
    return Moments(("numerator",), np.full(ones.shape, units), rate[..., None], spread[..., None, None])


READINGS: dict[str, tuple[Reading, tuple[str, ...], int]] = {
    "non-inferiority": (_not_worse, ("normal", "revenue"), 10_000),
    "equivalence": (_alike, ("normal", "revenue"), 10_000),
    "normal posterior": (_normal_posterior, ("",), 2_000),
    "beta posterior": (_beta_posterior, ("",), 2_000),
    "interaction test": (_interaction, ("normal", "revenue"), 10_000),
    "bootstrap of the mean": (_bootstrap, ("",), 200),
}
"""Each with the data it is tried on and the units per arm (per segment)."""
