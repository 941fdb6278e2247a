from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from abtest.events import lake
from abtest.events.sqlite import SQLiteLog
from abtest.types import Readout
from bakeoff.records import to_json
from experiments import loop
from experiments.board import Leaderboard
from experiments.config import CHAMPION, BakeoffConfig
from experiments.home import Home
from experiments.loop import Outcome
from experiments.promote import promote, rollback
from experiments.registry import Registry
from experiments.store import ExperimentStore
from recsys.data.sources.loaded import Loaded
from tests.experiments.trees import tree

Line = tuple[Home, Outcome]


def changed(**experiment: object) -> BakeoffConfig:
    """The tiny line with another experiment."""
    return BakeoffConfig.model_validate(tree(experiment={**tree()["experiment"], **experiment}))


def numbers(readout: Readout) -> list[float]:
    """The effects of a readout; DuckDB adds up in any order, so the last digits may differ."""
    return [value for c in readout.effects for value in (c.effect.control, c.effect.absolute, *c.effect.ci)]


def test_the_line_ends_in_a_decision_and_a_promotion(line: Line) -> None:
    _, outcome = line
    assert outcome.decision is not None
    assert outcome.decision.verdict == "ship"
    assert outcome.decision.winner == "knn"
    assert outcome.decision.reasons
    assert outcome.promotion is not None
    assert (outcome.promotion.version, outcome.promotion.before) == (2, 1)
    assert outcome.slots.champion == 2
    assert outcome.note == ""


def test_every_station_leaves_its_trace_in_the_home(line: Line) -> None:
    home, outcome = line
    assert sorted(path.name for path in home.root.iterdir() if "-" not in path.name) == [
        "artifacts",
        "events.sqlite",
        "experiments",
        "lake",
        "mlflow.db",
        "promotions.jsonl",
        "studies",
    ]
    record = ExperimentStore(home).record("tiny-v2-vs-v1")
    assert outcome.definition is not None
    decided = replace(outcome.definition.experiment, status="decided")
    assert record.definition == replace(outcome.definition, experiment=decided)
    assert record.decision == outcome.decision
    assert record.readout is not None


def test_the_experiment_compares_registered_versions_after_the_log(line: Line, loaded: Loaded) -> None:
    definition = line[1].definition
    assert definition is not None
    control, treatment = definition.experiment.variants
    assert (control.name, dict(control.payload)) == ("popularity", {"model": "tiny", "version": 1})
    assert (treatment.name, dict(treatment.payload)) == ("knn", {"model": "tiny", "version": 2})
    assert control.weight == treatment.weight == 0.5
    assert definition.experiment.starts == datetime(2025, 2, 15, tzinfo=UTC)  # 40 days from the 6th of January
    assert definition.experiment.ends == definition.experiment.starts + timedelta(days=10)
    assert loop.first_moment(loaded) == definition.experiment.starts


def test_the_readout_counts_what_is_in_the_event_log(line: Line) -> None:
    home, outcome = line
    assert outcome.readout is not None
    with SQLiteLog(home.events) as log:
        exposures = log.exposures("tiny-v2-vs-v1").to_pylist()
        days = log.days("exposures")
    assert lake.days(home.lake, "exposures") == days
    for arm in outcome.readout.arms:
        rows = [row for row in exposures if row["variant"] == arm.variant]
        assert arm.exposures == len(rows)
        assert arm.units == len({row["unit"] for row in rows})
    assert len(days) == 10
    assert all(len(row["items"]) == 10 for row in exposures)


def test_reading_again_gives_the_same_readout(line: Line, copied: Home) -> None:
    _, outcome = line
    assert outcome.definition is not None
    assert outcome.readout is not None
    again = loop.read(outcome.definition, copied, as_of=outcome.readout.as_of)
    assert (again.arms, again.srm, again.warnings) == (
        outcome.readout.arms,
        outcome.readout.srm,
        outcome.readout.warnings,
    )
    assert numbers(again) == pytest.approx(numbers(outcome.readout))


def test_the_same_line_in_another_home_comes_to_the_same(home: Home, config: BakeoffConfig, line: Line) -> None:
    _, first = line
    again = loop.run(config, home, by="tests")
    for row, same in zip(first.board.standings, again.board.standings, strict=True):
        assert (row.variant, row.params, row.version) == (same.variant, same.params, same.version)
        assert row.cells["ndcg_10"] == same.cells["ndcg_10"]
    assert first.readout is not None
    assert again.readout is not None
    assert again.readout.arms == first.readout.arms
    assert numbers(again.readout) == pytest.approx(numbers(first.readout))
    assert again.decision is not None
    assert again.decision.verdict == "ship"


def test_a_second_run_finds_the_winner_serving_already(copied: Home, config: BakeoffConfig, line: Line) -> None:
    lines = copied.promotions.read_text()
    said: list[str] = []
    again = loop.run(config, copied, by="tests", progress=lambda what, *_: said.append(what))
    assert again.note == "Version 2 of 'tiny' is champion already: there is nothing new to test."
    assert again.decision == line[1].decision
    assert again.promotion is None
    assert to_json(Leaderboard, again.board) == to_json(Leaderboard, line[1].board)
    assert not [what for what in said if what.startswith(("tune", "simulate"))]
    assert copied.promotions.read_text() == lines


