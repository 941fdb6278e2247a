import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow.entities import Run

from bakeoff.records import to_json
from experiments import loop, tracking, train
from experiments.board import Leaderboard
from experiments.config import BakeoffConfig
from experiments.home import Home
from experiments.loop import Outcome
from experiments.registry import Registry
from experiments.tracking import KIND, QUESTION, Tracker
from recsys.data.queries import Queries
from recsys.data.sources.loaded import Loaded
from recsys.data.split import Split
from recsys.evaluate import evaluate
from recsys.models.base import create
from recsys.models.popularity import Popularity
from recsys.recommend import recommend
from tests.experiments.trees import tree

Line = tuple[Home, Outcome]


@pytest.fixture
def runs(line: Line) -> list[Run]:
    client = Tracker(line[0]).client
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def of_kind(runs: list[Run], kind: str) -> list[Run]:
    return [run for run in runs if run.data.tags[KIND] == kind]


def artifact(home: Home, run_id: str, path: str) -> Path:
    return home.artifacts / "tiny" / run_id / "artifacts" / path


# --- what MLflow keeps ---


def test_one_run_for_the_bake_off_one_per_variant_one_per_trial(line: Line, runs: list[Run]) -> None:
    (parent,) = of_kind(runs, "bakeoff")
    variants = of_kind(runs, "variant")
    assert parent.info.run_id == line[1].board.run_id
    assert sorted(run.info.run_name for run in variants) == ["hybrid", "knn", "popularity"]
    assert {run.data.tags["mlflow.parentRunId"] for run in variants} == {parent.info.run_id}
    ids = {run.info.run_name: run.info.run_id for run in variants}
    trials = of_kind(runs, "trial")
    assert len(trials) == 12
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {ids["knn"], ids["hybrid"]}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {row.run_id for row in line[1].board.standings} == set(ids.values())


def test_the_bake_off_says_what_ran_on_what(line: Line, runs: list[Run], loaded: Loaded, config: BakeoffConfig) -> None:
    (parent,) = of_kind(runs, "bakeoff")
    params, tags = parent.data.params, parent.data.tags
    assert params["seed"] == "5"
    assert params["metric"] == "ndcg_10"
    assert params["variants"] == "popularity, knn, hybrid"
    assert tags["bakeoff.fingerprint"] == loaded.dataset.fingerprint
    assert tags["bakeoff.version"]
    assert tags["bakeoff.revision"] == tracking.revision()
    assert tags[QUESTION] == train.question(config, loaded.dataset)
    assert tags["best"] == line[1].board.best.variant
    assert parent.inputs is not None
    assert parent.inputs.dataset_inputs[0].dataset.digest == loaded.dataset.fingerprint
    kept = json.loads(artifact(line[0], parent.info.run_id, "config.json").read_text())
    assert BakeoffConfig.model_validate(kept) == config


def test_a_variant_has_its_parameters_and_its_metrics_at_every_k(line: Line, runs: list[Run]) -> None:
    for run in of_kind(runs, "variant"):
        row = line[1].board.standing(run.info.run_name)
        assert run.data.params["model"] == row.model
        for name, value in row.params.items():
            assert run.data.params[name] == str(value)
        for name in ("ndcg_5", "ndcg_10", "recall_5", "coverage_10", "novelty_10"):
            assert run.data.metrics[name] == pytest.approx(row.cells[name].mean)
        assert run.data.metrics["ndcg_10_low"] <= run.data.metrics["ndcg_10"] <= run.data.metrics["ndcg_10_high"]
        for part in row.slices:
            of_part = f"slices/{part.name.replace(' ', '_')}/ndcg_10"
            assert run.data.metrics[f"{of_part}_n"] == part.n
            assert run.data.metrics.get(of_part) == (pytest.approx(part.mean) if part.n else None)
        assert "coverage_10_low" not in run.data.metrics  # it has no interval


def test_a_trial_has_its_parameters_and_its_value(runs: list[Run]) -> None:
    trials = [run for run in of_kind(runs, "trial") if run.info.run_name.startswith("knn")]
    assert {run.info.run_name for run in trials} == {f"knn trial {n}" for n in range(6)}
    assert all(set(run.data.params) == {"neighbours", "shrink"} for run in trials)
    best = max(run.data.metrics["value"] for run in trials)
    (variant,) = (run for run in of_kind(runs, "variant") if run.info.run_name == "knn")
    assert variant.data.metrics["validation"] == best


