"""Experiments of which only summaries are left: units, mean and variance per arm at every checkpoint.

Each course is read twice: as someone does who tests at every checkpoint and stops at the first p below the level, and
with intervals that allow it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from abtest.analysis.engine import Source, check_columns, opened
from abtest.statistics import sequential, welch
from abtest.statistics.effect import Effects
from abtest.statistics.estimate import Estimate
from abtest.statistics.moments import Array
from abtest.types import Effect

ARM = ("units", "mean", "variance")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table of summaries: of the experiment's name (one or several), metric and time; per arm those
    of units, mean and variance, cumulative."""

    experiment: tuple[str, ...]
    metric: str
    time: str
    control: tuple[str, str, str]
    treatment: tuple[str, str, str]


@dataclass(frozen=True, eq=False, kw_only=True)
class Course:
    """One metric of one experiment at its checkpoints, oldest first; left_out: checkpoints that could not be read.

    units (k, 2): control's and treatment's; fixed: tests that are meant to be read once; always: always-valid ones.
    """

    experiment: str
    metric: str
    time: Array
    units: Array
    fixed: Effects
    always: Effects
    left_out: int

    @property
    def naive_flag(self) -> float:
        """When a test at every checkpoint first says that something changed; NaN where it never does."""
        return _first(self.time, self.fixed)

    @property
    def always_flag(self) -> float:
        """When the always-valid test first does."""
        return _first(self.time, self.always)

    @property
    def last(self) -> Effect:
        """What a test that is read once, at the end, says."""
        return self.fixed.rows()[-1]


def analyse_summaries(
    table: Source, columns: Columns, *, level: float = 0.95, planned: float = sequential.UNPLANNED
) -> list[Course]:
    """The course of every metric of every experiment in a table of summaries, in order of name.

    planned: units of both arms that the always-valid test is tuned to, fixed before any data is seen. Checkpoints with
    fewer than two units in an arm, or without a variance, are counted and left out.
    """
    rows = _read(table, columns)
    keys = list(zip(_names(rows, columns), rows[columns.metric].to_pylist(), strict=True))
    places: dict[tuple[str, str], list[int]] = {}
    for place, (experiment, metric) in enumerate(keys):
        places.setdefault((experiment, str(metric)), []).append(place)
    values = {name: _numbers(rows, name) for name in (columns.time, *columns.control, *columns.treatment)}
    return [
        _course(*key, {name: column[np.asarray(found)] for name, column in values.items()}, columns, level, planned)
        for key, found in sorted(places.items())
    ]


def _read(table: Source, columns: Columns) -> pa.Table:
    numbers = dict.fromkeys((columns.time, *columns.control, *columns.treatment), "number")
    with opened({"summaries": table}) as (found,):
        check_columns(found, "summaries", {**dict.fromkeys((*columns.experiment, columns.metric), "any"), **numbers})
        wanted = found.select(*dict.fromkeys((*columns.experiment, columns.metric, *numbers)))
        return wanted.mutate(**{columns.metric: wanted[columns.metric].cast("string")}).to_pyarrow()


def _names(rows: pa.Table, columns: Columns) -> list[str]:
    parts = [map(str, rows[name].to_pylist()) for name in columns.experiment]
    return ["-".join(row) for row in zip(*parts, strict=True)]


def _numbers(rows: pa.Table, name: str) -> Array:
    return np.asarray(rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _course(
    experiment: str, metric: str, values: Mapping[str, Array], columns: Columns, level: float, planned: float
) -> Course:
    order = np.argsort(values[columns.time], kind="stable")
    arms = [np.stack([values[name][order] for name in arm]) for arm in (columns.control, columns.treatment)]
    for name, arm in zip(("control", "treatment"), arms, strict=True):
        if (arm[0] < 0).any() or (arm[2] < 0).any():
            raise ValueError(f"summaries: {experiment}, metric {metric}: units and variance of {name} must be >= 0")
    sound = np.logical_and.reduce([(arm[0] >= 2) & np.isfinite(arm).all(axis=0) for arm in arms])
    control, treatment = (_estimate(arm[:, sound]) for arm in arms)
    return Course(
        experiment=experiment,
        metric=metric,
        time=values[columns.time][order][sound],
        units=np.stack([control.n, treatment.n], axis=-1).astype(np.float64),
        fixed=welch.compare(control, treatment, level, "Welch's t"),
        always=sequential.compare(control, treatment, level, planned),
        left_out=int((~sound).sum()),
    )


def _estimate(arm: Array) -> Estimate:
    units, mean, variance = arm
    return Estimate(value=mean, variance=variance / units, n=units.astype(np.int64))


def _first(time: Array, effects: Effects) -> float:
    below = np.flatnonzero(effects.p_value < 1.0 - effects.level)
    return float(time[below[0]]) if len(below) else float("nan")


def flagged(courses: Sequence[Course]) -> tuple[int, int, int]:
    """How many courses a naive test flags while peeking, how many the always-valid one, how many there are."""
    naive = sum(not np.isnan(course.naive_flag) for course in courses)
    return naive, sum(not np.isnan(course.always_flag) for course in courses), len(courses)
