"""The list of experiments: records in, a frame out. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

import pandas as pd

from abtest.analysis.decide import evidence, guard
from abtest.types import Readout, Status, Verdict
from dashboards.numbers import ABSENT, count, label
from dashboards.pace_words import age
from dashboards.readable import overruled
from experiments.store import Record

VERDICT_SIGNS: dict[Verdict, str] = {"ship": "✓", "stop": "✕", "continue": "…", "invalid": "⚠"}
STATUSES: dict[Status, str] = {
    "draft": "○ draft",
    "running": "● running",
    "stopped": "■ stopped",
    "decided": "✓ decided",
    "archived": "▫ archived",
}


STALE = timedelta(days=1)
"""Without an event for so long, a running experiment's data is called old."""
ORDERS: dict[str, tuple[str | None, bool]] = {
    "newest first": (None, True),
    "least progress": ("Progress", True),
    "most progress": ("Progress", False),
    "status": ("Status", True),
    "health": ("Health", False),
    "title": ("Experiment", True),
}
"""Order -> the column sorted by and whether upwards; None: as the store gives them."""


def experiments(records: Sequence[Record], now: datetime) -> pd.DataFrame:
    """One row per experiment: what it is, how far it is, what it says so far."""
    rows = [
        {
            "Experiment": record.definition.title or record.definition.experiment.key,
            "Status": STATUSES[record.definition.experiment.status],
            "Verdict so far": verdict(record),
            "Health": health(record.readout, record.definition.experiment.status, now),
            "Days": f"{days_running(record, now)} of {record.definition.days}",
            "Units": units(record),
            "Progress": progress(record),
            "Key": record.definition.experiment.key,
            "Readout": f"readout?experiment={quote(record.definition.experiment.key)}",
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def filtered(frame: pd.DataFrame, text: str, statuses: Sequence[str]) -> pd.DataFrame:
    """The experiments whose title or key holds `text`, in one of `statuses`; all where nothing is asked."""
    texts = (frame["Experiment"] + " " + frame["Key"]).str.lower()
    found = texts.str.contains(text.strip().lower(), regex=False)
    return frame[found & frame["Status"].isin(list(statuses))] if statuses else frame[found]


def verdict(record: Record) -> str:
    """The verdict as sign and word, with the winner where there is one."""
    decision = record.decision
    if decision is None:
        return f"{ABSENT} none yet"
    if record.readout is not None and overruled(record.readout, decision):
        return "⚠ no longer holds"
    return f"{VERDICT_SIGNS[decision.verdict]} {decision.verdict}" + (f" {decision.winner}" if decision.winner else "")


def health(readout: Readout | None, status: Status, now: datetime) -> str:
    """What should worry a reader, the gravest first: validity, broken guardrails, stale data, warnings."""
    if readout is None:
        return f"{ABSENT} no data yet"
    if readout.srm.alarm:
        return "⚠ sample ratio"
    fatal = [check.name for check in readout.checks if check.fatal]
    if fatal:
        return f"⚠ {fatal[0]}"
    guards = [c for c in evidence(readout) if c.metric.role == "guardrail" and math.isfinite(c.effect.absolute)]
    broken = [label(c.metric.name) for c in guards if guard(c) == "broken"]
    if broken:
        return f"✕ guardrail {broken[0]}"
    if status == "running" and (readout.last is None or now - readout.last > STALE):
        return f"⚠ data {age(now - readout.last)} old" if readout.last else "⚠ no events"
    n = len(readout.warnings)
    return f"⚠ {n} warning{'s' * (n > 1)}" if n else "✓ fine"


def ordered(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """The list in one of the orders of ORDERS; equals stay newest first."""
    column, ascending = ORDERS[by]
    if column is None:
        return frame
    return frame.sort_values(column, ascending=ascending, kind="stable", na_position="last")


def days_running(record: Record, now: datetime) -> int:
    """Calendar days with data; before the first readout, the days since the start."""
    readout, experiment = record.readout, record.definition.experiment
    if readout is not None and readout.first and readout.last:
        return (readout.last.date() - readout.first.date()).days + 1
    if experiment.starts is None or experiment.status == "draft":
        return 0
    return max(0, (min(now, experiment.ends or now) - experiment.starts).days)


def units(record: Record) -> str:
    """Exposed units, and how many were planned."""
    planned = planned_units(record)
    seen = count(sum(arm.units for arm in record.readout.arms)) if record.readout else ABSENT
    return f"{seen} of {count(planned)}" if planned else seen


def progress(record: Record) -> float | None:
    """Exposed units in percent of the planned ones, at most 100; None where no number was planned."""
    planned = planned_units(record)
    if not planned:
        return None
    seen = sum(arm.units for arm in record.readout.arms) if record.readout else 0
    return min(100.0, 100 * seen / planned)


def planned_units(record: Record) -> int | None:
    """The sample that was planned."""
    return record.definition.experiment.planned_units or (record.readout.planned_units if record.readout else None)
