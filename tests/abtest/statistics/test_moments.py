import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from abtest.statistics.moments import Moments, stack

VALUES = arrays(
    np.float64, st.tuples(st.integers(0, 30), st.just(2)), elements=st.floats(-1e3, 1e3, allow_subnormal=False)
)


def assert_same(one: Moments, other: Moments) -> None:
    assert one.columns == other.columns
    assert one.n == other.n
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(one.comoment, other.comoment, rtol=1e-12, atol=1e-7)


@given(VALUES, st.integers(0, 30))
def test_merged_parts_are_the_whole(values: np.ndarray, cut: int) -> None:
    parts = Moments.of(("a", "b"), values[:cut]) + Moments.of(("a", "b"), values[cut:])
    assert_same(parts, Moments.of(("a", "b"), values))


@given(VALUES, VALUES, VALUES)
def test_merging_is_associative_and_commutative(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    one, two, three = (Moments.of(("a", "b"), values) for values in (a, b, c))
    assert_same((one + two) + three, one + (three + two))


def test_merge_of_a_thousand_parts_is_the_whole_to_twelve_digits(rng: np.random.Generator) -> None:
    values = rng.normal(3.0, 2.0, (50_000, 3))
    whole = Moments.of(("a", "b", "c"), values)
    merged = Moments.merged([Moments.of(("a", "b", "c"), part) for part in np.array_split(values, 1_000)])
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.comoment, whole.comoment, rtol=1e-12, atol=1e-12 * whole.comoment.max())
    np.testing.assert_allclose(whole.comoment / 49_999, np.cov(values.T), rtol=1e-12, atol=1e-14)


def test_mean_of_a_billion_with_unit_variance_keeps_its_variance(rng: np.random.Generator) -> None:
    noise = rng.normal(0.0, 1.0, (20_000, 1))
    far = Moments.of(("a",), 1e9 + noise)
    near = Moments.of(("a",), (1e9 + noise) - 1e9)  # what the floats really hold
    np.testing.assert_allclose(far.comoment, near.comoment, rtol=1e-10)
    merged = Moments.merged([Moments.of(("a",), part) for part in np.array_split(1e9 + noise, 50)])
    np.testing.assert_allclose(merged.comoment, near.comoment, rtol=1e-7)


def test_merging_with_nothing_changes_no_bit(rng: np.random.Generator) -> None:
    some, nothing = Moments.of(("a",), rng.normal(size=(7, 1))), Moments.of(("a",), np.empty((0, 1)))
    for merged in (some + nothing, nothing + some):
        assert merged.mean == some.mean
        assert merged.comoment == some.comoment
        assert merged.n == 7


def test_many_samples_reduce_like_each_alone(rng: np.random.Generator) -> None:
    values = rng.normal(size=(4, 50, 2))
    many = Moments.of(("a", "b"), values)
    assert many.n.tolist() == [50] * 4
    for i in range(4):
        assert_same(many[i], Moments.of(("a", "b"), values[i]))
    assert_same(stack([many[i] for i in range(4)])[2], many[2])


def test_a_column_that_is_not_there_is_the_constant_one() -> None:
    moments = Moments.of(("numerator",), [[2.0], [4.0]])
    assert moments.of_column("denominator") == 1.0
    assert moments.product("numerator", "denominator") == 0.0
    assert moments.product("numerator", "numerator") == 2.0


def test_no_units_have_no_mean() -> None:
    assert np.isnan(Moments.of(("a",), np.empty((0, 1))).of_column("a"))


def test_selecting_keeps_the_named_columns_in_the_named_order(rng: np.random.Generator) -> None:
    moments = Moments.of(("a", "b", "c"), rng.normal(size=(9, 3)))
    chosen = moments.select("c", "a")
    assert chosen.mean.tolist() == moments.mean[[2, 0]].tolist()
    assert chosen.product("a", "c") == moments.product("c", "a")


def test_input_is_not_written_to(rng: np.random.Generator) -> None:
    values = rng.normal(size=(9, 2))
    before = values.copy()
    Moments.of(("a", "b"), values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Moments.of(("a",), [1.0, 2.0]), "must have shape"),
        (lambda: Moments.of(("a", "a"), [[1.0, 2.0]]), "columns must differ"),
        (lambda: Moments(("a",), np.array(-1), np.zeros(1), np.zeros((1, 1))), "n must be >= 0"),
        (lambda: Moments(("a",), np.array(1), np.zeros(2), np.zeros((1, 1))), "need mean and comoment of shapes"),
        (lambda: Moments.of(("a",), [[1.0]]) + Moments.of(("b",), [[1.0]]), "only the same columns merge"),
    ],
)
def test_bad_moments_are_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]
