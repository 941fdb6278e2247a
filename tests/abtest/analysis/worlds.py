"""A small world of exposures and outcomes with a planted lift, and the same numbers reached the slow, plain way."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from abtest.events.log import EXPOSURES, OUTCOMES
from abtest.types import Experiment, Metric, Variant

START = datetime(2024, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=30)
METRICS = (
    Metric(name="ctr", kind="ratio", numerator="click", denominator="impressions", role="primary"),
    Metric(name="buyers", kind="proportion", numerator="purchase", role="guardrail", margin=0.2),
    Metric(name="clicks", kind="mean", numerator="click"),
    Metric(name="revenue", kind="mean", numerator="purchase.value", cap=50.0, unit="EUR"),
    Metric(name="slates", kind="mean", numerator="exposures"),
)


@dataclass(frozen=True)
class Events:
    exposures: pa.Table
    outcomes: pa.Table


def experiment(**changes: Any) -> Experiment:
    given = {
        "key": "exp",
        "variants": (Variant(name="control", weight=0.5), Variant(name="treatment", weight=0.5)),
        "planned_units": 1_000,
    }
    return Experiment(**(given | changes))


def exposure(unit: str, variant: str, hours: float, items: int = 3, **changes: Any) -> dict[str, Any]:
    at = START + timedelta(hours=hours)
    given = {"id": f"{unit}-{variant}-{hours}", "unit": unit, "experiment": "exp", "variant": variant, "at": at}
    return given | {"items": [f"i{n}" for n in range(items)], "context": "{}"} | changes


def outcome(unit: str, kind: str, hours: float, value: float = 1.0) -> dict[str, Any]:
    at = START + timedelta(hours=hours)
    return {"id": f"{unit}-{kind}-{hours}-{value}", "unit": unit, "kind": kind, "at": at, "value": value}


def events(exposures: list[dict[str, Any]], outcomes: list[dict[str, Any]]) -> Events:
    return Events(pa.Table.from_pylist(exposures, schema=EXPOSURES), pa.Table.from_pylist(outcomes, schema=OUTCOMES))


def make_world(n: int = 1_000, lift: float = 0.0, seed: int = 7) -> Events:
    """n units over 14 days, several slates each, clicks at 10% * (1 + lift) per item in treatment, some purchases.

    Also what real logs hold: outcomes before the exposure, of strangers, of kinds nobody measures; units in two arms.
    """
    rng = np.random.default_rng(seed)
    exposures: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    for u in range(n):
        unit, variant = f"u{u}", ("control", "treatment")[u % 2]
        rate = 0.1 * (1 + lift * (u % 2)) * rng.gamma(4.0, 0.25)
        for hours in np.sort(rng.uniform(0, 14 * 24, 1 + rng.poisson(2.0))):
            shown = int(rng.integers(3, 11))
            exposures.append(exposure(unit, variant, hours, shown))
            for _ in range(rng.binomial(shown, min(rate, 1.0))):
                outcomes.append(outcome(unit, "click", hours + rng.exponential(1.0)))
                if rng.random() < 0.3:
                    outcomes.append(outcome(unit, "purchase", hours + rng.exponential(5.0), rng.lognormal(3.0, 1.0)))
        if u % 10 == 0:
            outcomes += [
                outcome(unit, "click", -1.0),
                outcome(f"stranger{u}", "click", 5.0),
                outcome(unit, "view", 400.0),
            ]
        if u % 50 == 0:
            exposures.append(exposure(unit, ("treatment", "control")[u % 2], 200.0))
    return events(exposures, outcomes)


def naive_units(world: Events, until: datetime = AS_OF) -> pd.DataFrame:
    """One row per unit by plain pandas: no engine, no cleverness."""
    shown = world.exposures.to_pandas()
    several = set(shown.groupby("unit").variant.nunique().loc[lambda n: n > 1].index)
    shown = shown[(shown["at"] <= until) & ~shown.unit.isin(several)]
    rows = []
    done = world.outcomes.to_pandas()
    done = dict(list(done[done["at"] <= until].groupby("unit")))
    for unit, slates in shown.groupby("unit"):
        mine = done.get(unit, world.outcomes.slice(0, 0).to_pandas())
        mine = mine[mine["at"] >= slates["at"].min()]
        bought = mine[mine.kind == "purchase"]
        rows.append(
            {
                "unit": unit,
                "variant": slates.variant.iloc[0],
                "exposures": len(slates),
                "impressions": sum(len(items) for items in slates["items"]),
                "click": int((mine.kind == "click").sum()),
                "purchase": len(bought),
                "purchase.value": float(bought.value.sum()),
            }
        )
    return pd.DataFrame(rows)


def naive_columns(units: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The (n, p) values behind a metric."""
    numerator = units[metric.numerator].to_numpy(dtype=float)
    if metric.kind == "proportion":
        numerator = (numerator > 0).astype(float)
    if metric.cap is not None:
        numerator = np.minimum(numerator, metric.cap)
    columns = [numerator] + ([units[metric.denominator].to_numpy(dtype=float)] if metric.denominator else [])
    return np.column_stack(columns)
