"""Simulated traffic on a real experiment: real assigner, real slates, real event log; only the people are invented."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abtest.events.log import EventLog
from abtest.simulation.choice import Behaviour
from abtest.simulation.policy import Observed, Policy, Slates
from abtest.simulation.visits import Assign, Market, PlantedEffect, Wave, each_day, moments_of
from abtest.simulation.world import World
from abtest.types import Experiment, Exposure, Outcome

__all__ = ["Assign", "Observed", "PlantedEffect", "Policy", "Slates", "Summary", "simulate"]

NOTHING_PLANTED: Mapping[str, PlantedEffect] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a simulation brought. impressions: items shown; already_logged: events whose id the log held before.

    Visits, impressions, clicks, purchases and revenue count everybody; exposures and `exposed` (users by variant)
    only who was part of the experiment.
    """

    days: int
    visits: int
    impressions: int
    clicks: int
    purchases: int
    revenue: float
    exposures: int
    exposed: Mapping[str, int]
    already_logged: int

    @property
    def ctr(self) -> float:
        """Clicks per item shown; NaN when nothing was shown."""
        return self.clicks / self.impressions if self.impressions else float("nan")

    @property
    def orders_per_click(self) -> float:
        """Purchases per click; NaN when nothing was clicked."""
        return self.purchases / self.clicks if self.clicks else float("nan")


def simulate(
    world: World,
    *,
    experiment: Experiment,
    assign: Assign,
    policy: Policy,
    log: EventLog,
    start: datetime,
    days: int,
    seed: int,
    behaviour: Behaviour | None = None,
    planted: Mapping[str, PlantedEffect] = NOTHING_PLANTED,
    report: Callable[[int, int], None] | None = None,
) -> Summary:
    """Let the world's users come for some days, show them what the policy says, and log what they do.

    Day by day: who comes and when; one assignment per user and day (as of the day's start); one call of
    `policy.slates` per variant and wave of visits; clicks and purchases from the true tastes; the day's events in one
    batch; `policy.observe`; `report(days done, days)`. Users whom `assign` gives -1 are shown the control's slate and
    their outcomes are logged without an exposure: days before the experiment starts are a pre-period for CUPED.
    Event ids name experiment, date, unit and visit, so the same seed gives the same log, and sending it again
    changes nothing.
    """
    market = Market(
        world=world,
        variants=tuple(variant.name for variant in experiment.variants),
        assign=assign,
        policy=policy,
        start=start,
        seed=seed,
        behaviour=behaviour or Behaviour(),
        planted=planted,
    )
    tally = _Tally(n_variants=len(market.variants), n_users=world.n_users)
    for day, waves in enumerate(each_day(market, days)):
        date = (start + timedelta(days=day)).astimezone(UTC).date().isoformat()
        events = [event for wave in waves for event in _events(wave, world, experiment, day, date)]
        tally.sent += len(events)
        tally.kept += log.append(events)
        for wave in waves:
            tally.add(wave)
        if report is not None:
            report(day + 1, days)
    return tally.summary(days, market.variants)


class _Tally:
    """Running counts of a simulation."""

    def __init__(self, *, n_variants: int, n_users: int) -> None:
        self.sent = self.kept = self.visits = self.impressions = self.clicks = self.purchases = self.exposures = 0
        self.revenue = 0.0
        self.exposed = np.zeros((n_variants, n_users), dtype=np.bool_)

    def add(self, wave: Wave) -> None:
        self.visits += len(wave.users)
        self.impressions += int((wave.slates.items >= 0).sum())
        self.clicks += int(wave.clicks.sum())
        self.purchases += int((wave.pieces > 0).sum())
        self.revenue += float(wave.revenue.sum())
        taking_part = wave.variants >= 0
        self.exposures += int(taking_part.sum())
        self.exposed[wave.variants[taking_part], wave.users[taking_part]] = True

    def summary(self, days: int, variants: tuple[str, ...]) -> Summary:
        return Summary(
            days=days,
            visits=self.visits,
            impressions=self.impressions,
            clicks=self.clicks,
            purchases=self.purchases,
            revenue=self.revenue,
            exposures=self.exposures,
            exposed=dict(zip(variants, self.exposed.sum(axis=1).tolist(), strict=True)),
            already_logged=self.sent - self.kept,
        )


def _events(wave: Wave, world: World, experiment: Experiment, day: int, date: str) -> list[Exposure | Outcome]:
    units = world.users[wave.users].tolist()
    # the date on which the simulated day began: a day that starts at noon has two, and visits are numbered by day
    ids = [f"{experiment.key}-{date}-{unit}-{wave.number}" for unit in units]
    shown = _exposures(wave, world, experiment, day, ids, units)
    clicked = _outcomes(wave, world, ids, units, kind="click")
    return [*shown, *clicked, *_outcomes(wave, world, ids, units, kind="purchase")]


def _exposures(
    wave: Wave, world: World, experiment: Experiment, day: int, ids: list[str], units: list[str]
) -> list[Exposure]:
    rows = np.flatnonzero(wave.variants >= 0)
    items, scores = wave.slates.items[rows], wave.slates.scores[rows]
    lengths = (items >= 0).sum(axis=1).tolist()
    # the few different contexts are shared: building 100,000 equal dictionaries would cost more than all else
    contexts = _contexts(day)
    weekdays = (wave.times[rows].astype("M8[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    which = 4 * weekdays + 2 * world.mobile[wave.users[rows]] + wave.slates.fallback[rows]
    return [
        Exposure(
            id=ids[row],
            unit=units[row],
            experiment=experiment.key,
            variant=experiment.variants[variant].name,
            at=at,
            items=tuple(names[:length]),
            scores=tuple(values[:length]),
            context=contexts[context],
        )
        for row, variant, at, names, values, length, context in zip(
            rows.tolist(),
            wave.variants[rows].tolist(),
            _moments(wave.times[rows]),
            world.items[items].tolist(),
            scores.tolist(),
            lengths,
            which.tolist(),
            strict=True,
        )
    ]


def _contexts(day: int) -> list[Mapping[str, Any]]:
    """Every context that an exposure of this day can have: by weekday (0 = Monday), device, fallback."""
    return [
        {"device": device, "fallback": fallback, "weekday": weekday, "day": day}
        for weekday in range(7)
        for device in ("desktop", "mobile")
        for fallback in (False, True)
    ]


def _outcomes(wave: Wave, world: World, ids: list[str], units: list[str], *, kind: str) -> list[Outcome]:
    bought = kind == "purchase"
    rows, places = np.nonzero(wave.pieces if bought else wave.clicks)
    values = wave.revenue[rows, places] if bought else np.ones(len(rows))
    return [
        Outcome(
            id=f"{ids[row]}-{place}-{kind}",
            unit=units[row],
            kind=kind,
            at=at,
            value=value,
            item=item,
            exposure=ids[row] if takes_part else "",
        )
        for row, place, at, value, item, takes_part in zip(
            rows.tolist(),
            places.tolist(),
            _moments(moments_of(wave, rows, places, bought=bought)),
            values.tolist(),
            world.items[wave.slates.items[rows, places]].tolist(),
            (wave.variants[rows] >= 0).tolist(),
            strict=True,
        )
    ]


def _moments(times: NDArray[np.datetime64]) -> list[datetime]:
    return [moment.replace(tzinfo=UTC) for moment in times.astype("M8[us]").tolist()]
