"""What the pages read: each answer cached for a short while, with the moment it was read.

MLflow takes seconds to import, so the functions that need it import it: the experiment pages open without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

import streamlit as st

from abtest.analysis.traffic import DayCount, cumulative_units
from abtest.events.pace import Pace
from experiments import arrivals, logs, plans, sensitivity
from experiments.board import Leaderboard
from experiments.home import Home
from experiments.notes import Note, Notes
from experiments.plans import Past
from experiments.sensitivity import Sensitivity
from experiments.store import ExperimentStore, Record

if TYPE_CHECKING:
    from bakeoff.bootstrap import Paired
    from experiments.journal import Event, Slots
    from experiments.offline_online import History
    from experiments.offline_pairs import Slice

T = TypeVar("T")
TTL = 30.0
"""Seconds an answer may be old: long enough for clicking through pages, short enough to follow a running experiment."""


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """An answer and when it was read."""

    value: T
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Every experiment, newest first; damaged: for those whose files cannot be read, key -> why."""

    records: tuple[Record, ...]
    damaged: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The slots of every registered model and the journal of their changes, newest first."""

    slots: tuple["Slots", ...]
    events: tuple["Event", ...]


@st.cache_data(ttl=TTL, max_entries=8, show_spinner=False)
def listing(home: Home) -> Loaded[Listing]:
    """All experiments; a damaged one is named and does not hide the others."""
    store = ExperimentStore(home)
    found, damaged = [], {}
    for key in store.keys():  # noqa: SIM118 -- a store is no mapping
        try:
            found.append(store.record(key))
        except ValueError as error:
            damaged[key] = str(error)
    return loaded(Listing(records=tuple(found), damaged=damaged))


@st.cache_data(ttl=TTL, max_entries=64, show_spinner=False)
def record(home: Home, key: str) -> Loaded[Record]:
    """One experiment; LookupError when there is none of that key, ValueError when its files are damaged."""
    return loaded(ExperimentStore(home).record(key))


@st.cache_data(ttl=TTL, max_entries=8, show_spinner=False)
def keys(home: Home) -> Loaded[tuple[str, ...]]:
    """The keys of all experiments, newest first."""
    return loaded(tuple(ExperimentStore(home).keys()))


@st.cache_data(ttl=TTL, max_entries=64, show_spinner=False)
def changes(home: Home, experiment: str) -> Loaded[tuple["Event", ...]]:
    """The moves of a registry alias that an experiment's decision caused, oldest first."""
    if not home.promotions.exists():
        return loaded(())
    from experiments.journal import Journal

    with reading(str(home.promotions)):
        return loaded(tuple(event for event in Journal(home).events() if event.experiment == experiment))


@st.cache_data(ttl=TTL, max_entries=64, show_spinner=False)
def notes(home: Home, experiment: str) -> Loaded[tuple[Note, ...]]:
    """The notes on one experiment, oldest first."""
    return loaded(tuple(Notes(home).of(experiment)))


@st.cache_data(ttl=TTL, max_entries=64, show_spinner=False)
def views(home: Home, experiment: str, as_of: datetime) -> Sensitivity | None:
    """The effects of a readout computed in other ways; None where they are of another readout than that `as_of`."""
    found = sensitivity.load(home, experiment)
    return found if found is not None and found.as_of == as_of else None


@st.cache_data(max_entries=64, show_spinner="Counting exposures …")
def traffic(home: Home, experiment: str, as_of: datetime) -> tuple[DayCount, ...]:
    """Units and slates by day behind a readout, as they were kept with it or as the lake holds them."""
    with reading("the exposures by day"):
        return arrivals.load(home, experiment, as_of)


@st.cache_data(ttl=TTL, max_entries=64, show_spinner=False)
def pasts(home: Home, experiment: str) -> Loaded[tuple[Past, ...]]:
    """The metrics of an experiment that the next one can be planned from."""
    found = ExperimentStore(home).record(experiment)
    counts = traffic(home, experiment, found.readout.as_of) if found.readout else ()
    return loaded(plans.pasts(found, cumulative_units(counts)))


