import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bakeoff.bootstrap import Paired, mean_interval, mean_intervals, paired


def test_four_values_by_hand() -> None:
    # with resamples far more than the 4 ** 4 samples there are, the bootstrap se is that of the values over n
    interval = mean_interval([1.0, 2.0, 3.0, 4.0], level=0.5, resamples=50_000, rng=np.random.default_rng(1))
    assert interval.mean == 2.5
    assert interval.n == 4
    half = stats.t.ppf(0.75, 3) * np.std([1, 2, 3, 4], ddof=1) / 2
    # half a step of the 0.25 wide lattice of means
    assert interval.low == pytest.approx(2.5 - half, abs=0.13)
    assert interval.high == pytest.approx(2.5 + half, abs=0.13)


@pytest.mark.parametrize("name", ["normal", "skewed"])
def test_agrees_with_scipy_bca_on_many_values(name: str, rng: np.random.Generator) -> None:
    values = rng.normal(3, 2, 2_000) if name == "normal" else rng.lognormal(size=2_000)
    ours = mean_interval(values, resamples=10_000, rng=rng)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="BCa", batch=500, rng=rng)
    # two Monte Carlo errors of about 2% of the standard error each, and scipy's resampled bias correction
    tolerance = 0.12 * float(theirs.standard_error)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n", "least"),
    [
        # 600 samples: the rate has a standard error of .009; nominal is .95, and what an exact method would miss by
        # three of them is .923. Log-normal means are known to be undercovered: the t interval reaches .865 and .913
        ("normal", 10, 0.92),
        ("normal", 100, 0.92),
        ("log-normal", 30, 0.87),
        ("log-normal", 100, 0.90),
        ("mostly zero", 100, 0.92),
        ("rare", 400, 0.92),
    ],
)
def test_the_interval_covers_the_true_mean(name: str, n: int, least: float, rng: np.random.Generator) -> None:
    draws = {
        "normal": (rng.normal(size=(n, 600)), 0.0),
        "log-normal": (rng.lognormal(size=(n, 600)), math.exp(0.5)),
        "mostly zero": ((rng.random((n, 600)) < 0.2) * rng.random((n, 600)) ** 2, 0.2 / 3),
        "rare": ((rng.random((n, 600)) < 0.05) * 1.0, 0.05),
    }
    values, truth = draws[name]
    # the columns share their resamples, which does not matter for each one's own coverage
    intervals = mean_intervals(values, rng=rng)
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert least <= covered <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("n", "untied"), [(15, 1.0), (60, 0.3), (200, 0.1)])
def test_two_equal_arms_differ_at_the_level(n: int, untied: float, rng: np.random.Generator) -> None:
    # most users tie, as in offline evaluation, where most have no hit in either list
    taste = rng.random((400, n)) < untied
    a, b = taste * rng.random((400, n)), taste * rng.random((400, n))
    p = np.array([paired(x, y, resamples=500, rng=rng).p_value for x, y in zip(a, b, strict=True)])
    # 400 comparisons: standard error .011 at .05, .015 at .1; three of them either side
    assert 0.017 <= (p < 0.05).mean() <= 0.083
    assert 0.055 <= (p < 0.10).mean() <= 0.145


@pytest.mark.slow
def test_a_handful_of_users_who_differ_is_no_alarm(rng: np.random.Generator) -> None:
    # 4 of 15 users differ on average: a BCa interval raises 14% false alarms here, the sign-flip test 1%
    taste = rng.random((400, 15)) < 0.3
    a, b = taste * rng.random((400, 15)), taste * rng.random((400, 15))
    p = np.array([paired(x, y, resamples=500, rng=rng).p_value for x, y in zip(a, b, strict=True)])
    assert (p < 0.05).mean() <= 0.05


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05, 0.1])
def test_p_agrees_with_the_paired_t_test(shift: float, rng: np.random.Generator) -> None:
    a, b = rng.normal(0.3 + shift, 0.4, 500), rng.normal(0.3, 0.4, 500)
    ours = paired(a, b, resamples=20_000, rng=rng).p_value
    assert stats.norm.isf(ours / 2) == pytest.approx(stats.norm.isf(stats.ttest_rel(a, b).pvalue / 2), abs=0.1)


def test_a_planted_difference_is_found(rng: np.random.Generator) -> None:
    b = rng.random(2_000)
    result = paired(b + 0.05 + rng.normal(0, 0.2, 2_000), b, rng=rng)
    assert result.low < 0.05 < result.high
    assert result.p_value < 1e-6
    assert result.share_better == pytest.approx(stats.norm.cdf(0.25), abs=0.04)
    assert result.share_better + result.share_worse == pytest.approx(1)


values = st.lists(st.sampled_from([0.0, 0.0, 0.1, 0.25, 1 / 3, 0.5, 1.0]) | st.floats(-3, 3), min_size=2, max_size=25)


