"""Experiments and leaderboards in every state, as values."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from abtest.types import (
    Arm,
    Comparison,
    Decision,
    DecisionRule,
    Effect,
    Experiment,
    Metric,
    Readout,
    SampleRatio,
    Status,
    Variant,
    Verdict,
)
from experiments.board import Cell, Leaderboard, Rival, Standing
from experiments.home import Home
from experiments.store import Definition, ExperimentStore

START = datetime(2024, 3, 4, tzinfo=UTC)
NAN = math.nan

CONVERSION = Metric(name="conversion", kind="proportion", numerator="purchase", role="primary")
REVENUE = Metric(name="revenue_per_user", kind="mean", numerator="purchase.value", unit="EUR")
CTR = Metric(name="ctr", kind="ratio", numerator="click", denominator="impressions")
RETURNS = Metric(
    name="returns", kind="mean", numerator="return", role="guardrail", direction="decrease", margin=0.05, unit="items"
)
METRICS = (CONVERSION, REVENUE, CTR, RETURNS)
UNFIT = Effect(
    control=NAN, treatment=NAN, absolute=NAN, relative=NAN, se=NAN, ci=(NAN, NAN), relative_ci=(NAN, NAN),
    p_value=NAN, method="delta", level=0.95, reason="the denominator is zero in the control",
)  # fmt: skip
FINE = SampleRatio(chi_square=0.8, p_value=0.37, deviation=0.004, alpha=0.001, alarm=False)
BROKEN = SampleRatio(chi_square=90.0, p_value=2.4e-21, deviation=0.075, alpha=0.001, alarm=True)


def effect(control: float, lift: float, half: float) -> Effect:
    """An effect of `lift` whose relative interval reaches `half` to both sides, with the p-value that fits it."""
    return Effect(
        control=control,
        treatment=control * (1 + lift),
        absolute=control * lift,
        relative=lift,
        se=control * half / 1.96,
        ci=(control * (lift - half), control * (lift + half)),
        relative_ci=(lift - half, lift + half),
        p_value=math.erfc(abs(lift) / half * 1.96 / math.sqrt(2)) if half < math.inf else 1.0,
        method="welch",
        level=0.95,
    )


def comparisons(variant: str = "treatment", lift: float = 0.031) -> tuple[Comparison, ...]:
    """A better, a worse, an unclear metric and a guardrail that holds."""
    effects = (
        effect(0.1234, lift, 0.019),
        effect(12.345, -0.021, 0.011),
        effect(0.0421, 0.004, 0.012),
        effect(0.31, -0.01, 0.03),
    )
    return tuple(Comparison(metric=m, variant=variant, effect=e) for m, e in zip(METRICS, effects, strict=True))


def course(variant: str = "treatment", lift: float = 0.031, days: int = 14) -> tuple[Comparison, ...]:
    """Cumulative effects whose band narrows; the first day has no interval yet."""
    found = []
    for day in range(days):
        for metric in (CONVERSION, REVENUE):
            half = math.inf if day == 0 else 0.3 / math.sqrt(day)
            value = effect(0.12, lift * (1 + 1.5 / (day + 1)), half)
            found.append(Comparison(metric=metric, variant=variant, effect=value, day=date(2024, 3, 4 + day)))
    return tuple(found)


def definition(
    key: str, status: Status = "running", variants: tuple[str, ...] = ("control", "treatment")
) -> Definition:
    """A plan of equal shares."""
    return Definition(
        experiment=Experiment(
            key=key,
            variants=tuple(
                Variant(name=name, weight=1 / len(variants), payload={"version": n + 1})
                for n, name in enumerate(variants)
            ),
            metrics=tuple(metric.name for metric in METRICS),
            starts=START,
            ends=START + timedelta(days=14),
            planned_units=20_000,
            status=status,
        ),
        metrics=METRICS,
        rule=DecisionRule(),
        model="market",
        title=f"Fusion against ALS: {key}",
        hypothesis="Fused lists lead to more purchases.",
        created=START,
    )


def readout(key: str, variants: tuple[str, ...] = ("control", "treatment")) -> Readout:
    """Fourteen days of equal traffic, all that was planned."""
    control, *others = variants
    return Readout(
        experiment=key,
        as_of=START + timedelta(days=14, hours=1),
        control=control,
        first=START + timedelta(hours=1),
        last=START + timedelta(days=14) - timedelta(minutes=5),
        arms=tuple(
            Arm(variant=name, share=1 / len(variants), units=8_012 - n, exposures=40_100 - 7 * n)
            for n, name in enumerate(variants)
        ),
        srm=FINE,
        effects=_by_metric([c for n, name in enumerate(others) for c in comparisons(name, 0.031 - 0.03 * n)]),
        daily=tuple(c for n, name in enumerate(others) for c in course(name, 0.031 - 0.03 * n)),
        planned_units=20_000,
        ends=START + timedelta(days=14),
    )


def half_way(key: str) -> Readout:
    """Seven of fourteen days."""
    made = readout(key)
    daily = tuple(c for c in made.daily if c.day and c.day < date(2024, 3, 11))
    return replace(made, as_of=START + timedelta(days=7), last=START + timedelta(days=7, hours=-1), daily=daily)


def broken(key: str) -> Readout:
    """A split that is off by more than chance."""
    made = readout(key)
    arms = (replace(made.arms[0], units=8_612), replace(made.arms[1], units=7_411))
    return replace(made, arms=arms, srm=BROKEN)


def _by_metric(found: list[Comparison]) -> tuple[Comparison, ...]:
    """Metric by metric, as the analysis gives them."""
    return tuple(sorted(found, key=lambda comparison: METRICS.index(comparison.metric)))


def decision(key: str, verdict: Verdict, winner: str | None = None) -> Decision:
    return Decision(
        experiment=key,
        verdict=verdict,
        winner=winner,
        reasons=("Conversion rose by 3.1%.", "Every guardrail holds."),
        rule=DecisionRule(),
        at=START + timedelta(days=14, hours=2),
    )


def cell(mean: float, half: float, n: int = 1_900) -> Cell:
    return Cell(mean=mean, low=mean - half, high=mean + half, n=n)


def standing(variant: str, strength: float, *, tied: bool = False, rival: Rival | None = None) -> Standing:
    """A variant whose accuracy grows with k, and whose novelty falls with its accuracy."""
    cells = {f"ndcg_{k}": cell(strength * (0.8 + k / 50), 0.004) for k in (5, 10, 20)}
    cells |= {f"recall_{k}": cell(strength * (0.5 + k / 20), 0.006) for k in (5, 10, 20)}
    cells |= {f"diversity_{k}": cell(0.9 - 2 * strength, 0.01) for k in (5, 10, 20)}
    cells |= {f"novelty_{k}": cell(12 - 20 * strength, 0.1) for k in (5, 10, 20)}
    cells |= {f"gini_{k}": Cell(mean=0.5 + strength, low=NAN, high=NAN, n=1) for k in (5, 10, 20)}
    return Standing(
        variant=variant,
        model=variant.split("_")[0],
        run_id=f"{abs(hash(variant)):032x}"[:32],
        version=None if rival else 3,
        params={"factors": 64, "regularization": 0.0123456789, "use_bm25": True},
        cells=cells,
        tied=tied,
        rival=rival,
        trials=20,
        fit_seconds=1.234,
        score_seconds=0.0421,
    )


def board() -> Leaderboard:
    """Four variants: the best, one tied with it, two behind."""
    behind = Rival(difference=-0.021, low=-0.026, high=-0.016, p_value=1e-9, share_better=0.11, share_worse=0.31)
    close = replace(behind, difference=-0.001, low=-0.004, high=0.002, p_value=0.44, share_worse=0.13)
    return Leaderboard(
        name="market",
        metric="ndcg_10",
        run_id="0" * 32,
        dataset="synthetic market",
        fingerprint="9f86d081884c7d65",
        split="temporal, test from 2024-02-19",
        users=1_900,
        seed=7,
        package_version="0.1.0",
        revision="abc123def456-dirty",
        at=START,
        standings=(
            standing("fusion", 0.1234, tied=True),
            standing("als", 0.1224, tied=True, rival=close),
            standing("item_knn_bm25", 0.1024, rival=behind),
            standing("popularity", 0.0624, rival=behind),
        ),
    )


def keep(home: Home, definition: Definition, readout: Readout | None = None, decision: Decision | None = None) -> None:
    """Write an experiment into a home, as far as it has come."""
    store = ExperimentStore(home)
    store.save(definition)
    if readout is not None:
        store.save_readout(readout)
    if decision is not None:
        store.save_decision(decision)


def publish(home: Home, board: Leaderboard) -> str:
    """Log a leaderboard as a bake-off's MLflow run, as training does; returns the run's id."""
    from experiments import tracking

    with tracking.Tracker(home).run(board.name, board.name, kind="bakeoff") as run:
        tracking.save_leaderboard(run, replace(board, run_id=run.id))
    return run.id
