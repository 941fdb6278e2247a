"""What is tested on what: every method of one look with the kinds of data it was made for."""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from abtest.certificate import populations
from abtest.certificate.populations import Population
from abtest.statistics.effect import Effects

POPULATIONS: dict[str, Callable[[], Population]] = {
    "normal": populations.normal,
    "log-normal": lambda: populations.log_normal(1.5),
    "revenue": lambda: populations.revenue(0.05, 1.2),
    "rate 20%": lambda: populations.binary(0.2),
    "rate 2%": lambda: populations.binary(0.02),
    "rate 0.2%": lambda: populations.binary(0.002),
    "clicks per slate": populations.clicks_per_slate,
    "normal with history": populations.normal_with_history,
    "visits with history": populations.visits_with_history,
    "revenue by country": populations.revenue_by_country,
    "log-normal median": populations.Median,
}
METHODS: dict[str, str] = {
    "mean": "abtest.statistics.welch:effects",
    "proportion": "abtest.statistics.proportion:effects",
    "ratio": "abtest.statistics.delta:effects",
    "cuped": "abtest.statistics.cuped:effects",
    "poststratified": "abtest.statistics.poststratification:effects",
    "median": "abtest.statistics.quantile:effects",
}
"""The methods that are read once, in their form for many comparisons."""
SCENARIOS: dict[str, tuple[str, ...]] = {
    "mean": ("normal", "log-normal", "revenue"),
    "proportion": ("rate 20%", "rate 2%", "rate 0.2%"),
    "ratio": ("clicks per slate",),
    "cuped": ("normal with history", "visits with history"),
    "poststratified": ("revenue by country",),
    "median": ("log-normal median",),
}
UNITS = (200, 2_000, 10_000, 200_000)
MOST_UNITS = {"median": 10_000}  # where every row has to be drawn and sorted


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A method and the population it is tried on."""

    population: Population
    effects: Callable[[Any, Any, float], Effects]


def subject(method: str, scenario: str) -> Subject:
    """The named method on the named population."""
    return Subject(population=POPULATIONS[scenario](), effects=resolve_name(METHODS[method]))