@settings(max_examples=60, deadline=None)
@given(values, values, st.sampled_from([0.8, 0.95, 0.99]))
def test_p_and_interval_always_agree(a: list[float], b: list[float], level: float) -> None:
    n = min(len(a), len(b))
    result = paired(a[:n], b[:n], level=level, resamples=200, rng=np.random.default_rng(7))
    if result.low == result.high:
        return  # no spread: the p-value is the sign-flip test's
    outside = not result.low <= 0 <= result.high
    assert (result.p_value < 1 - level) == outside or result.p_value == pytest.approx(1 - level, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_swapping_the_arms_turns_the_sign(a: list[float], b: list[float]) -> None:
    n = min(len(a), len(b))
    ab = paired(a[:n], b[:n], resamples=200, rng=np.random.default_rng(7))
    ba = paired(b[:n], a[:n], resamples=200, rng=np.random.default_rng(7))
    close = pytest.approx
    assert (ab.difference, ab.low, ab.high) == close((-ba.difference, -ba.high, -ba.low), rel=1e-6, abs=1e-9)
    assert (ab.share_better, ab.share_worse) == (ba.share_worse, ba.share_better)
    assert ab.p_value == close(ba.p_value, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(values, st.floats(0.1, 100), st.floats(-50, 50))
def test_units_of_measurement_do_not_matter(a: list[float], scale: float, shift: float) -> None:
    one = mean_interval(a, resamples=200, rng=np.random.default_rng(3))
    other = mean_interval(np.array(a) * scale + shift, resamples=200, rng=np.random.default_rng(3))
    expected = np.array([one.mean, one.low, one.high]) * scale + shift
    np.testing.assert_allclose([other.mean, other.low, other.high], expected, rtol=1e-6, atol=1e-6)


def test_a_column_does_not_depend_on_its_neighbours(rng: np.random.Generator) -> None:
    matrix = rng.random((40, 3))
    matrix[:7, 1] = np.nan
    together = mean_intervals(matrix, rng=np.random.default_rng(5))
    alone = [mean_interval(matrix[:, i], rng=np.random.default_rng(5)) for i in range(3)]
    for ours, theirs in zip(together, alone, strict=True):
        assert (ours.n, ours.level) == (theirs.n, theirs.level)
        np.testing.assert_allclose([ours.mean, ours.low, ours.high], [theirs.mean, theirs.low, theirs.high], rtol=1e-12)
    assert [interval.n for interval in together] == [40, 33, 40]


def test_gaps_are_left_out(rng: np.random.Generator) -> None:
    values = rng.random(50)
    gaps = np.insert(values, [0, 20, 50], np.nan)
    plain = mean_interval(values, rng=np.random.default_rng(5))
    assert mean_interval(gaps, rng=np.random.default_rng(5)) == plain


def test_a_pair_with_one_side_missing_is_left_out() -> None:
    result = paired([1, 2, 3, np.nan, 7], [0, 2, 4, 5, np.nan], rng=np.random.default_rng(5))
    assert (result.n, result.difference, result.share_better, result.share_worse) == (3, 0.0, 1 / 3, 1 / 3)


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([np.nan], math.nan), ([4.0, np.nan], 4.0)])
def test_too_few_values_have_no_interval(values: list[float], mean: float, rng: np.random.Generator) -> None:
    interval = mean_interval(values, rng=rng)
    result = paired(values, [0.0] * len(values), rng=rng)
    np.testing.assert_equal(
        [interval.mean, interval.low, interval.high, result.low, result.high, result.p_value], [mean] + [math.nan] * 5
    )
    assert math.isnan(result.share_better) == math.isnan(mean)


def test_equal_arms_are_a_certain_tie(rng: np.random.Generator) -> None:
    a = rng.random(30)
    # 0.1 + 0.2 is not 0.3: rounding is no difference
    result = paired((a + 0.1) - 0.1, a, rng=rng)
    expected = Paired(
        difference=0.0, low=0.0, high=0.0, p_value=1.0, share_better=0.0, share_worse=0.0, n=30, level=0.95
    )
    assert replace(result) == expected


def test_one_difference_for_all_is_tested_by_its_signs(rng: np.random.Generator) -> None:
    result = paired([1.1, 0.3, 0.7], [1.0, 0.2, 0.6], rng=rng)
    assert result.low == result.high == result.difference == pytest.approx(0.1)
    assert result.p_value == 2**-2


def test_p_is_never_zero() -> None:
    a = np.random.default_rng(0).normal(1_000, 1, 5_000)
    result = paired(a, np.zeros(5_000), rng=np.random.default_rng(0))
    assert 0 < result.p_value < 1e-100


