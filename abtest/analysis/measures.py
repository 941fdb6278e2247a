"""What a metric needs of a unit: its events of a name, which of them, and in which days around its first exposure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from abtest.analysis.metrics import VALUE, of_exposures
from abtest.types import Metric

ATTRIBUTE = "attribute "
SEGMENT = "segment "
_OWN = "measure "  # a prefix, for a kind of outcome may be called "unit"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The events of `name` that pass `where` (a JSON object), from `start` to before `end` days after first exposure.

    end None: without end; a negative start: before the first exposure, where covariates come from.
    """

    name: str
    where: str = "{}"
    start: float = 0.0
    end: float | None = None

    @property
    def column(self) -> str:
        """Its column in a table of units."""
        end = "" if self.end is None else f"{self.end:g}"
        days = f" days {self.start:g} to {end}" if self.start or end else ""
        return f"{_OWN}{self.name}{days}" + (f" where {self.where}" if self.where != "{}" else "")

    @property
    def conditions(self) -> dict[str, Any]:
        """Its filter."""
        found: dict[str, Any] = json.loads(self.where)
        return found

    @property
    def of_exposures(self) -> bool:
        """Whether it is taken of slates, not of outcomes."""
        return of_exposures(self.name)

    @property
    def kind(self) -> str:
        """The kind of outcome it counts or sums."""
        return self.name.removesuffix(VALUE)

    @property
    def sums_values(self) -> bool:
        """Whether it is a sum of values, not a count."""
        return not self.of_exposures and self.name.endswith(VALUE)

    @property
    def of_the_past(self) -> bool:
        """Whether it was over before the first exposure."""
        return self.start < 0

    @property
    def from_the_start(self) -> bool:
        """Whether it is every event from the first exposure on."""
        return self.start == 0 and self.end is None


def column(measure: str) -> str:
    """The column of a measure by name, without filter or window."""
    return f"{_OWN}{measure}"


def roles(metric: Metric) -> tuple[str, ...]:
    """The columns of a metric's Moments."""
    found = ["numerator"]
    if metric.denominator is not None:
        found.append("denominator")
    if metric.covariate is not None or metric.covariate_days is not None:
        found.append("covariate")
        if metric.covariate_denominator is not None or _has_past(metric.denominator, metric):
            found.append("covariate_denominator")
    return (*found, *further(metric))


def further(metric: Metric) -> dict[str, str]:
    """The roles of the covariates beside the first, with the attributes of the unit that play them."""
    return {f"covariate_{i}": name for i, name in enumerate(metric.covariates, start=2)}


def measure_of(metric: Metric, role: str) -> Measure | None:
    """The measure that a role of the metric is taken from; None for an attribute of the unit."""
    if role.startswith("covariate"):
        if metric.covariate_days is None or role in further(metric):
            return None
        name = metric.numerator if role == "covariate" else str(metric.denominator)
        where = _text(metric) if role == "covariate" else "{}"
        return Measure(name=name, where=where, start=-metric.covariate_days, end=0.0)
    start = metric.day or 0.0
    end = None if metric.window is None else start + metric.window
    if metric.kind == "retention" and end is None:
        end = start + 1.0
    if role == "denominator":
        return Measure(name=str(metric.denominator), start=start, end=end)
    return Measure(name=metric.numerator, where=_text(metric), start=start, end=end)


def column_of(metric: Metric, role: str) -> str:
    """The column of a table of units that a role of the metric is read from."""
    measure = measure_of(metric, role)
    if measure is not None:
        return measure.column
    named = {"covariate": metric.covariate, "covariate_denominator": metric.covariate_denominator, **further(metric)}
    return f"{ATTRIBUTE}{named[role]}"


def needs(metrics: Sequence[Metric]) -> tuple[Measure, ...]:
    """The measures that these metrics need, each once, in order of first use."""
    found = [measure_of(metric, role) for metric in metrics for role in roles(metric)]
    return tuple(dict.fromkeys(measure for measure in found if measure is not None))


def attributes(metrics: Sequence[Metric]) -> tuple[str, ...]:
    """The attributes of a unit that these metrics need as covariates."""
    named = [(metric.covariate, metric.covariate_denominator, *metric.covariates) for metric in metrics]
    return tuple(dict.fromkeys(name for names in named for name in names if name))


def waits(metric: Metric) -> bool:
    """Whether a unit counts only once its days are over: before, not to have come back says nothing."""
    return metric.kind == "retention"


def adds_up(metric: Metric) -> bool:
    """Whether the metric's sums of one day add to those of the days before, so that a history by day is cheap."""
    names = (metric.numerator, metric.denominator)
    return metric.kind not in ("quantile", "retention") and "distinct_items" not in names


def without_covariate(metric: Metric) -> Metric:
    """The same metric, not adjusted."""
    return replace(metric, covariate=None, covariate_denominator=None, covariate_days=None, covariates=())


def _has_past(denominator: str | None, metric: Metric) -> bool:
    """Whether the denominator can be taken of the days before the first exposure: slates cannot, there were none."""
    return metric.covariate_days is not None and denominator is not None and not of_exposures(denominator)


def _text(metric: Metric) -> str:
    return json.dumps(dict(metric.where), sort_keys=True)
