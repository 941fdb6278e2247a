"""Units and slates by day, kept beside the readout that they belong to: a page must not count a million units."""

from dataclasses import dataclass
from datetime import datetime

from abtest.analysis.traffic import DayCount, by_day
from abtest.events import lake
from bakeoff import durable
from bakeoff.records import from_json, to_json
from experiments.home import Home
from experiments.store import ExperimentStore


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """The counts behind the readout of one moment."""

    as_of: datetime
    days: tuple[DayCount, ...]


def save(home: Home, experiment: str, found: Arrivals) -> None:
    """Keep the counts of the latest readout."""
    path = home.experiments / experiment / "arrivals.json"
    durable.write_bytes(path, to_json(Arrivals, found, indent=None).encode())


def load(home: Home, experiment: str, as_of: datetime) -> tuple[DayCount, ...]:
    """The counts of the readout made at `as_of`: as kept, else counted in the lake; none where it has no slates."""
    path = home.experiments / experiment / "arrivals.json"
    if path.exists():
        try:
            kept = from_json(Arrivals, path.read_bytes())
        except ValueError:
            raise ValueError(f"{path} is damaged; `bakeoff analyse {experiment}` writes it anew") from None
        if kept.as_of == as_of:
            return kept.days
    if not lake.files(home.lake, "exposures"):
        return ()
    return by_day(ExperimentStore(home).definition(experiment).experiment, home.lake / "exposures", as_of=as_of)
