"""Tests that are read every day for four weeks: what looking does to them, and what each looks-proof method costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from abtest.certificate.fixed import findable_lift
from abtest.certificate.lines import EVER, LEVEL, Line, judge, mean, missed, share
from abtest.certificate.populations import Population
from abtest.certificate.subjects import POPULATIONS
from abtest.statistics import group_sequential, sequential, welch
from abtest.statistics.effect import Effects
from abtest.statistics.moments import Array, Moments

LOOKS = 28
SCENARIOS = ("normal", "revenue", "rate 2%")
NAIVE = "t test, peeked"
DailyMethod = Callable[[Moments, Moments, float], Effects]
"""(control (m, looks), treatment, planned units) -> effects (m, looks) of cumulative moments."""


def _spending(control: Moments, treatment: Moments, planned: float, *, name: str) -> Effects:
    return group_sequential.effects(control, treatment, LEVEL, planned, name)


DAILY: dict[str, DailyMethod] = {
    NAIVE: lambda control, treatment, planned: welch.effects(control, treatment, LEVEL),
    "confidence sequence": lambda control, treatment, planned: sequential.effects(control, treatment, LEVEL, planned),
    "O'Brien-Fleming spending": partial(_spending, name="obrien_fleming"),
    "Pocock spending": partial(_spending, name="pocock"),
    "Kim-DeMets spending": partial(_spending, name="kim_demets_2"),
}
FLOORS = {"O'Brien-Fleming spending": 0.75, "confidence sequence": 0.5}
"""The power that a method must have at the effect that a fixed test finds with 80%."""


def certify(
    scenario: str, units: int, runs: int, rng: np.random.Generator, methods: Sequence[str] = tuple(DAILY)
) -> tuple[Line, ...]:
    """What `runs` experiments say of methods that are read at 28 looks on the way to `units` per arm.

    All methods see the same experiments.
    """
    population = POPULATIONS[scenario]()
    lift = findable_lift(population, units)
    equal = _read(population, methods, 0.0, units, runs, rng)
    planted = _read(population, methods, lift, units, runs, rng)
    return tuple(_line(method, scenario, units, lift, equal[method], planted[method]) for method in methods)


def _line(method: str, scenario: str, units: int, lift: float, equal: "_Read", planted: "_Read") -> Line:
    runs = len(equal.ever)
    type_i, coverage = share(int(equal.ever.sum()), runs), share(int(planted.covered.sum()), runs)
    power = share(int(planted.ever.sum()), runs)
    verdict, reason = judge({"ever rejected": (type_i, EVER), "ever missed": (missed(coverage), EVER)})
    floor = FLOORS.get(method, 0.0)
    if method == NAIVE:
        verdict, reason = "for comparison", "what looking every day does to a test that is read once"
    elif verdict == "holds" and power.high < floor:
        verdict, reason = "does not hold", f"power {power.value:.1%}, at least {floor:.0%} expected"
    return Line(
        kind="read daily",
        method=method,
        scenario=scenario,
        units=units,
        looks=LOOKS,
        runs=runs,
        lift=lift,
        type_i=type_i,
        coverage=coverage,
        power=power,
        used=mean(planted.used),
        verdict=verdict,
        reason=reason,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Read:
    """Of every run: whether a look rejected, whether all looks' intervals cover, the share of the plan when stopped."""

    ever: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    used: Array

    @classmethod
    def of(cls, found: Effects, truth: float) -> "_Read":
        beyond = found.p_value < 1.0 - LEVEL
        ever = np.asarray(beyond.any(axis=-1))
        # an interval that is not there misses nothing
        covered = np.asarray(~((found.low > truth) | (found.high < truth)).any(axis=-1))
        return cls(ever=ever, covered=covered, used=np.where(ever, beyond.argmax(axis=-1) + 1.0, LOOKS) / LOOKS)


def _read(
    population: Population, methods: Sequence[str], lift: float, units: int, runs: int, rng: np.random.Generator
) -> dict[str, _Read]:
    other = population.lifted(lift)
    truth = other.value - population.value
    parts: dict[str, list[_Read]] = {method: [] for method in methods}
    for start in range(0, runs, population.at_once(units)):
        count = min(population.at_once(units), runs - start)
        arms = daily(population, rng, units, count), daily(other, rng, units, count)
        for method in methods:
            parts[method].append(_Read.of(DAILY[method](*arms, 2.0 * units), truth))
    return {
        method: _Read(
            ever=np.concatenate([part.ever for part in read]),
            covered=np.concatenate([part.covered for part in read]),
            used=np.concatenate([part.used for part in read]),
        )
        for method, read in parts.items()
    }


def daily(population: Population, rng: np.random.Generator, units: int, runs: int) -> Moments:
    """Cumulative moments (runs, looks) of units that come in evenly."""
    until = np.rint(units * np.arange(1, LOOKS + 1) / LOOKS).astype(int)
    so_far: list[Moments] = []
    for today in np.diff(until, prepend=0).tolist():
        drawn = population.draw(rng, today, (runs,))
        so_far.append(so_far[-1] + drawn if so_far else drawn)
    return Moments(
        so_far[0].columns,
        np.stack([day.n for day in so_far], axis=1),
        np.stack([day.mean for day in so_far], axis=1),
        np.stack([day.comoment for day in so_far], axis=1),
    )
