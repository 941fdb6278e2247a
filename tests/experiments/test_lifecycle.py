"""Notes, and stopping an experiment."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from experiments.home import Home
from experiments.lifecycle import NotStoppedError, stop
from experiments.notes import LONGEST, Note, Notes
from experiments.store import ExperimentStore
from tests.dashboards.worlds import decision, definition, readout

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


def test_what_is_over_cannot_be_stopped(kept: Home) -> None:
    ExperimentStore(kept).save_decision(decision("e", "ship", "treatment"))
    with pytest.raises(NotStoppedError, match="is decided already"):
        stop(kept, "e", at=NOW, by="ada", reason="x")


def test_stopping_needs_a_reason(kept: Home) -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        stop(kept, "e", at=NOW, by="ada", reason=" ")
    assert ExperimentStore(kept).definition("e").experiment.status == "running"
