import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from abtest.statistics.multiple import Correction, adjust, holm, interval_levels

ORACLES: dict[Correction, str] = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "benjamini_hochberg": "fdr_bh",
    "benjamini_yekutieli": "fdr_by",
}


@pytest.mark.parametrize("method", ORACLES)
@settings(max_examples=15, deadline=None)  # statsmodels is slow
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_agrees_with_statsmodels(method: Correction, p_values: list[float]) -> None:
    expected = multipletests(p_values, method=ORACLES[method])[1]
    np.testing.assert_allclose(adjust(p_values, method), expected, rtol=1e-12)


@pytest.mark.parametrize("method", get_args(Correction))
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_order_does_not_matter_and_adjusted_is_never_less(method: Correction, p_values: list[float], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(p_values))
    adjusted = adjust(p_values, method)
    np.testing.assert_allclose(adjust(np.asarray(p_values)[order], method), adjusted[order], rtol=1e-12)
    assert (adjusted >= np.asarray(p_values) * (1 - 1e-12)).all()
    assert (adjusted <= 1).all()


@pytest.mark.parametrize("method", get_args(Correction))
def test_a_question_without_answer_is_not_counted(method: Correction) -> None:
    adjusted = adjust([0.02, math.nan, 0.04], method)
    assert adjusted[[0, 2]].tolist() == adjust([0.02, 0.04], method).tolist()
    assert math.isnan(adjusted[1])
    assert math.isnan(interval_levels([0.02, math.nan, 0.04], method)[1])
    assert len(adjust([], method)) == 0


def test_families_are_corrected_apart() -> None:
    found = adjust(
        [0.01, 0.02, 0.03, 0.04], "holm", families=[("clicks", "a"), ("money", "a"), ("clicks", "a"), ("money", "a")]
    )
    assert found.tolist() == pytest.approx([0.02, 0.04, 0.03, 0.04])
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]


def test_interval_levels_by_hand() -> None:
    p_values = [0.001, 0.012, 0.03, 0.5]
    assert interval_levels(p_values, "holm").tolist() == pytest.approx([1 - 0.05 / 4] * 4)
    # three found among four: 0.03 <= 0.05 * 3 / 4
    assert interval_levels(p_values, "benjamini_hochberg").tolist() == pytest.approx([1 - 0.05 * 3 / 4] * 4)
    assert interval_levels(p_values, "none").tolist() == pytest.approx([0.95] * 4)
    assert interval_levels([0.9, 0.8], "benjamini_hochberg").tolist() == pytest.approx([0.975] * 2)


@given(p_values=st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_benjamini_intervals_leave_0_out_where_something_was_found(p_values: list[float]) -> None:
    levels, found = interval_levels(p_values, "benjamini_hochberg"), adjust(p_values, "benjamini_hochberg") <= 0.05
    if found.any():
        # an interval at this level leaves 0 out where p is at most 1 - level
        assert np.array_equal(found, np.asarray(p_values) <= (1 - levels) * (1 + 1e-12))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        adjust([1.2], "holm")
    with pytest.raises(LookupError, match="unknown correction 'sidak'; known: none, bonferroni"):
        adjust([0.5], "sidak")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every p-value needs its family, got 2 p-values and 1 families"):
        adjust([0.5, 0.1], "holm", families=["a"])