@st.cache_data(ttl=TTL, max_entries=16, show_spinner=False)
def pace(home: Home, step: timedelta, steps: int) -> Loaded[Pace]:
    """The newest events of the log that the service's configuration names, counted by stretches of time."""
    with reading("the event log"):
        return loaded(logs.pace(home, logs.named(), step, steps))


@st.cache_data(ttl=TTL, max_entries=8, show_spinner="Holding promises against lifts …")
def promises(home: Home) -> Loaded["History"]:
    """Every finished experiment held against its offline promise."""
    from experiments import promises as source

    with reading("the leaderboards behind the experiments"):
        return loaded(source.history(home, listing(home).value.records))


@st.cache_data(ttl=TTL, max_entries=8, show_spinner="Reading MLflow …")
def bakeoffs(home: Home) -> Loaded[tuple[str, ...]]:
    """The names of all bake-offs, newest first."""
    from experiments import tracking

    with reading("MLflow"):
        return loaded(tuple(tracking.leaderboards(home)))


@st.cache_data(ttl=TTL, max_entries=32, show_spinner="Reading MLflow …")
def leaderboard(home: Home, name: str) -> Loaded[Leaderboard]:
    """The leaderboard of one bake-off; LookupError when there is none of that name."""
    from experiments import tracking

    with reading(f"the leaderboard of {name!r}"):
        return loaded(tracking.leaderboard(home, name))


def duel(home: Home, name: str, one: str, other: str, metric: str) -> "Paired":
    """Two variants of a bake-off, user by user on one metric, as `bakeoff compare` does it."""
    board = leaderboard(home, name).value
    return _duel(home, board, board.run_id, one, other, metric)


def slices(home: Home, name: str, metric: str) -> "tuple[Slice, ...]":
    """How every variant of a bake-off does for users of whom little or much was known, and on the long tail."""
    board = leaderboard(home, name).value
    return _slices(home, board, board.run_id, metric)


# what a run has scored never changes, so these are kept as long as there is room
@st.cache_data(max_entries=64, show_spinner="Comparing user by user …")
def _duel(home: Home, _board: Leaderboard, run_id: str, one: str, other: str, metric: str) -> "Paired":
    from experiments import offline_pairs

    with reading(f"the scorecards of {one!r} and {other!r}"):
        return offline_pairs.duel(home, _board, one, other, metric)


@st.cache_data(max_entries=16, show_spinner="Cutting the users into slices …")
def _slices(home: Home, _board: Leaderboard, run_id: str, metric: str) -> "tuple[Slice, ...]":
    from experiments import offline_pairs

    with reading(f"the scorecards of run {run_id}"):
        return offline_pairs.slices(home, _board, metric)


@st.cache_data(ttl=TTL, max_entries=8, show_spinner="Reading the registry …")
def registered(home: Home) -> Loaded[Registered]:
    """Who is champion and challenger of each model, and how it came to that."""
    from experiments.journal import Journal
    from experiments.registry import Registry

    with reading("the registry"):
        registry = Registry(home)
        slots = tuple(registry.slots(model) for model in registry.models())
        return loaded(Registered(slots=slots, events=tuple(reversed(Journal(home).events()))))


@st.cache_data(ttl=TTL, max_entries=32, show_spinner=False)
def run_link(home: Home, run_id: str) -> str:
    """Where MLflow's page shows a run."""
    from experiments import tracking

    with reading(f"run {run_id}"):
        return tracking.run_link(home, run_id)


def refresh() -> None:
    """Forget every answer, so that the next page reads anew."""
    st.cache_data.clear()


def loaded(value: T) -> Loaded[T]:
    """An answer with the moment it was read: now."""
    return Loaded(value, datetime.now(UTC))


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Whatever goes wrong inside (MLflow has many errors of its own) becomes one ValueError that says what was read."""
    try:
        yield
    except LookupError:
        raise
    except Exception as error:
        raise ValueError(f"{what} cannot be read: {error}") from error
