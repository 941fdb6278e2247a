"""How long a readout takes: against tea-tasting and against queries written by hand, in one run on one machine.

Every peer is given the same question: units exposed in the experiment, counted from their first exposure, of the three
metrics that are asked for. The runs take turns, so that a busy moment meets them all, and each goes first once a round:
whoever comes after polars, which gives its memory back to the system, is slower for it.
"""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import tea_tasting as tt

from abtest.analysis.analyse import analyse, analyse_units
from abtest.types import AnalysisPlan, Experiment, Metric, Variant

AS_OF = datetime(2024, 4, 1, tzinfo=UTC)
START, ENDS = AS_OF - timedelta(days=28), AS_OF - timedelta(days=7)
ARMS = ("control", "treatment")
EXPERIMENT = Experiment(
    key="bench",
    variants=tuple(Variant(name=name, weight=0.5) for name in ARMS),
    ends=ENDS,
    analysis=AnalysisPlan(sequential="none"),
)
ROUNDS = 3  # of turns in which every run goes first once


def typical(**runs: Callable[[], Any]) -> dict[str, float]:
    """Seconds of each run over ROUNDS rounds of turns, after one turn that warms up: the first quartile, which a busy
    moment moves less than the median, and a lucky one less than the best."""
    order, seconds = list(runs), {name: list[float]() for name in runs}
    for turn in range(ROUNDS * len(order) + 1):
        for name in order:
            began = time.perf_counter()
            runs[name]()
            if turn:
                seconds[name].append(time.perf_counter() - began)
        order.append(order.pop(0))
    return {name: statistics.quantiles(found)[0] for name, found in seconds.items()}


def report(title: str, seconds: dict[str, float]) -> None:
    ours = seconds["ours"]
    lines = [f"{name} {value:.3f} s ({value / ours:.2f} x ours)" for name, value in seconds.items()]
    print(f"\n{title}: " + ", ".join(lines))


def connection() -> Any:
    engine = duckdb.connect()
    engine.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
    return ibis.duckdb.from_connection(engine)


@pytest.fixture(scope="module")
def users() -> pa.Table:
    """A million users, one row each."""
    rng, n = np.random.default_rng(0), 1_000_000
    taste = rng.gamma(2.0, 1.0, n)
    return pa.table(
        {
            "variant": np.where(rng.random(n) < 0.5, *ARMS),
            "revenue": rng.exponential(5.0, n) * taste,
            "revenue_before": rng.exponential(5.0, n) * taste,
            "orders": rng.poisson(taste),
            "sessions": 1 + rng.poisson(2.0 * taste),
            "orders_before": rng.poisson(taste),
            "sessions_before": 1 + rng.poisson(2.0 * taste),
            "buyer": (rng.random(n) < 0.1).astype(np.int64),
        }
    )


OF_USERS = (
    Metric(name="revenue", kind="mean", numerator="revenue", covariate="revenue_before"),
    Metric(
        name="conversion",
        kind="ratio",
        numerator="orders",
        denominator="sessions",
        covariate="orders_before",
        covariate_denominator="sessions_before",
    ),
    Metric(name="buyers", kind="proportion", numerator="buyer"),
)
TEA_USERS = tt.Experiment(
    {
        "revenue": tt.Mean("revenue", "revenue_before"),
        "conversion": tt.RatioOfMeans("orders", "sessions", "orders_before", "sessions_before"),
        "buyers": tt.Proportion("buyer"),
    },
    variant="variant",
)
GROUPS = (("revenue", "revenue_before"), ("orders", "sessions", "orders_before", "sessions_before"), ("buyer",))


def one_pass() -> str:
    """What one would write by hand: every mean, variance and covariance that the three metrics need."""
    wanted = ["count(*)"]
    for group in GROUPS:
        for i, one in enumerate(group):
            wanted += [f"avg({one})", f"var_pop({one})", *(f"covar_pop({one}, {other})" for other in group[:i])]
    return f"SELECT variant, {', '.join(wanted)} FROM users GROUP BY variant"


def test_a_million_users_and_three_metrics(users: pa.Table) -> None:
    engine = connection()
    engine.create_table("users", obj=users)
    frame = pl.from_arrow(users)
    table = engine.table("users")
    query = one_pass()
    seconds = typical(
        ours=lambda: analyse_units(EXPERIMENT, OF_USERS, table, as_of=AS_OF),
        ours_of_a_frame=lambda: analyse_units(EXPERIMENT, OF_USERS, frame, as_of=AS_OF),
        by_hand=lambda: engine.con.execute(query).fetchall(),
        tea_duckdb=lambda: TEA_USERS.analyze(table, control="control"),
        tea_polars=lambda: TEA_USERS.analyze(frame, control="control"),
    )
    report("1,000,000 users x 3 metrics", seconds)
    found = analyse_units(EXPERIMENT, OF_USERS, table, as_of=AS_OF)
    peer = TEA_USERS.analyze(table, control="control")
    for comparison in found.effects[:2]:
        assert comparison.effect.p_value == pytest.approx(peer[comparison.metric.name].pvalue, rel=1e-6)
    assert seconds["ours"] <= 1.25 * seconds["by_hand"]
    best_of_ours = min(seconds["ours"], seconds["ours_of_a_frame"])
    assert 1.3 * best_of_ours <= min(seconds["tea_duckdb"], seconds["tea_polars"])


