"""What operators see: Prometheus metrics, and log lines as JSON with the request's id."""

import logging
from collections.abc import Callable
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from abtest.service.tallies import Tallies, Timings

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
LAG = (1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0)
logger = logging.getLogger("bakeoff.service")


class Telemetry:
    """The metrics of one service; each has a registry of its own, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        arm = ("experiment", "variant")
        self.requests = self._tallies("requests", "Requests by route and status.", "route", "status")
        self.seconds = self._timings("request_seconds", "From the first byte to the answer.", "route")
        self.slates = self._tallies("slates", "Slates by experiment and variant.", *arm)
        self.slate_seconds = self._timings("slate_seconds", "Filling a slate, by variant.", *arm)
        self.fallbacks = self._counter("fallbacks", "Slates that another model filled.", "to", "why")
        self.explored = self._counter("explored_slates", "Slates whose last place was given to an item to be tried.")
        self.cache = self._tallies("cache", "Slates asked of the cache.", "result")
        self.unlogged = self._counter("unlogged_exposures", "Slates shown that the log could not take.")
        self.events = self._counter("events", "Event lines by fate.", "fate")
        self.lag = Histogram(
            "bakeoff_event_lag_seconds", "From an event's own time to its arrival.", buckets=LAG, registry=self.registry
        )
        self.ahead = self._counter("events_ahead", "Events from a clock that is ahead of this one.")
        self.online_failures = self._counter("online_failures", "Calls that the shared state failed.", "operation")
        self.refused = self._counter("refused_calls", "Calls without the right to them.", "error")
        self.changes = self._counter("experiment_changes", "Changes of experiments.", "action")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"bakeoff_{name}", text, labels, registry=self.registry)

    def _tallies(self, name: str, text: str, *labels: str) -> Tallies:
        return Tallies(f"bakeoff_{name}", text, labels, self.registry)

    def _timings(self, name: str, text: str, *labels: str) -> Timings:
        return Timings(f"bakeoff_{name}", text, labels, BUCKETS, self.registry)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A metric that is read when it is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)


class JsonLines(logging.Formatter):
    """A log record as one JSON object on a line; what was given as `extra={"fields": {...}}` stands beside the text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def say(level: int, event: str, *, trace: bool = False, **fields: Any) -> None:
    """Log an event of the service with its fields."""
    logger.log(level, event, extra={"fields": fields}, exc_info=trace)
