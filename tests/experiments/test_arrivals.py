"""Units and slates by day, kept beside their readout."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from abtest.analysis.traffic import DayCount
from abtest.events import lake
from abtest.events.memory import MemoryLog
from abtest.types import Exposure
from experiments import arrivals
from experiments.arrivals import Arrivals
from experiments.home import Home
from experiments.store import ExperimentStore
from tests.dashboards.worlds import START, definition

DAY = DayCount(day=date(2024, 3, 4), variant="control", units=3, exposures=5)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path)
    ExperimentStore(made).save(definition("e"))
    return made


def test_counts_come_back_as_they_were_kept(home: Home) -> None:
    arrivals.save(home, "e", Arrivals(as_of=START, days=(DAY,)))
    assert arrivals.load(home, "e", START) == (DAY,)


def test_counts_of_another_readout_are_counted_anew_in_the_lake(home: Home) -> None:
    arrivals.save(home, "e", Arrivals(as_of=START, days=(DAY,)))
    log = MemoryLog()
    log.append([Exposure(id="x", unit="u", experiment="e", variant="control", at=START, items=("a",))])
    lake.export(log, home.lake)
    (found,) = arrivals.load(home, "e", START + timedelta(days=1))
    assert (found.units, found.exposures) == (1, 1)


def test_without_counts_and_without_a_lake_there_is_nothing_to_show(home: Home) -> None:
    assert arrivals.load(home, "e", START) == ()


def test_damaged_counts_name_the_cure(home: Home) -> None:
    (home.experiments / "e" / "arrivals.json").write_text("[")
    with pytest.raises(ValueError, match=r"arrivals\.json is damaged; `bakeoff analyse e`"):
        arrivals.load(home, "e", START)