def test_a_winner_whose_experiment_was_deleted_is_still_champion(copied: Home, config: BakeoffConfig) -> None:
    (copied.experiments / "tiny-v2-vs-v1" / "definition.json").unlink()
    again = loop.run(config, copied, by="tests")
    assert "champion already" in again.note
    assert again.decision is None


def test_after_a_rollback_the_undone_experiment_is_not_shown_as_the_reason(copied: Home) -> None:
    rollback("tiny", Registry(copied), at=loop.now(), by="tests")
    again = loop.run(changed(treatment="popularity"), copied, by="tests")
    assert again.note == "Version 1 of 'tiny' is champion already: there is nothing new to test."
    assert again.definition is None


def test_the_next_challenger_is_tested_against_the_new_champion(copied: Home) -> None:
    outcome = loop.run(changed(treatment="hybrid"), copied, by="tests")
    assert outcome.definition is not None
    assert outcome.definition.experiment.key == "tiny-v3-vs-v2"
    assert [v.name for v in outcome.definition.experiment.variants] == ["knn", "hybrid"]
    assert outcome.slots.champion in (2, 3)


def test_without_leave_to_promote_nothing_moves(copied: Home) -> None:
    outcome = loop.run(changed(treatment="hybrid", promote=False), copied, by="tests")
    assert outcome.decision is not None
    assert outcome.promotion is None
    assert outcome.slots.champion == 2


def test_a_verdict_that_is_not_ship_is_noted(copied: Home) -> None:
    strict = {"alpha": 0.05, "min_days": 1, "min_units": 10_000}
    outcome = loop.run(changed(treatment="hybrid", decision=strict), copied, by="tests")
    assert outcome.decision is not None
    assert outcome.decision.verdict == "continue"
    assert outcome.note.startswith("Not promoted: the verdict on 'tiny-v3-vs-v2' is continue, not ship:")
    assert ExperimentStore(copied).definition("tiny-v3-vs-v2").experiment.status == "running"


def test_a_test_of_two_named_variants_does_not_need_the_champion(copied: Home, line: Line) -> None:
    outcome = loop.run(changed(control="popularity", treatment="hybrid"), copied, by="tests")
    assert outcome.definition is not None
    assert outcome.definition.experiment.key == "tiny-v3-vs-v1"
    assert outcome.slots.champion == 2  # knn serves, and was not in the test
    assert outcome.decision is not None
    if outcome.decision.verdict == "ship":
        assert "was tested against version 1" in outcome.note


def test_more_days_go_on_with_the_same_experiment(
    copied: Home, config: BakeoffConfig, line: Line, loaded: Loaded
) -> None:
    board = line[1].board
    longer = changed(control="popularity", days=12)
    assert longer.experiment is not None
    definition = loop.design(longer, longer.experiment, board, loaded, copied)
    assert definition.experiment.key == "tiny-v2-vs-v1"
    loop.send_traffic(definition, longer, loaded, copied)
    with SQLiteLog(copied.events) as log:
        assert len(log.days("exposures")) == 12
    readout = loop.read(definition, copied)
    assert line[1].readout is not None
    assert sum(arm.exposures for arm in readout.arms) > sum(arm.exposures for arm in line[1].readout.arms)


@pytest.mark.parametrize("other", [{"k": 5}, {"traffic": 0.5}, {"world": {"response": "fitted"}}])
def test_other_traffic_on_the_same_versions_is_another_experiment(
    copied: Home, line: Line, loaded: Loaded, other: dict[str, object]
) -> None:
    """Its events would mix with those of the first, which were made in another way."""
    board = line[1].board
    for _ in range(2):
        config = changed(control="popularity", **other)
        assert config.experiment is not None
        definition = loop.design(config, config.experiment, board, loaded, copied)
        assert definition.experiment.key == "tiny-v2-vs-v1-2"
    assert ExperimentStore(copied).definition("tiny-v2-vs-v1").experiment.status == "decided"


def test_a_variant_without_a_version_says_what_to_run(copied: Home, line: Line, loaded: Loaded) -> None:
    board = line[1].board
    bare = replace(board, standings=tuple(replace(row, version=None) for row in board.standings))
    config = changed(control="popularity", treatment="hybrid")
    assert config.experiment is not None
    with pytest.raises(ValueError, match="'popularity' of 'tiny' has no version; run `bakeoff train`"):
        loop.design(config, config.experiment, bare, loaded, copied)


def test_an_older_version_of_the_same_variant_is_called_champion(copied: Home, line: Line, loaded: Loaded) -> None:
    board = line[1].board
    rows = tuple(replace(row, version=7) if row.variant == "knn" else row for row in board.standings)
    config = changed()
    assert config.experiment is not None
    definition = loop.design(config, config.experiment, replace(board, standings=rows), loaded, copied)
    assert [v.name for v in definition.experiment.variants] == [CHAMPION, "knn"]
    assert definition.experiment.key == "tiny-v7-vs-v2"


def test_promote_and_roll_back_by_hand_after_the_line(copied: Home, line: Line) -> None:
    registry, definition, decision = Registry(copied), line[1].definition, line[1].decision
    assert definition is not None
    rollback("tiny", registry, at=loop.now(), by="tests")
    assert registry.slots("tiny").champion == 1
    promote(definition, decision, registry, at=loop.now(), by="tests")
    assert registry.slots("tiny").champion == 2
