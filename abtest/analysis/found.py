"""What one run of the queries found of an experiment, before any statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

import ibis.expr.types as ir

from abtest.analysis.quantiles import ByPair, locate, locate_events
from abtest.analysis.reduction import BySegment, ByVariant, Reduced, caps, reduce, reduce_by
from abtest.types import Metric


@dataclass(frozen=True, kw_only=True)
class Found:
    """The metrics with their caps, the whole reduced, quantiles, segments, and the cumulative Moments by day.

    segments: attribute -> its value -> Moments; counts: attribute -> its value -> variant -> units.
    """

    metrics: tuple[Metric, ...]
    reduced: Reduced
    located: ByPair = field(default_factory=dict)
    segments: Mapping[str, BySegment] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    days: Sequence[date] = ()
    by_day: ByVariant = field(default_factory=dict)

    def only(self, variants: Sequence[str]) -> "Found":
        """Without the variants that the experiment does not have."""
        reduced = replace(self.reduced, units={name: self.reduced.units.get(name, 0) for name in variants})
        counts = {
            name: {value: {v: n for v, n in arms.items() if v in variants} for value, arms in values.items()}
            for name, values in self.counts.items()
        }
        return replace(self, reduced=reduced, counts=counts)


def gather(
    metrics: Sequence[Metric],
    units: ir.Table,
    segments: Sequence[str],
    level: float,
    variants: Sequence[str],
    faulty: ir.BooleanValue | None = None,
    events: Mapping[str, ir.Table] = MappingProxyType({}),
) -> Found:
    """Run the queries over a table of units: one for all metrics, one per segment, one for caps and for quantiles.

    events: the rows of every metric that is a quantile of events, from `units.values_of`.
    """
    ceilings = caps(metrics, units)
    capped = tuple(replace(m, cap=ceilings[m.name], cap_quantile=None) if m.name in ceilings else m for m in metrics)
    reduced = reduce(capped, units, faulty)
    located = locate(capped, units, reduced.units, variants, level)
    for metric in capped:
        if metric.per == "event":
            located |= locate_events(metric, events[metric.name], variants, level)
    by_segment = {name: reduce_by(capped, units, name) for name in segments}
    return Found(
        metrics=capped,
        reduced=reduced,
        located=located,
        segments={name: found for name, (found, _) in by_segment.items()},
        counts={name: counts for name, (_, counts) in by_segment.items()},
    )
