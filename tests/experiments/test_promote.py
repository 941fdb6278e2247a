from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from abtest.types import Decision, Verdict
from experiments.config import CHAMPION
from experiments.home import Home
from experiments.loop import Outcome
from experiments.promote import NotPromotedError, promote, rollback
from experiments.registry import CHALLENGER, Registry
from experiments.store import Definition

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def registry(copied: Home) -> Registry:
    """Versions 1 to 3; 2 is champion by a promotion over 1, 3 is challenger."""
    return Registry(copied)


@pytest.fixture
def definition(line: tuple[Home, Outcome]) -> Definition:
    """An experiment of the challenger, version 3, against the champion, version 2."""
    made = line[1].definition
    assert made is not None
    control, treatment = made.experiment.variants
    variants = (
        replace(control, name="knn", payload={"model": "tiny", "version": 2}),
        replace(treatment, name="hybrid", payload={"model": "tiny", "version": 3}),
    )
    return replace(made, experiment=replace(made.experiment, key="tiny-v3-vs-v2", variants=variants))


@pytest.fixture
def shipped(line: tuple[Home, Outcome]) -> Decision:
    decision = line[1].decision
    assert decision is not None
    return replace(decision, experiment="tiny-v3-vs-v2", verdict="ship", winner="hybrid", reasons=("Clicks rose.",))


def test_the_winner_becomes_champion_and_is_challenger_no_more(
    registry: Registry, definition: Definition, shipped: Decision
) -> None:
    event = promote(definition, shipped, registry, at=AT, by="ann")
    slots = registry.slots("tiny")
    assert (slots.champion, slots.challenger, slots.previous) == (3, None, 2)
    assert slots.last == event
    assert (event.version, event.before, event.experiment, event.by) == (3, 2, "tiny-v3-vs-v2", "ann")
    assert event.reasons == ("Clicks rose.",)
    freed = registry.journal.events("tiny")[-1]
    assert (freed.alias, freed.version, freed.before) == (CHALLENGER, None, 3)


def test_the_decision_stands_on_the_version_as_tags(
    registry: Registry, definition: Definition, shipped: Decision
) -> None:
    promote(definition, shipped, registry, at=AT, by="ann")
    tags = registry.client.get_model_version("tiny", "3").tags
    assert tags["bakeoff.experiment"] == "tiny-v3-vs-v2"
    assert tags["bakeoff.verdict"] == "ship"
    assert tags["bakeoff.reasons"] == "Clicks rose."
    assert tags["bakeoff.promoted"] == AT.isoformat()
    assert tags["bakeoff.promoted_by"] == "ann"


def test_without_a_decision_nothing_moves(registry: Registry, definition: Definition) -> None:
    with pytest.raises(NotPromotedError, match="has no decision yet; run `bakeoff decide tiny-v3-vs-v2` first"):
        promote(definition, None, registry, at=AT, by="ann")


@pytest.mark.parametrize("verdict", ["stop", "continue", "invalid"])
def test_only_ship_ships(registry: Registry, definition: Definition, shipped: Decision, verdict: Verdict) -> None:
    before, lines = registry.slots("tiny"), registry.journal.events()
    refused = replace(shipped, verdict=verdict, reasons=("Because.",))
    with pytest.raises(NotPromotedError, match=f"is {verdict}, not ship: Because"):
        promote(definition, refused, registry, at=AT, by="ann")
    assert registry.slots("tiny") == before
    assert registry.journal.events() == lines
    assert "bakeoff.verdict" not in registry.client.get_model_version("tiny", "3").tags


def test_a_ship_without_a_winner_is_refused(registry: Registry, definition: Definition, shipped: Decision) -> None:
    with pytest.raises(NotPromotedError):
        promote(definition, replace(shipped, winner=None), registry, at=AT, by="ann")


