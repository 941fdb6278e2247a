"""Our methods beside scipy's, statsmodels' and tea-tasting's on the same data: `python -m` prints the table."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
import tea_tasting as tt
from scipy import integrate, stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest
from statsmodels.stats.weightstats import ttest_ind, ttost_ind

from abtest.statistics import bayes, beta, cuped, delta, equivalence, heterogeneity, proportion, quantile, srm, welch
from abtest.statistics.effect import Effects
from abtest.statistics.moments import Moments, stack
from abtest.types import Effect


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One number computed twice."""

    what: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        """Relative to theirs; absolute where theirs is 0."""
        return abs(self.ours - self.theirs) / (abs(self.theirs) or 1.0)


def agreements() -> Iterator[Agreement]:
    """Every number that a peer computes by the same formula."""
    rng = np.random.default_rng(3)
    yield from _means(rng)
    yield from _proportions()
    yield from _against_tea_tasting()
    yield from _regression(rng)
    yield from _margins(rng)
    yield from _posteriors()
    yield from _segments(rng)
    yield from _quantiles(rng)
    yield from _sample_ratio()


def column(values: np.ndarray) -> Moments:
    return Moments.of(("numerator",), values[:, None])


def ones(successes: int, n: int) -> Moments:
    return column(np.repeat([1.0, 0.0], [successes, n - successes]))


def _pairs(what: str, ours: dict[str, float], theirs: dict[str, float]) -> Iterator[Agreement]:
    for name, value in theirs.items():
        yield Agreement(what=f"{what}: {name}", ours=float(ours[name]), theirs=float(value))


def _parts(effect: Effect) -> dict[str, float]:
    return {
        "control": effect.control,
        "treatment": effect.treatment,
        "difference": effect.absolute,
        "low": effect.ci[0],
        "high": effect.ci[1],
        "p": effect.p_value,
    }


def _means(rng: np.random.Generator) -> Iterator[Agreement]:
    a, b = rng.lognormal(1.0, 1.0, 300), rng.lognormal(1.2, 1.3, 170)
    expected = stats.ttest_ind(b, a, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    found = _parts(welch.effect(column(a), column(b), 0.95))
    yield from _pairs("Welch, scipy", found, {"low": low, "high": high, "p": expected.pvalue})


def _proportions() -> Iterator[Agreement]:
    found = _parts(proportion.effect(ones(200, 2_000), ones(260, 2_100), 0.95))
    low, high = confint_proportions_2indep(260, 2_100, 200, 2_000, method="newcomb")
    p_value = proportions_ztest([260, 200], [2_100, 2_000])[1]
    yield from _pairs("proportion, statsmodels", found, {"low": low, "high": high, "p": p_value})
    few = proportion.effect(ones(3, 40), ones(11, 38), 0.95)
    p_value = stats.fisher_exact([[3, 37], [11, 27]]).pvalue
    yield Agreement(what="few units, scipy's Fisher: p", ours=few.p_value, theirs=float(p_value))


def _against_tea_tasting() -> Iterator[Agreement]:
    data = tt.make_users_data(rng=42, covariates=True, return_type="pandas", n_users=4_000)
    past = ("covariate", "covariate_denominator")
    cases = {
        "mean": (tt.Mean("revenue"), welch.effect, {"numerator": "revenue"}),
        "ratio": (
            tt.RatioOfMeans("orders", "sessions"),
            delta.effect,
            {"numerator": "orders", "denominator": "sessions"},
        ),
        "CUPED mean": (
            tt.Mean("revenue", "revenue_covariate"),
            cuped.effect,
            {"numerator": "revenue", "covariate": "revenue_covariate"},
        ),
        "CUPED ratio": (
            tt.RatioOfMeans("orders", "sessions", "orders_covariate", "sessions_covariate"),
            cuped.effect,
            dict(zip(("numerator", "denominator", *past), _columns("orders", "sessions"), strict=True)),
        ),
        "CUPED ratio, covariate a mean": (
            tt.RatioOfMeans("orders", "sessions", "orders_covariate"),
            cuped.effect,
            {"numerator": "orders", "denominator": "sessions", "covariate": "orders_covariate"},
        ),
    }
    theirs = tt.Experiment({name: metric for name, (metric, _, _) in cases.items()}).analyze(data)
    for name, (_, method, columns) in cases.items():
        control, treatment = (
            Moments.of(tuple(columns), part[list(columns.values())].to_numpy(float))
            for _, part in data.groupby("variant")
        )
        result = theirs[name]
        expected = {
            "control": result.control,
            "treatment": result.treatment,
            "difference": result.effect_size,
            "low": result.effect_size_ci_lower,
            "high": result.effect_size_ci_upper,
            "p": result.pvalue,
        }
        yield from _pairs(f"{name}, tea-tasting", _parts(method(control, treatment, 0.95)), expected)


def _columns(top: str, bottom: str) -> tuple[str, ...]:
    return top, bottom, f"{top}_covariate", f"{bottom}_covariate"


def _regression(rng: np.random.Generator) -> Iterator[Agreement]:
    """Several covariates: theta is the pooled regression's slope, the effect Welch's on its residuals."""
    n, names = 600, ("numerator", "covariate_1", "covariate_2", "covariate_3")
    past = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)) + 5.0
    treated = rng.random(n) < 0.4
    values = past @ [1.0, -0.5, 0.2] + rng.exponential(2.0, n) + 0.3 * treated
    arms = [Moments.of(names, np.column_stack([values, past])[treated == arm]) for arm in (False, True)]
    fitted = sm.OLS(values, sm.add_constant(past)).fit()
    theta = cuped.adjusted(*arms).theta
    for place in range(3):
        yield Agreement(what=f"theta {place + 1} of 3, OLS", ours=theta[place], theirs=float(fitted.params[place + 1]))
    left = values - past @ fitted.params[1:]
    expected = stats.ttest_ind(left[treated], left[~treated], equal_var=False)
    low, high = expected.confidence_interval(0.95)
    found = _parts(cuped.effect(*arms, 0.95))
    yield from _pairs("three covariates, OLS residuals", found, {"low": low, "high": high, "p": expected.pvalue})


