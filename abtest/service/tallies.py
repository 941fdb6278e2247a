"""Counts and timings of the hot routes, kept without locks by the one thread that answers, read by Prometheus.

The client library's own cost a fifth of a whole answer: each of them takes a lock and walks its buckets.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Tally:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        """One more."""
        self.value += 1


class Timing:
    """How many durations fell up to each bound (and beyond the last), and their sum in seconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Tallies(Collector):
    """Tallies by their labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self.name, self.text, self.labelnames = name, text, tuple(labels)
        self._kept: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The tally with these labels; keep it, to find it costs more than to count."""
        return self._kept.setdefault(values, Tally())

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labelnames)
        for values, tally in list(self._kept.items()):
            family.add_metric(values, tally.value)
        yield family


class Timings(Collector):
    """Timings by their labels."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self.name, self.text, self.labelnames, self._bounds = name, text, tuple(labels), tuple(bounds)
        self._kept: dict[tuple[str, ...], Timing] = {}
        registry.register(self)

    def labels(self, *values: str) -> Timing:
        """The timing with these labels; keep it, to find it costs more than to count."""
        return self._kept.setdefault(values, Timing(self._bounds))

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads: cumulative counts."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labelnames)
        for values, timing in list(self._kept.items()):
            family.add_metric(values, list(_cumulative(self._bounds, timing.counts)), timing.total)
        yield family


def _cumulative(bounds: Iterable[float], counts: Sequence[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        yield bound, total
