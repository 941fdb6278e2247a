"""Blocks of columns give what the engine's query gives, and leave to it whatever is not plain."""

from datetime import date
from decimal import Decimal
from typing import Any

import ibis
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from abtest.analysis import tables
from abtest.analysis.blocks import ROWS, reduce_blocks
from abtest.analysis.reduction import Reduced, reduce
from abtest.types import Metric

ARMS = ("a", "b", "c")
METRICS = (
    Metric(name="spend", kind="mean", numerator="spend", covariate="before"),
    Metric(name="capped", kind="mean", numerator="spend", cap=8.0, covariates=("age",)),
    Metric(name="rate", kind="ratio", numerator="clicks", denominator="views", covariate="age"),
    Metric(name="bought", kind="proportion", numerator="clicks"),
    Metric(name="member", kind="proportion", numerator="member"),
)


def units(n: int = 5_000, **changes: Any) -> pa.Table:
    rng = np.random.default_rng(5)
    before = rng.gamma(2.0, 5.0, n)
    columns = {
        "variant": rng.choice(ARMS, n, p=[0.6, 0.3, 0.1]),
        "spend": 0.3 * before + rng.exponential(3.0, n),
        "before": before,
        "age": rng.integers(18, 80, n).astype(np.int16),
        "clicks": rng.poisson(0.4, n),
        "views": rng.poisson(3.0, n),
        "member": rng.random(n) < 0.2,
    }
    return pa.table(columns | changes)


def of_engine(table: pa.Table, metrics: tuple[Metric, ...] = METRICS) -> Reduced:
    engine = ibis.duckdb.connect()
    rows = tables.as_units(engine.create_table("units", obj=table), metrics, ())
    return reduce(metrics, rows, tables.faulty(rows, metrics))


def same(one: Reduced | None, other: Reduced) -> None:
    assert one is not None
    assert (one.units, one.slates, one.several) == (other.units, other.slates, other.several)
    assert one.largest == pytest.approx(other.largest, rel=1e-14)
    assert set(one.moments) == set(other.moments)
    for key, found in one.moments.items():
        wanted = other.moments[key]
        assert (found.columns, int(found.n)) == (wanted.columns, int(wanted.n))
        np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-12)
        size = np.sqrt(np.outer(np.diag(wanted.comoment), np.diag(wanted.comoment)))
        np.testing.assert_allclose(found.comoment / size, wanted.comoment / size, atol=1e-11)


@pytest.mark.parametrize("rows", [90, 5_000, ROWS + 1_234])
def test_they_give_what_the_query_gives(rows: int) -> None:
    table = units(rows)
    same(reduce_blocks(METRICS, table, ARMS), of_engine(table))


def test_of_a_frame_and_of_a_table_of_the_engine_too() -> None:
    table, engine = units(), ibis.duckdb.connect()
    wanted = of_engine(table)
    same(reduce_blocks(METRICS, pa.table(pl.DataFrame(table)), ARMS), wanted)
    same(reduce_blocks(METRICS, engine.create_table("units", obj=table), ARMS), wanted)
    renamed = table.rename_columns({"variant": "arm"})
    same(reduce_blocks(METRICS, renamed, ARMS, "arm"), wanted)


def test_a_variant_that_nobody_saw_is_not_there() -> None:
    found = reduce_blocks(METRICS, units(), (*ARMS, "d"))
    same(found, of_engine(units()))


def test_a_large_mean_loses_nothing() -> None:
    metric = (Metric(name="spend", kind="mean", numerator="spend", covariate="before"),)
    rng = np.random.default_rng(1)
    table = units(40_000, spend=1e9 + rng.normal(size=40_000))
    found = reduce_blocks(metric, table, ARMS)
    assert found is not None
    spend, arm = table["spend"].to_numpy(), table["variant"].to_numpy(zero_copy_only=False)
    for name in ARMS:
        moments = found.moments["spend", name]
        assert moments.comoment[0, 0] / moments.n == pytest.approx(np.var(spend[arm == name]), rel=1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {"spend": np.sort(np.r_[np.zeros(4_999), 1e12])},
        {"spend": np.r_[np.full(3_000, 1e9), np.random.default_rng(2).normal(size=2_000)]},
        {"spend": np.full(5_000, 0.1)},
        {"spend": np.zeros(5_000)},
    ],
    ids=["one giant", "a jump", "all the same", "nothing"],
)
def test_where_the_first_guess_is_poor_the_answer_is_right_or_left_to_the_query(changes: dict[str, Any]) -> None:
    metric = (Metric(name="spend", kind="mean", numerator="spend"),)
    table = units(**changes)
    found = reduce_blocks(metric, table, ARMS)
    spend, arm = table["spend"].to_numpy(), table["variant"].to_numpy(zero_copy_only=False)
    for name in ARMS if found is not None else ():
        assert found is not None
        moments = found.moments["spend", name]
        assert float(moments.comoment[0, 0]) == pytest.approx(
            float(np.var(spend[arm == name]) * moments.n), rel=1e-9, abs=0
        )


@pytest.mark.parametrize(
    ("small", "large"), [(1e9, 1.0), (1.0, 0.0), (1.0, 1e-9)], ids=["a giant arm", "an arm of zeros", "a tiny arm"]
)
def test_a_large_arm_beside_one_of_another_size_is_right_or_left_to_the_query(small: float, large: float) -> None:
    rng = np.random.default_rng(4)
    arm = rng.choice(["a", "b"], 5_000, p=[0.9, 0.1])
    table = units(variant=arm, spend=np.where(arm == "a", large, small) * rng.exponential(size=5_000))
    found = reduce_blocks((Metric(name="spend", kind="mean", numerator="spend"),), table, ("a", "b"))
    for name in ("a", "b") if found is not None else ():
        assert found is not None
        values, moments = table["spend"].to_numpy()[arm == name], found.moments["spend", name]
        assert float(moments.comoment[0, 0]) == pytest.approx(float(values.var() * len(values)), rel=1e-9, abs=0)


def holed(values: Any) -> pa.Array:
    return pa.array([None, *list(values)[1:]])


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": ["a", "z"] * 2_500},
        {"variant": holed(["a", "b"] * 2_500)},
        {"clicks": holed(range(5_000))},
        {"member": holed([True, False] * 2_500)},
        {"spend": np.r_[np.nan, np.ones(4_999)]},
        {"spend": np.r_[np.inf, np.ones(4_999)]},
        {"before": np.r_[np.nan, np.ones(4_999)]},
        {"clicks": np.r_[-1, np.ones(4_999)]},
        {"views": np.r_[-1, np.ones(4_999)]},
        {"spend": pa.array([Decimal("1.5")] * 5_000)},
        {"spend": pa.array([date(2024, 1, 1)] * 5_000)},
        {"variant": np.tile([1, 2], 2_500)},
    ],
)
def test_what_is_not_plain_is_left_to_the_query(changes: dict[str, Any]) -> None:
    table = units(**changes)
    assert reduce_blocks(METRICS, table, ARMS) is None
    engine = ibis.duckdb.connect()
    assert reduce_blocks(METRICS, engine.create_table("units", obj=table), ARMS) is None


def test_nor_is_a_table_without_rows_or_without_the_column(tmp_path: Any) -> None:
    assert reduce_blocks(METRICS, units(0), ARMS) is None
    assert reduce_blocks(METRICS, units().drop_columns("views"), ARMS) is None
    assert reduce_blocks(METRICS, units().drop_columns("variant"), ARMS) is None
    assert reduce_blocks(METRICS, tmp_path / "units.parquet", ARMS) is None