def _margins(rng: np.random.Generator) -> Iterator[Agreement]:
    a, b = rng.normal(10.0, 3.0, 80), rng.normal(10.1, 4.0, 50)
    effects = welch.effects(stack([column(a)]), stack([column(b)]), 0.95)
    found = equivalence.non_inferiority(effects, 1.0, scale="absolute").p_value[0]
    expected = ttest_ind(b, a, alternative="larger", usevar="unequal", value=-1.0)[1]
    yield Agreement(what="non-inferiority, statsmodels: p", ours=found, theirs=float(expected))
    found = equivalence.equivalence(effects, 1.5, scale="absolute").p_value[0]
    yield Agreement(
        what="TOST, statsmodels: p", ours=found, theirs=float(ttost_ind(b, a, -1.5, 1.5, usevar="unequal")[0])
    )


def _posteriors() -> Iterator[Agreement]:
    found = beta.posteriors(ones(3, 20), ones(7, 25), 0.95).single()
    control, treatment = stats.beta(4, 18), stats.beta(8, 19)
    chance = integrate.quad(lambda x: treatment.pdf(x) * control.cdf(x), 0, 1, epsabs=0, epsrel=1e-12)[0]
    loss = integrate.quad(lambda x: treatment.cdf(x) * control.sf(x), 0, 1, epsabs=0, epsrel=1e-12)[0]
    tail = integrate.quad(lambda x: control.pdf(x) * treatment.cdf(x + found.ci[0]), 0, 1, epsabs=0, epsrel=1e-12)[0]
    half = integrate.quad(
        lambda x: control.pdf(x) * treatment.cdf(x * (1 + found.relative_ci[1])), 0, 1, epsabs=0, epsrel=1e-11
    )[0]
    yield Agreement(what="beta, quadrature: chance to win", ours=found.chance_to_win, theirs=chance)
    yield Agreement(what="beta, quadrature: expected loss", ours=found.expected_loss, theirs=loss)
    yield Agreement(what="beta, quadrature: mass below the interval", ours=0.025, theirs=tail)
    yield Agreement(what="beta, quadrature: mass below the lift's upper end", ours=0.975, theirs=half)
    effects = Effects.of([welch.effect(ones(200, 2_000), ones(240, 2_000), 0.95)])
    normal, prior_sd = bayes.normal(effects, 0.95, bayes.Prior(mean=0.01, sd=0.05)).single(), 0.05 * 0.1
    weight = effects.se[0] ** 2 / (effects.se[0] ** 2 + prior_sd**2)
    posterior = stats.norm(weight * 0.001 + (1 - weight) * effects.absolute[0], prior_sd * np.sqrt(weight))
    yield Agreement(what="normal prior, scipy: chance to win", ours=normal.chance_to_win, theirs=posterior.sf(0))
    loss = integrate.quad(lambda x: -x * posterior.pdf(x), -0.2, 0, epsabs=0, epsrel=1e-11)[0]
    yield Agreement(what="normal prior, quadrature: expected loss", ours=normal.expected_loss, theirs=loss)