@pytest.mark.parametrize(
    ("of", "path"),
    [
        ("bakeoff", "leaderboard.json"),
        ("bakeoff", "config.json"),
        ("bakeoff", "plots/metric_by_k.png"),
        ("bakeoff", "plots/accuracy_against_diversity.png"),
        ("bakeoff", "plots/accuracy_against_novelty.png"),
        ("bakeoff", "plots/popularity_of_lists.png"),
        ("knn", "scorecard.parquet"),
        ("knn", "trials.csv"),
        ("knn", "plots/search_history.png"),
        ("knn", "plots/parameter_importance.png"),
        ("popularity", "scorecard.parquet"),
    ],
)
def test_what_people_look_at_is_kept(line: Line, of: str, path: str) -> None:
    home, outcome = line
    run_id = outcome.board.run_id if of == "bakeoff" else outcome.board.standing(of).run_id
    content = artifact(home, run_id, path).read_bytes()
    if path.endswith(".png"):
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5_000
    assert content


def test_the_scorecard_holds_the_values_behind_the_means(line: Line) -> None:
    home, outcome = line
    row = outcome.board.standing("knn")
    table = pq.read_table(artifact(home, row.run_id, "scorecard.parquet"))
    assert table.num_rows == outcome.board.users
    values = table.column("ndcg_10").to_pylist()
    assert sum(values) / len(values) == pytest.approx(row.cells["ndcg_10"].mean)