@pytest.fixture(scope="module")
def events() -> tuple[pa.Table, pa.Table]:
    """A million exposures of 250,000 users and ten million events, from a week before to a week after."""
    rng = np.random.default_rng(1)
    n_users, n_shown, n_done = 250_000, 1_000_000, 10_000_000
    ids = np.char.add("user-", np.arange(n_users).astype(str))
    variant = np.where(rng.random(n_users) < 0.5, *ARMS)
    whose = np.concatenate([np.arange(n_users), rng.integers(0, n_users, n_shown - n_users)])
    at = np.sort(rng.integers(0, 21 * 86_400, n_shown)).astype("timedelta64[s]") + np.datetime64(
        START.replace(tzinfo=None)
    )
    shown = pa.table(
        {
            "unit": pa.array(ids[whose]).cast(pa.string()),
            "experiment": ["bench"] * n_shown,
            "variant": variant[whose],
            "at": pa.array(at.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC")),
        }
    )
    doer = rng.integers(0, n_users, n_done)
    at = np.sort(rng.integers(-7 * 86_400, 28 * 86_400, n_done)).astype("timedelta64[s]")
    at = at + np.datetime64(START.replace(tzinfo=None))
    done = pa.table(
        {
            "unit": pa.array(ids[doer]).cast(pa.string()),
            "kind": np.array(["view", "click", "purchase", "search"])[rng.choice(4, n_done, p=[0.5, 0.3, 0.05, 0.15])],
            "at": pa.array(at.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC")),
            "value": rng.exponential(20.0, n_done),
        }
    )
    return shown, done


OF_EVENTS = (
    Metric(name="rate", kind="ratio", numerator="click", denominator="view"),
    Metric(name="revenue", kind="mean", numerator="purchase.value"),
    Metric(name="buyers", kind="proportion", numerator="purchase"),
)
TEA_EVENTS = tt.Experiment(
    {"rate": tt.RatioOfMeans("click", "view"), "revenue": tt.Mean("revenue"), "buyers": tt.Proportion("buyer")},
    variant="variant",
)


def per_user(shown: Any, done: Any) -> Any:
    """The table of users that tea-tasting is given, through Ibis."""
    end = ibis.literal(ENDS)
    shown = shown.filter((shown.experiment == "bench") & shown.variant.isin(ARMS) & (shown["at"] < end))
    first = shown.group_by("unit").agg(
        variant=shown.variant.min(), several=shown.variant.nunique(), since=shown["at"].min()
    )
    first = first.filter(first.several == 1)
    done = done.filter(done.kind.isin(["click", "view", "purchase"]) & (done["at"] < end))
    both = first.left_join(done, [first.unit == done.unit, done["at"] >= first.since])
    users = both.group_by("unit", "variant").agg(
        click=both.count(where=both.kind == "click"),
        view=both.count(where=both.kind == "view"),
        revenue=both.value.sum(where=both.kind == "purchase").fill_null(0.0),
        purchases=both.count(where=both.kind == "purchase"),
    )
    return users.mutate(buyer=(users.purchases > 0).cast("int64"))


def by_hand() -> str:
    """The same in SQL, as one would write it for DuckDB."""
    return f"""
    WITH first AS (
        SELECT unit, min(variant) AS variant, min("at") AS since FROM shown
        WHERE experiment = 'bench' AND "at" < '{ENDS.isoformat()}'
        GROUP BY unit HAVING min(variant) = max(variant)
    ), done_by AS (
        SELECT done.unit, count(*) FILTER (kind = 'click') AS click, count(*) FILTER (kind = 'view') AS viewed,
            count(*) FILTER (kind = 'purchase') AS bought, sum(value) FILTER (kind = 'purchase') AS spent
        FROM done JOIN first USING (unit)
        WHERE done."at" >= first.since AND done."at" < '{ENDS.isoformat()}' AND kind IN ('click', 'view', 'purchase')
        GROUP BY done.unit
    ), users AS (
        SELECT variant, coalesce(click, 0) AS click, coalesce(viewed, 0) AS viewed, coalesce(spent, 0) AS spent,
            (coalesce(bought, 0) > 0)::INT AS buyer
        FROM first LEFT JOIN done_by USING (unit)
    )
    SELECT variant, count(*), avg(click), avg(viewed), avg(spent), avg(buyer), var_pop(click), var_pop(viewed),
        covar_pop(click, viewed), var_pop(spent), var_pop(buyer)
    FROM users GROUP BY variant"""


def by_polars(shown: pl.DataFrame, done: pl.DataFrame) -> pl.DataFrame:
    """The same for polars."""
    kind = pl.col("kind")
    first = (
        shown.lazy()
        .filter((pl.col("experiment") == "bench") & (pl.col("at") < ENDS))
        .group_by("unit")
        .agg(pl.col("variant").min(), pl.col("variant").n_unique().alias("several"), pl.col("at").min().alias("since"))
        .filter(pl.col("several") == 1)
    )
    totals = (
        done.lazy()
        .filter(kind.is_in(["click", "view", "purchase"]) & (pl.col("at") < ENDS))
        .join(first.select("unit", "since"), on="unit")
        .filter(pl.col("at") >= pl.col("since"))
        .group_by("unit")
        .agg(
            (kind == "click").sum().alias("click"),
            (kind == "view").sum().alias("view"),
            (kind == "purchase").sum().alias("bought"),
            pl.col("value").filter(kind == "purchase").sum().alias("spent"),
        )
    )
    users = first.join(totals, on="unit", how="left").with_columns(
        pl.col("click", "view", "bought", "spent").fill_null(0)
    )
    return (
        users.group_by("variant")
        .agg(
            pl.len(),
            pl.col("click", "view", "spent").mean().name.suffix("_mean"),
            pl.col("click", "view", "spent").var().name.suffix("_var"),
            pl.cov("click", "view").alias("both"),
            (pl.col("bought") > 0).mean().alias("buyers"),
        )
        .collect()
    )


def test_ten_million_events_and_a_million_exposures(events: tuple[pa.Table, pa.Table]) -> None:
    engine = connection()
    for name, table in zip(("shown", "done"), events, strict=True):
        engine.create_table(name, obj=table)
    shown, done = engine.table("shown"), engine.table("done")
    frames = [pl.from_arrow(table) for table in events]
    query = by_hand()

    def ours() -> Any:
        return analyse(EXPERIMENT, OF_EVENTS, shown, done, as_of=AS_OF, daily=False)

    seconds = typical(
        ours=ours,
        by_hand=lambda: engine.con.execute(query).fetchall(),
        by_polars=lambda: by_polars(*frames),
        tea=lambda: TEA_EVENTS.analyze(per_user(shown, done), control="control"),
    )
    report("10,000,000 events, 1,000,000 exposures, 3 metrics", seconds)
    found, peer = ours(), TEA_EVENTS.analyze(per_user(shown, done), control="control")
    for comparison in found.effects[:2]:
        assert comparison.effect.p_value == pytest.approx(peer[comparison.metric.name].pvalue, rel=1e-6)
    assert seconds["ours"] <= 1.2 * min(seconds["by_hand"], seconds["by_polars"])
    # wanted: 1.5 times as fast as tea-tasting; measured 1.50 to 1.58 on two cores, and the limit is a bit below
    assert 1.4 * seconds["ours"] <= seconds["tea"]


def peak_of_a_readout(exposures: str, outcomes: str, daily: bool) -> float:
    """The most memory that this process has held once it has read out two Parquet files, in MiB."""
    analyse(EXPERIMENT, OF_EVENTS, exposures, outcomes, as_of=AS_OF, daily=daily)
    # not ru_maxrss, which a process has from the one that started it
    return float(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


@pytest.mark.parametrize("daily", [False, True], ids=["at once", "by day"])
def test_memory_grows_with_the_units_not_with_the_events(
    events: tuple[pa.Table, pa.Table], tmp_path: Path, daily: bool
) -> None:
    shown, done = tmp_path / "shown.parquet", tmp_path / "done.parquet"
    engine, peaks = duckdb.connect(), {}
    for name, table in zip(("shown", "done"), events, strict=True):
        engine.register(name, table)
    engine.execute(f"COPY shown TO '{shown}'")
    for times in (1, 4):
        engine.execute(f"COPY (SELECT done.* FROM done, range({times})) TO '{done}'")
        code = f"from {__name__} import peak_of_a_readout as peak; print(peak('{shown}', '{done}', {daily}))"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks[times] = float(ran.stdout)
    print(f"\nmemory of a readout: {peaks[1]:.0f} MiB of 10,000,000 events, {peaks[4]:.0f} of 40,000,000")
    assert peaks[4] <= 1.2 * peaks[1]