def test_a_champion_is_not_promoted_again(registry: Registry, definition: Definition, shipped: Decision) -> None:
    promote(definition, shipped, registry, at=AT, by="ann")
    with pytest.raises(NotPromotedError, match="version 3 of 'tiny' is champion already"):
        promote(definition, shipped, registry, at=AT, by="ann")


def test_a_test_against_a_former_champion_promotes_nobody(
    registry: Registry, definition: Definition, shipped: Decision
) -> None:
    registry.client.set_registered_model_alias("tiny", CHAMPION, "1")
    with pytest.raises(
        NotPromotedError, match="was tested against version 2, but the champion of 'tiny' is now version 1"
    ):
        promote(definition, shipped, registry, at=AT, by="ann")
    assert registry.journal.events("tiny")[-1].change == "by hand"


def test_where_nobody_is_champion_the_winner_becomes_it(
    registry: Registry, definition: Definition, shipped: Decision
) -> None:
    registry.client.delete_registered_model_alias("tiny", CHAMPION)
    promote(definition, shipped, registry, at=AT, by="ann")
    assert registry.slots("tiny").champion == 3


def test_a_rollback_restores_the_one_before(registry: Registry, definition: Definition, shipped: Decision) -> None:
    before = registry.slots("tiny")
    promote(definition, shipped, registry, at=AT, by="ann")
    event = rollback("tiny", registry, at=AT + timedelta(hours=1), by="bob", reason="clicks fell")
    slots = registry.slots("tiny")
    assert (slots.champion, slots.previous) == (before.champion, before.previous)
    assert (event.change, event.version, event.before, event.by) == ("rollback", 2, 3, "bob")
    assert event.reasons == ("clicks fell",)
    assert event.experiment == "tiny-v3-vs-v2"
    tags = registry.client.get_model_version("tiny", "3").tags
    assert tags["bakeoff.rolled_back_by"] == "bob"


def test_two_rollbacks_go_two_steps_back_and_a_third_is_refused(
    registry: Registry, definition: Definition, shipped: Decision
) -> None:
    promote(definition, shipped, registry, at=AT, by="ann")
    assert rollback("tiny", registry, at=AT, by="bob").version == 2
    assert rollback("tiny", registry, at=AT, by="bob").version == 1
    with pytest.raises(NotPromotedError, match="version 1 is the first champion of 'tiny'"):
        rollback("tiny", registry, at=AT, by="bob")


def test_what_was_rolled_back_can_be_promoted_again(
    registry: Registry, definition: Definition, shipped: Decision
) -> None:
    promote(definition, shipped, registry, at=AT, by="ann")
    rollback("tiny", registry, at=AT, by="bob")
    promote(definition, shipped, registry, at=AT, by="ann")
    assert registry.slots("tiny").champion == 3


def test_after_a_move_by_hand_a_rollback_restores_what_stood_before_it(registry: Registry) -> None:
    registry.client.set_registered_model_alias("tiny", CHAMPION, "3")
    assert rollback("tiny", registry, at=AT, by="bob").version == 2


def test_without_a_champion_there_is_nothing_to_roll_back(registry: Registry) -> None:
    registry.client.delete_registered_model_alias("tiny", CHAMPION)
    with pytest.raises(NotPromotedError, match="'tiny' has no champion, so there is nothing to roll back"):
        rollback("tiny", registry, at=AT, by="bob")


def test_an_unknown_model_is_answered_with_the_nearest(registry: Registry) -> None:
    with pytest.raises(LookupError, match=r"unknown registered model 'tny'; did you mean 'tiny'\?"):
        rollback("tny", registry, at=AT, by="bob")


def test_a_move_that_did_not_happen_is_healed(registry: Registry, definition: Definition, shipped: Decision) -> None:
    """Killed between the line of the journal and the alias: the line is there, the champion is the old one."""
    promoted = promote(definition, shipped, registry, at=AT, by="ann")
    registry.client.set_registered_model_alias("tiny", CHAMPION, "2")
    assert registry.slots("tiny").last != promoted
    assert rollback("tiny", registry, at=AT, by="bob").version == 1
