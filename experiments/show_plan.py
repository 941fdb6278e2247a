"""What `bakeoff plan` prints: per metric the units and days that a lift takes, and what some days can find."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from abtest.analysis.words import label, percent
from abtest.statistics.planning import Design
from experiments import plans
from experiments.plans import Past

UNKNOWN = "-"


def plan(
    console: Console, found: Sequence[Past], wanted: Design, lift: float, days: int, *, cuped: bool, as_json: bool
) -> None:
    """One row per metric; what covariates save differs by metric and is added to the design here."""
    designs = [plans.saving(past, wanted) if cuped else wanted for past in found]
    forecasts = [plans.forecast(past, made, lift) for past, made in zip(found, designs, strict=True)]
    reaches = [plans.reach(past, made, days) for past, made in zip(found, designs, strict=True)]
    if as_json:
        return console.print_json(data=_values(found, designs, forecasts, reaches))
    console.print(title(wanted, lift), highlight=False)
    table = Table()
    for heading in ("metric", "value so far", "saved", "units", "smallest arm", "days", f"found in {days} days"):
        table.add_column(heading, justify="left" if heading == "metric" else "right", no_wrap=True)
    for past, made, forecast, reach in zip(found, designs, forecasts, reaches, strict=True):
        table.add_row(
            label(past.metric),
            f"{past.baseline.value:.4g}",
            percent(made.variance_saved) if made.variance_saved else "",
            _count(forecast.units),
            _count(forecast.units * min(wanted.shares)),
            _count(forecast.days),
            f"{100 * reach.lift:+.2f}%" if math.isfinite(reach.lift) else UNKNOWN,
        )
    console.print(table)
    if not any(past.arrivals for past in found):
        console.print("The history has no times, so days are not known.", style="dim")
    return None


def title(wanted: Design, lift: float) -> str:
    """What is planned, in a sentence."""
    shares = ", ".join(f"{share:.3g}" for share in wanted.shares)
    looks = {"once": "read once", "planned": f"daily looks ({wanted.spending})", "any time": "read at any time"}
    asked = (
        f"To find a lift of {lift:+.2%}"
        if wanted.margin is None
        else f"To exclude a loss of {percent(wanted.margin)} where the true lift is {lift:+.2%}"
    )
    said = f"{asked} with a power of {wanted.power:.0%}: arms of {shares}, {looks[wanted.looks]}"
    clusters = f", clusters of {wanted.cluster:g} units (intraclass correlation {wanted.intraclass:g})"
    return f"{said}{clusters if wanted.cluster > 1 else ''}."


def _values(
    found: Sequence[Past],
    designs: Sequence[Design],
    forecasts: Sequence[plans.Forecast],
    reaches: Sequence[plans.Reach],
) -> list[dict[str, object]]:
    return [
        {
            "metric": past.metric.name,
            "value": past.baseline.value,
            "variance_saved": made.variance_saved,
            "lift": forecast.lift,
            "units": _finite(forecast.units),
            "days": _finite(forecast.days),
            "lift_found": _finite(reach.lift),
        }
        for past, made, forecast, reach in zip(found, designs, forecasts, reaches, strict=True)
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _count(value: float) -> str:
    return f"{math.ceil(value):,}" if math.isfinite(value) else UNKNOWN
