"""Experiments of which only summaries are left, and what peeking at their checkpoints does."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from abtest.analysis.summaries import Columns, analyse_summaries, flagged
from abtest.statistics import welch
from abtest.statistics.moments import Moments

COLUMNS = Columns(
    experiment=("test",), metric="metric", time="day", control=("n0", "m0", "v0"), treatment=("n1", "m1", "v1")
)


def summaries(lift: float, runs: int = 1, seed: int = 0) -> tuple[pa.Table, Any]:
    """runs experiments of 20 days with 100 new units a day in each arm, cumulative; and the units of the first."""
    rng = np.random.default_rng(seed)
    rows, first = [], None
    for run in range(runs):
        arms = [rng.normal(10.0 + shift, 5.0, 2_000) for shift in (0.0, lift)]
        first = arms if first is None else first
        for day in range(1, 21):
            row: dict[str, Any] = {"test": f"t{run}", "metric": "m", "day": float(day)}
            for i, arm in enumerate(arms):
                seen = arm[: 100 * day]
                row |= {f"n{i}": float(len(seen)), f"m{i}": seen.mean(), f"v{i}": seen.var(ddof=1)}
            rows.append(row)
    return pa.Table.from_pylist(rows), first


def test_the_last_checkpoint_is_the_test_of_the_units() -> None:
    table, arms = summaries(0.5)
    (course,) = analyse_summaries(table, COLUMNS)
    expected = welch.effect(*(Moments.of(("numerator",), arm[:, None]) for arm in arms), 0.95)
    assert course.last.p_value == pytest.approx(expected.p_value, rel=1e-9)
    assert course.last.ci == pytest.approx(expected.ci, rel=1e-9)
    assert (len(course.time), course.time[-1], course.units[-1].tolist()) == (20, 20.0, [2_000, 2_000])


def test_a_clear_effect_is_flagged_by_both_and_peeking_flags_nothing_too() -> None:
    clear = analyse_summaries(summaries(1.0)[0], COLUMNS, planned=4_000)
    assert flagged(clear) == (1, 1, 1)
    assert clear[0].naive_flag <= clear[0].always_flag
    nothing = analyse_summaries(summaries(0.0, runs=200, seed=1)[0], COLUMNS, planned=4_000)
    naive, always, n = flagged(nothing)
    assert n == 200
    assert naive > 30  # 20 looks at 5% each
    assert always <= 10  # 5% of 200, however often one looks


def test_checkpoints_that_say_nothing_are_counted() -> None:
    table, _ = summaries(0.0)
    rows = table.to_pylist()
    rows[0]["v0"], rows[1]["n1"] = None, 1.0
    rows.reverse()  # the order of the rows is nobody's promise
    (course,) = analyse_summaries(pa.Table.from_pylist(rows), COLUMNS)
    assert (course.left_out, course.time[0]) == (2, 3.0)


def test_an_experiment_of_which_nothing_can_be_read_is_still_there() -> None:
    rows = summaries(0.0)[0].slice(0, 1).to_pylist()
    rows[0]["v0"] = None
    (course,) = analyse_summaries(pa.Table.from_pylist(rows, summaries(0.0)[0].schema), COLUMNS)
    assert (len(course.time), course.left_out) == (0, 1)
    assert np.isnan(course.naive_flag)


def test_counts_below_zero_and_missing_columns_are_refused() -> None:
    rows = summaries(0.0)[0].to_pylist()
    rows[3]["n0"] = -1.0
    with pytest.raises(ValueError, match="t0, metric m: units and variance of control must be >= 0"):
        analyse_summaries(pa.Table.from_pylist(rows), COLUMNS)
    with pytest.raises(ValueError, match="summaries lacks the column v1"):
        analyse_summaries(summaries(0.0)[0].drop_columns(["v1"]), COLUMNS)


@pytest.mark.real_data
def test_over_all_of_asos_peeking_flags_far_more_than_the_always_valid_test(data_folder: Path) -> None:
    columns = Columns(
        experiment=("experiment_id", "variant_id"),
        metric="metric_id",
        time="time_since_start",
        control=("count_c", "mean_c", "variance_c"),
        treatment=("count_t", "mean_t", "variance_t"),
    )
    courses = analyse_summaries(data_folder / "ab-asos" / "asos_dev_39_experiments.csv", columns, planned=1_000_000)
    assert len({course.experiment.split("-")[0] for course in courses}) == 39
    naive, always, n = flagged(courses)
    print(f"\nASOS: {n} metrics; peeking flags {naive}, always valid {always}")
    assert (naive, n) == (112, 200)
    assert always < naive / 3