def _segments(rng: np.random.Generator) -> Iterator[Agreement]:
    estimates, errors = rng.normal(1.0, 0.5, 9), rng.uniform(0.2, 0.6, 9)
    unused = ("control", "treatment", "relative", "low", "high", "relative_low", "relative_high", "p_value")
    effects = Effects(
        absolute=estimates,
        se=errors,
        method=np.full(9, ""),
        reason=np.full(9, ""),
        level=0.95,
        **dict.fromkeys(unused, np.zeros(9)),
    )
    found = heterogeneity.interaction(effects)
    expected = combine_effects(estimates, errors**2, method_re="dl", use_t=False)
    yield Agreement(what="Cochran's Q, statsmodels", ours=found.q, theirs=float(expected.q))
    yield Agreement(
        what="Cochran's Q, statsmodels: p", ours=found.p_value, theirs=float(expected.test_homogeneity().pvalue)
    )
    yield Agreement(what="DerSimonian-Laird, statsmodels: variance", ours=found.spread**2, theirs=float(expected.tau2))
    yield Agreement(
        what="DerSimonian-Laird, statsmodels: effect", ours=found.common, theirs=float(expected.mean_effect_re)
    )
    yield Agreement(
        what="DerSimonian-Laird, statsmodels: error", ours=found.common_se, theirs=float(expected.sd_eff_w_re)
    )


def _quantiles(rng: np.random.Generator) -> Iterator[Agreement]:
    a, b = rng.lognormal(0.0, 1.0, 501), rng.lognormal(0.1, 1.0, 730)
    found = quantile.effect(quantile.Rows(values=a), quantile.Rows(values=b), 0.95, 0.9)
    yield Agreement(what="90% quantile, numpy", ours=found.treatment, theirs=float(np.quantile(b, 0.9)))
    units = np.repeat(np.arange(100), 5)
    below = pd.Series(a[:500] <= np.quantile(a[:500], 0.5)).groupby(units).mean()
    rows = quantile.Rows(values=a[:500], units=units)
    share = quantile.share_of(rows, 0.5)
    # with as many rows in every unit, the delta method is the standard error of the units' own shares
    yield Agreement(
        what="clustered share, pandas: variance", ours=float(share.variance), theirs=float(below.sem() ** 2)
    )


def _sample_ratio() -> Iterator[Agreement]:
    expected = stats.chisquare([5_050, 4_930, 10_220], np.array([0.25, 0.25, 0.5]) * 20_200)
    found = srm.check([5_050, 4_930, 10_220], [0.25, 0.25, 0.5])
    yield Agreement(what="sample ratio, scipy: chi-square", ours=found.chi_square, theirs=float(expected.statistic))
    yield Agreement(what="sample ratio, scipy: p", ours=found.p_value, theirs=float(expected.pvalue))


if __name__ == "__main__":
    for row in agreements():
        print(f"{row.what:52s} {row.ours:22.15g} {row.theirs:22.15g} {row.difference:9.1e}")
