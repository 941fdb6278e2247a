"""Notes, and ramping and stopping an experiment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from abtest.assignment.assigner import Assigner
from abtest.assignment.plan import Plan
from experiments.audit import Audit
from experiments.home import Home
from experiments.lifecycle import NotRampedError, NotStoppedError, ramp, stop
from experiments.notes import LONGEST, Note, Notes
from experiments.store import ExperimentStore
from tests.dashboards.worlds import START, decision, definition, readout

NOW = datetime(2025, 1, 6, tzinfo=UTC)


@pytest.fixture
def kept(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "kept")
    ExperimentStore(home).save(definition("e"))
    return home


def test_notes_come_back_in_the_order_they_were_added(kept: Home) -> None:
    made = [Note(at=NOW, by="ada", text=text) for text in ("one", "two\nlines", "{}")]
    for note in made:
        Notes(kept).add("e", note)
    assert Notes(kept).of("e") == made


@pytest.mark.parametrize("text", ["", "  \n", "x" * (LONGEST + 1)])
def test_empty_and_endless_notes_are_refused(kept: Home, text: str) -> None:
    with pytest.raises(ValueError, match="a note"):
        Notes(kept).add("e", Note(at=NOW, by="ada", text=text))
    assert Notes(kept).of("e") == []


def test_note_on_an_unknown_experiment_is_answered_with_the_nearest(kept: Home) -> None:
    with pytest.raises(LookupError, match="unknown experiment 'f'"):
        Notes(kept).add("f", Note(at=NOW, by="ada", text="x"))


def test_stopping_keeps_the_data_and_the_reason(kept: Home) -> None:
    store = ExperimentStore(kept)
    store.save_readout(readout("e"))
    assert stop(kept, "e", at=NOW, by="ada", reason=" wrong prices ").experiment.status == "stopped"
    assert store.record("e").readout == readout("e")
    assert Notes(kept).of("e") == [Note(at=NOW, by="ada", text="Stopped: wrong prices")]
    (change,) = Audit(kept).of("e")
    assert (change.by, change.action, change.before, change.after, change.why) == (
        "ada", "stop", {"status": "running"}, {"status": "stopped"}, "wrong prices",
    )  # fmt: skip


def test_what_is_over_cannot_be_stopped(kept: Home) -> None:
    ExperimentStore(kept).save_decision(decision("e", "ship", "treatment"))
    with pytest.raises(NotStoppedError, match="is decided already"):
        stop(kept, "e", at=NOW, by="ada", reason="x")


def test_stopping_needs_a_reason(kept: Home) -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        stop(kept, "e", at=NOW, by="ada", reason=" ")
    assert ExperimentStore(kept).definition("e").experiment.status == "running"


def begin_with(home: Home, traffic: float) -> None:
    made = definition("e")
    ExperimentStore(home).save(replace(made, experiment=replace(made.experiment, traffic=traffic)))


def test_ramping_grows_the_traffic_and_notes_who_did_it(kept: Home) -> None:
    begin_with(kept, 0.1)
    ramp(kept, "e", 0.5, at=NOW, by="ada")
    assert ExperimentStore(kept).definition("e").experiment.traffic == 0.5
    assert Notes(kept).of("e") == [Note(at=NOW, by="ada", text="Ramped from 0.1 to 0.5 of the traffic.")]


def test_ramping_keeps_every_unit_in_its_variant(kept: Home) -> None:
    begin_with(kept, 0.1)
    before = ExperimentStore(kept).definition("e").experiment
    after = ramp(kept, "e", 0.6, at=NOW, by="ada").experiment
    units = [f"u{n}" for n in range(2_000)]
    during = START + timedelta(days=1)
    old, new = ({u: Assigner(Plan([e])).assign("e", u, during).variant for u in units} for e in (before, after))
    inside = [unit for unit in units if old[unit] is not None]
    assert len(inside) > 100
    assert all(new[unit] == old[unit] for unit in inside)


@pytest.mark.parametrize("traffic", [0.5, 0.2])
def test_traffic_only_grows(kept: Home, traffic: float) -> None:
    begin_with(kept, 0.5)
    with pytest.raises(NotRampedError, match="traffic only grows"):
        ramp(kept, "e", traffic, at=NOW, by="ada")
    assert Notes(kept).of("e") == []


@pytest.mark.parametrize("traffic", [0.0, -0.1, 1.01, float("nan")])
def test_traffic_is_a_share(kept: Home, traffic: float) -> None:
    with pytest.raises(ValueError, match="must be a share"):
        ramp(kept, "e", traffic, at=NOW, by="ada")


def test_what_is_over_takes_no_traffic(kept: Home) -> None:
    stop(kept, "e", at=NOW, by="ada", reason="x")
    with pytest.raises(NotRampedError, match="is stopped"):
        ramp(kept, "e", 1.0, at=NOW, by="ada")
