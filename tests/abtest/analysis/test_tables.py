"""Tables of units from anywhere: read once, checked, and refused with the column and the cure."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as csv
import pytest

from abtest.analysis import tables
from abtest.analysis.analyse import analyse_units
from abtest.types import AnalysisPlan, Metric
from tests.abtest.analysis.worlds import AS_OF, experiment

SPEND = Metric(name="spend", kind="mean", numerator="spend", covariate="history", role="primary")
ORDERS = Metric(name="orders", kind="ratio", numerator="orders", denominator="visits")
BOUGHT = Metric(name="bought", kind="proportion", numerator="orders")


def units(n: int = 2_000, **changes: Any) -> pa.Table:
    rng = np.random.default_rng(8)
    history = rng.gamma(2.0, 50.0, n)
    columns = {
        "arm": np.tile(["control", "treatment"], n // 2),
        "spend": 0.1 * history + rng.exponential(5.0, n),
        "history": history,
        "orders": rng.poisson(1.0, n),
        "visits": 1 + rng.poisson(3.0, n),
    }
    return pa.table(columns | changes)


def read(table: Any, *metrics: Metric, **options: Any) -> Any:
    return analyse_units(experiment(**options), metrics, table, as_of=AS_OF, variant="arm")


def test_a_csv_says_what_the_table_in_memory_says(tmp_path: Path) -> None:
    csv.write_csv(units(), tmp_path / "units.csv")
    here, there = (read(source, SPEND, ORDERS, BOUGHT) for source in (units(), tmp_path / "units.csv"))
    for one, other in zip(here.effects, there.effects, strict=True):
        assert one.effect.p_value == pytest.approx(other.effect.p_value, rel=1e-9)
    assert here.effects[0].variance_saved == pytest.approx(0.67, abs=0.06)


@pytest.mark.parametrize("frame", [pl.from_arrow, pa.Table.to_pandas])
def test_a_frame_says_what_the_arrow_table_says(frame: Any) -> None:
    here, there = (read(source, SPEND, ORDERS, BOUGHT).effects for source in (units(), frame(units())))
    assert [one.effect.p_value for one in here] == [other.effect.p_value for other in there]


def test_the_variants_are_found_in_the_table() -> None:
    assert tables.variants_of(units(), "arm") == ("control", "treatment")
    with pytest.raises(ValueError, match="units lacks the column group, which names the variant; it has arm, spend"):
        tables.variants_of(units(), "group")
    with pytest.raises(ValueError, match="column visits_id has 100 values or more"):
        tables.variants_of(units().append_column("visits_id", pa.array(map(str, range(2_000)))), "visits_id")


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("spend", np.nan, "units: spend is missing or NaN in 1 rows; fill them with 0 or drop them"),
        ("spend", None, "units: spend is missing or NaN in 1 rows"),
        ("spend", np.inf, "units: spend is missing or NaN in 1 rows"),
        ("visits", -1, "units: visits is below 0 in 1 rows; a count, or what a ratio is taken of, cannot be"),
        ("orders", -2, "units: orders is below 0 in 1 rows"),
    ],
)
def test_a_bad_value_is_refused_with_its_column(name: str, bad: Any, words: str) -> None:
    values = [*units()[name].to_pylist()[:-1], bad]
    with pytest.raises(ValueError, match=words):
        read(units(**{name: pa.array(values)}), SPEND, ORDERS, BOUGHT)


def test_refunds_are_no_error() -> None:
    assert read(units(spend=np.linspace(-5, 15, 2_000)), SPEND).effects[0].effect.reason == ""


@pytest.mark.parametrize("hole", [None, float("nan")])
def test_a_covariate_that_is_not_known_is_counted(hole: Any) -> None:
    values = [hole, hole, *units()["history"].to_pylist()[2:]]
    readout = read(units(history=pa.array(values, pa.float64())), SPEND)
    assert "The covariate history is not known of 2 units (0.1%); the mean stands for it." in readout.warnings
    assert readout.effects[0].variance_saved == pytest.approx(0.67, abs=0.06)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Metric(name="m", kind="mean", numerator="spend", window=3), "metric m: window needs events with times"),
        (Metric(name="m", kind="mean", numerator="spend", covariate_days=3), "covariate_days needs events"),
        (Metric(name="m", kind="mean", numerator="spend", where={"x": 1}), "where needs events"),
        (Metric(name="m", kind="mean", numerator="money"), "units lacks the column money; it has"),
        (Metric(name="m", kind="mean", numerator="spend", covariate="age"), "units lacks the column age"),
        (Metric(name="m", kind="mean", numerator="arm"), "column arm must be number, got string"),
    ],
)
def test_a_metric_that_the_table_cannot_serve_is_refused(metric: Metric, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(units(), metric)


def test_a_segment_must_be_a_column() -> None:
    with pytest.raises(ValueError, match="units lacks the column country"):
        read(units(), SPEND, analysis=AnalysisPlan(segments=("country",)))


def test_rows_without_a_variant_are_counted_and_left_out() -> None:
    arm = [None, *units()["arm"].to_pylist()[1:]]
    readout = read(units(arm=pa.array(arm)), SPEND)
    assert readout.arms[0].units == 999
    assert "1 row of the unknown variant None was left out." in readout.warnings


def test_a_table_without_rows_is_a_readout_of_nothing() -> None:
    readout = read(units().slice(0, 0), SPEND, ORDERS)
    assert [arm.units for arm in readout.arms] == [0, 0]
    assert readout.effects[0].effect.reason == "no units in control"
