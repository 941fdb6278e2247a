"""What a plan can be made from: a past experiment by its key, or a file that names the table of one run elsewhere."""

from datetime import UTC, datetime
from pathlib import Path

from abtest.analysis.traffic import by_day, cumulative_units
from abtest.events import lake
from abtest.statistics.planning import Looks
from bakeoff.catalogue import check_name
from experiments import analyses, plans
from experiments.home import Home
from experiments.plans import Past
from experiments.store import ExperimentStore

LOOKS: dict[str, Looks] = {"once": "once", "planned": "planned", "any": "any time"}


def of_experiment(home: Home, key: str) -> tuple[Past, ...]:
    """The metrics of an experiment in the store, with its units by day as far as the lake holds them."""
    record = ExperimentStore(home).record(key)
    if record.readout is None:
        raise ValueError(f"{key} has not been read yet: bakeoff analyse {key}")
    counts = (
        by_day(record.definition.experiment, home.lake / "exposures", as_of=record.readout.as_of)
        if lake.files(home.lake, "exposures")
        else ()
    )
    return plans.pasts(record, cumulative_units(counts))


def of_file(path: Path) -> tuple[Past, ...]:
    """The metrics of a table of units; it has no days."""
    found = analyses.run(path, datetime.now(UTC))
    if isinstance(found, analyses.Courses):
        raise ValueError(f"{path}: a plan needs a table of units (`table:`), not of summaries")
    return plans.of_readout(found.readout, found.metrics)


def chosen(found: tuple[Past, ...], metric: str | None) -> tuple[Past, ...]:
    """All of them, or the one that is named."""
    known = {past.metric.name: past for past in found}
    if not known:
        raise ValueError("no metric has a value and a spread to plan from")
    return found if metric is None else (known[check_name(known, metric, "metric")],)


def shares_of(text: str) -> tuple[float, ...]:
    """The shares that a text such as 2:1:1 names, control first."""
    try:
        found = tuple(float(part) for part in text.split(":"))
    except ValueError:
        found = ()
    if len(found) < 2 or not all(0 < part < float("inf") for part in found):
        raise ValueError(f"shares must be two numbers above 0 or more, as in 50:50 or 2:1:1, got {text!r}")
    return found


def looks_of(text: str) -> Looks:
    """When the test is read: once, planned or any."""
    return LOOKS[check_name(LOOKS, text, "looks")]
