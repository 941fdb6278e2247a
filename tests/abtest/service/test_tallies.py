"""Counts and timings as Prometheus' own client tells them: the oracle is its Counter and Histogram."""

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from abtest.service.tallies import Tallies, Timings

BOUNDS = (0.001, 0.01, 0.1)


def told(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_they_tell_what_the_client_library_tells(rng: np.random.Generator) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timings, tallies = Timings("t_seconds", "T.", ["route"], BOUNDS, ours), Tallies("n", "N.", ["route", "to"], ours)
    histogram = Histogram("t_seconds", "T.", ["route"], buckets=BOUNDS, registry=theirs)
    counter = Counter("n", "N.", ["route", "to"], registry=theirs)
    for seconds in [*BOUNDS, 0.0, 5.0, *rng.exponential(0.01, 200).tolist()]:
        route = f"/{int(seconds * 1000) % 3}"
        for measure in (timings, histogram):
            measure.labels(route).observe(seconds)
        for count in (tallies, counter):
            count.labels(route, 'a "b"').inc()
    assert told(ours) == told(theirs)