def test_the_table_of_trials_has_them_all(line: Line) -> None:
    home, outcome = line
    text = artifact(home, outcome.board.standing("knn").run_id, "trials.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["number"] for row in rows] == [str(n) for n in range(6)]
    assert {row["state"] for row in rows} == {"COMPLETE"}


# --- the numbers themselves ---


def test_the_board_is_of_the_refit_judged_once_on_the_test_part(line: Line, split: Split) -> None:
    board = line[1].board
    assert board.split.endswith("judged on test")
    seen = split.refit()
    for row in board.standings:
        model = create(row.model, **row.params).fit(seen)
        card = evaluate(model, seen, split.test, ks=(5, 10), fallback=Popularity().fit(seen))
        assert card.mean("ndcg_10") == pytest.approx(row.cells["ndcg_10"].mean)
        assert card.mean("coverage_5") == pytest.approx(row.cells["coverage_5"].mean)


def test_the_best_stands_first_and_the_others_are_compared_with_it(line: Line) -> None:
    board = line[1].board
    means = [row.cells["ndcg_10"].mean for row in board.standings]
    assert means == sorted(means, reverse=True)
    assert board.best.rival is None
    for row in board.standings[1:]:
        assert row.rival is not None
        assert row.rival.difference == pytest.approx(row.cells["ndcg_10"].mean - means[0])
        assert row.rival.low <= row.rival.difference <= row.rival.high
        assert 0 < row.rival.p_value <= 1
        assert row.rival.share_better + row.rival.share_worse <= 1


def test_the_test_part_is_looked_at_only_once(
    config: BakeoffConfig, loaded: Loaded, home: Home, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look goes through Split.test: it is counted, on the real data."""
    looks: list[str] = []

    class Counted(Split):
        def __getattribute__(self, name: str) -> Any:
            if name == "test":
                looks.append(name)
            return super().__getattribute__(name)

    counted = Counted(**{name: getattr(split, name) for name in Split.__dataclass_fields__})
    looks.clear()
    train.tune_all(config, counted, home)
    train.validate_all(config, counted, home)
    assert looks == []
    train.bake_off(config, loaded.dataset, counted, home)
    assert looks == ["test"]


def test_validation_ranks_without_logging_anything(
    config: BakeoffConfig, split: Split, line: Line, copied: Home
) -> None:
    before = len(Tracker(copied).client.search_runs(["1"]))
    board = train.validate_all(config, split, copied)
    assert board.split.endswith("judged on validation")
    assert board.run_id == ""
    assert len(Tracker(copied).client.search_runs(["1"])) == before > 0
    assert {row.variant for row in board.standings} == {"popularity", "knn", "hybrid"}
    tuned = train.tune_all(config, split, copied)
    assert board.standing("knn").cells["ndcg_10"].mean == pytest.approx(tuned["knn"].value)


# --- again, and otherwise ---


def test_the_same_question_is_not_asked_again(copied: Home, config: BakeoffConfig, loaded: Loaded, line: Line) -> None:
    def nobody(*_: object) -> Leaderboard:
        raise AssertionError("a finished bake-off was run again")

    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "bake_off", nobody)
        again = loop.train(config, loaded, copied, lambda what, *_: said.append(what))
    assert to_json(Leaderboard, again) == to_json(Leaderboard, line[1].board)
    assert any("still stands" in what for what in said)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"tuning": {"trials": 6, "batch": 3, "workers": 2}}, True),
        ({"experiment": None}, True),
        ({"seed": 6}, False),
        ({"tuning": {"trials": 7, "batch": 3, "workers": 1}}, False),
        ({"variants": {"popularity": {"model": "popularity"}}, "experiment": None}, False),
        ({"evaluation": {"ks": [5, 10], "metric": "recall"}}, False),
        ({"split": {"method": "leave_last_out"}}, False),
        ({"fallback": {"params": {"window_days": 7}}}, False),
    ],
)
def test_only_what_changes_the_numbers_makes_another_question(
    config: BakeoffConfig, loaded: Loaded, changes: dict[str, Any], same: bool
) -> None:
    other = BakeoffConfig.model_validate(tree(**changes))
    assert (train.question(other, loaded.dataset) == train.question(config, loaded.dataset)) is same


def test_other_data_and_other_code_are_other_questions(
    config: BakeoffConfig, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = train.question(config, loaded.dataset)
    rows = loaded.dataset.interactions
    fewer = loaded.dataset.keep(rows.where(rows.time < rows.time[-1]))
    assert train.question(config, fewer) != asked
    monkeypatch.setattr(train, "code", lambda: "changed")
    assert train.question(config, loaded.dataset) != asked


def test_registering_twice_changes_nothing(copied: Home, config: BakeoffConfig, line: Line) -> None:
    board = line[1].board
    lines = copied.promotions.read_text()
    again = train.register(config, board, copied, at=board.at)
    assert again is board
    assert copied.promotions.read_text() == lines
    assert len(Tracker(copied).client.search_model_versions("name='tiny'")) == 3


def test_a_bake_off_that_broke_before_its_registration_is_registered_later(
    copied: Home, config: BakeoffConfig, loaded: Loaded, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tuple(replace(row, version=None) for row in line[1].board.standings)
    monkeypatch.setattr(loop, "finished", lambda *_: replace(line[1].board, standings=rows))
    monkeypatch.setattr(train, "save_leaderboard", lambda *_: None)  # the artifacts are those of the line
    board = loop.train(config, loaded, copied)
    assert board.standing("knn").version == 4
    assert board.standing("popularity").version is None  # there is a champion, so nobody needs it
    assert board.best.version == 5


def test_without_an_experiment_the_best_is_champion_at_once(home: Home) -> None:
    variants = {"popularity": {"model": "popularity"}, "knn": {"model": "item_knn"}}
    config = BakeoffConfig.model_validate(tree(name="solo", variants=variants, experiment=None))
    outcome = loop.run(config, home, by="tests")
    assert outcome.decision is None
    assert outcome.slots.champion == outcome.board.best.version == 1
    assert outcome.slots.challenger is None
    assert [row.version for row in outcome.board.standings[1:]] == [None]
    assert math.isnan(Tracker(home).client.get_run(outcome.board.best.run_id).data.metrics.get("validation", math.nan))


def test_newcomers_get_what_the_configuration_says(home: Home, loaded: Loaded, split: Split) -> None:
    recent = {"model": "popularity", "params": {"window_days": 5}}
    variants = {"knn": {"model": "item_knn"}}
    config = BakeoffConfig.model_validate(tree(variants=variants, experiment=None, fallback=recent))
    board = loop.train(config, loaded, home)
    lists = Registry(home).load("tiny", 1).recommend(["nobody knows me"], 5)
    everybody = Queries.of(loaded.dataset.interactions, np.array([-1]))
    expected = recommend(create("popularity", window_days=5).fit(loaded.dataset), everybody, 5)
    assert lists.items.tolist() == expected.items.tolist()
    assert lists.items.tolist() != recommend(Popularity().fit(loaded.dataset), everybody, 5).items.tolist()
    seen = split.refit()
    card = evaluate(
        create("item_knn").fit(seen), seen, split.test, ks=(10,), fallback=config.fallback.create().fit(seen)
    )
    assert card.mean("ndcg_10") == pytest.approx(board.standings[0].cells["ndcg_10"].mean)


def test_a_bake_off_that_fails_is_failed_in_mlflow_and_shows_no_leaderboard(home: Home) -> None:
    variants = {"bad": {"model": "item_knn", "search": {"shrink": {"low": -2, "high": -1}}}}
    tuning = {"trials": 1, "workers": 1}
    config = BakeoffConfig.model_validate(tree(name="bad", variants=variants, tuning=tuning, experiment=None))
    with pytest.raises(RuntimeError, match="no trial of variant 'bad' succeeded"):
        loop.run(config, home, by="tests")
    client = Tracker(home).client
    experiment = client.get_experiment_by_name("bad")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert tracking.leaderboards(home) == []
