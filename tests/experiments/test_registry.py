from datetime import UTC, datetime, timedelta

import pytest

from experiments.config import CHAMPION
from experiments.home import Home
from experiments.loop import Outcome
from experiments.registry import CHALLENGER, Registry

AT = datetime(2025, 3, 4, 5, 6, 7, 890, tzinfo=UTC)


def test_the_line_registers_its_incumbent_its_treatment_and_its_best(line: tuple[Home, Outcome]) -> None:
    home, outcome = line
    registry = Registry(home)
    versions = {row.variant: row.version for row in outcome.board.standings}
    assert versions == {"popularity": 1, "knn": 2, "hybrid": 3}
    assert registry.models() == ["tiny"]
    assert [registry.variant("tiny", version) for version in (1, 2, 3)] == ["popularity", "knn", "hybrid"]
    assert registry.alias("tiny", CHAMPION) == 2
    assert registry.alias("tiny", CHALLENGER) == 3
    tags = registry.client.get_model_version("tiny", "3").tags
    assert tags["bakeoff.bakeoff"] == outcome.board.run_id
    assert tags["bakeoff.revision"] == outcome.board.revision


def test_slots_say_who_serves_since_when_and_why(line: tuple[Home, Outcome]) -> None:
    home, outcome = line
    slots = Registry(home).slots("tiny")
    assert slots == outcome.slots
    assert (slots.champion, slots.challenger, slots.previous) == (2, 3, 1)
    assert slots.last == outcome.promotion
    assert slots.last is not None
    assert slots.since == slots.last.at


def test_no_model_has_no_slots(home: Home) -> None:
    registry = Registry(home)
    assert registry.models() == []
    slots = registry.slots("nothing")
    assert (slots.champion, slots.challenger, slots.previous, slots.last) == (None, None, None, None)


def test_a_run_without_the_model_cannot_be_registered(copied: Home, line: tuple[Home, Outcome]) -> None:
    run_id = line[1].board.standing("knn").run_id
    with pytest.raises(LookupError, match=f"run {run_id} has logged no model 'als'"):
        Registry(copied).register("tiny", run_id, "als", {})


def test_moves_by_hand_are_written_down(copied: Home) -> None:
    registry = Registry(copied)
    registry.client.set_registered_model_alias("tiny", CHAMPION, "3")
    registry.client.delete_registered_model_alias("tiny", CHALLENGER)
    before = len(registry.journal.events())
    at = AT + timedelta(days=1)
    registry.note_hand_made_moves("tiny", at)
    champion, challenger = registry.journal.events()[before:]
    assert (champion.change, champion.version, champion.before, champion.at) == ("by hand", 3, 2, at)
    assert (challenger.alias, challenger.version, challenger.before) == (CHALLENGER, None, 3)
    registry.note_hand_made_moves("tiny", at)
    assert len(registry.journal.events()) == before + 2
    assert registry.slots("tiny").previous == 2


def test_a_loaded_version_answers(line: tuple[Home, Outcome]) -> None:
    package = Registry(line[0]).load("tiny", 1)
    assert package.model.name == "popularity"
    assert package.recommend(["u001"], 4).items.shape == (1, 4)