def test_same_seed_same_result_and_inputs_are_kept(rng: np.random.Generator) -> None:
    a, b = rng.random(100), rng.random(100)
    kept = a.copy(), b.copy()
    first, second = (paired(a, b, rng=np.random.default_rng(9)) for _ in range(2))
    assert first == second
    np.testing.assert_array_equal((a, b), kept)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: mean_interval(np.ones((2, 2)), rng=rng), r"values must be a vector, got shape \(2, 2\)"),
        (lambda rng: mean_intervals(np.ones(2), rng=rng), "values must be a matrix"),
        (lambda rng: mean_interval([1, 2], level=95, rng=rng), "level must be between 0 and 1, got 95"),
        (lambda rng: mean_interval([1, 2], resamples=10, rng=rng), "resamples must be at least 100, got 10"),
        (lambda rng: mean_interval([1, math.inf], rng=rng), "got an infinity"),
        (lambda rng: paired([1, 2], [1, 2, 3], rng=rng), r"same units, got shapes \(2,\) and \(3,\)"),
    ],
)
def test_wrong_use_is_answered(call, message: str, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call(rng)


# --- clusters ---


def grouped(rng: np.random.Generator, n: int, *, shared: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """(values, whose each is) of n owners with 1 to 6 values each, `shared` of whose variance is the owner's own."""
    sizes = rng.integers(1, 7, n)
    owner = np.repeat(np.arange(n), sizes)
    own = rng.normal(size=n)[owner] * math.sqrt(shared)
    return own + rng.normal(size=len(owner)) * math.sqrt(1 - shared), owner


def test_clusters_of_one_are_the_values_themselves(rng: np.random.Generator) -> None:
    a, b = rng.lognormal(size=80), rng.lognormal(size=80)
    each = np.arange(80)
    assert mean_interval(a, rng=np.random.default_rng(5), clusters=each) == mean_interval(
        a, rng=np.random.default_rng(5)
    )
    assert paired(a, b, rng=np.random.default_rng(5), clusters=each) == paired(a, b, rng=np.random.default_rng(5))


def test_the_spread_is_that_of_cluster_robust_regression(rng: np.random.Generator) -> None:
    import statsmodels.api as sm

    values, owner = grouped(rng, 300)
    ours = mean_interval(values + 1, resamples=20_000, rng=rng, clusters=owner)
    fit = sm.OLS(values + 1, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": owner})
    assert ours.mean == pytest.approx(float(fit.params[0]))
    assert ours.n == 300
    half = stats.t.ppf(0.975, 299) * float(fit.bse[0])
    # Monte Carlo: 1 to 2% of the width; the skewness of 300 owners moves both ends alike
    assert (ours.high - ours.low) / 2 == pytest.approx(half, rel=0.04)


@pytest.mark.slow
def test_clusters_cover_the_truth_where_rows_alone_do_not(rng: np.random.Generator) -> None:
    covered = {"owners": 0, "rows": 0}
    alarms = 0
    for _ in range(300):
        values, owner = grouped(rng, 40)
        for name, clusters in (("owners", owner), ("rows", None)):
            interval = mean_interval(values, resamples=300, rng=rng, clusters=clusters)
            covered[name] += interval.low <= 0 <= interval.high
        alarms += paired(values, np.zeros(len(values)), resamples=300, rng=rng, clusters=owner).p_value < 0.05
    # 300 samples of a rate near .95: standard error .013, three of them; rows count the same owner several times
    assert 0.91 <= covered["owners"] / 300 <= 0.99
    assert covered["rows"] / 300 < 0.85
    assert 0.01 <= alarms / 300 <= 0.09


def test_shares_are_of_clusters_and_what_cancels_out_is_a_tie() -> None:
    a, owner = [0.3, -0.3, 0.2, 0.1, -0.5], ["x", "x", "y", "y", "z"]
    result = paired(a, np.zeros(5), rng=np.random.default_rng(5), clusters=owner)
    assert (result.n, result.share_better, result.share_worse) == (3, 1 / 3, 1 / 3)
    assert result.difference == pytest.approx(-0.04)  # of the five values, not of the three owners


def test_a_gap_leaves_its_cluster_the_other_values() -> None:
    values, owner = [1.0, np.nan, 3.0, 5.0, np.nan], [1, 1, 2, 2, 3]
    interval = mean_interval(values, rng=np.random.default_rng(5), clusters=owner)
    without = mean_interval([1.0, 3.0, 5.0], rng=np.random.default_rng(5), clusters=[1, 2, 2])
    assert (interval.n, interval.mean) == (2, 3.0)
    assert interval == without


def test_one_cluster_alone_has_a_mean_and_no_interval(rng: np.random.Generator) -> None:
    interval = mean_interval([1.0, 2.0, 6.0], rng=rng, clusters=[4, 4, 4])
    assert (interval.n, interval.mean) == (1, 3.0)
    assert math.isnan(interval.low)
    assert math.isnan(paired([1.0, 2.0], [0.0, 0.0], rng=rng, clusters=[4, 4]).p_value)


def test_clusters_must_name_every_value(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"whose each of the 2 values is, got shape \(3,\)"):
        mean_interval([1, 2], rng=rng, clusters=[1, 2, 3])
