"""Searches of several objectives: the front, what is chosen of it, and that it goes on where it stopped."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, create_trial
from pydantic import ValidationError
from rich.console import Console

from bakeoff.records import from_json, to_json
from experiments import show, show_front
from experiments.bench import Bench, workers
from experiments.board import Leaderboard
from experiments.config import BakeoffConfig, Range, TuningConfig
from experiments.front import Front, directions, front_of
from experiments.home import Home
from experiments.progress import silent
from experiments.search import Answer, complete, open_study, search
from experiments.tracking import Tracker, leaderboard
from experiments.train import bake_off, validate_all
from experiments.tune import Tuned, tune, tune_fusion
from recsys.data.sources.loaded import Loaded
from recsys.data.split import Split
from recsys.models.base import create
from tests.experiments.trees import NEIGHBOURS, tree

OBJECTIVES = ("ndcg", "diversity")


def trials(values: Sequence[tuple[float, ...]]) -> list[FrozenTrial]:
    made = [create_trial(values=list(each)) for each in values]
    for number, trial in enumerate(made):
        trial.number = number
    return made


def numbers(front: Front) -> list[int]:
    return [point.trial for point in front.points]


# --- the front ---


def test_what_another_beats_in_everything_is_not_on_the_front() -> None:
    found = front_of(trials([(0.5, 0.1), (0.4, 0.3), (0.4, 0.2), (0.1, 0.9), (0.05, 0.8)]), OBJECTIVES, 10, None)
    assert numbers(found) == [0, 1, 3]
    assert found.points[1].values == {"ndcg_10": 0.4, "diversity_10": 0.3}
    assert found.chosen == 0


def test_of_equals_the_first_stands_for_all() -> None:
    found = front_of(trials([(0.1, 0.1), (0.5, 0.2), (0.5, 0.2), (0.5, 0.1)]), OBJECTIVES, 10, None)
    assert numbers(found) == [1]


def test_less_of_a_metric_can_be_better() -> None:
    found = front_of(trials([(0.5, 0.9), (0.4, 0.3), (0.3, 0.4)]), ("ndcg", "gini"), 10, None)
    assert numbers(found) == [0, 1]
    assert directions(("ndcg", "gini", "coverage")) == ("maximize", "minimize", "maximize")


def test_the_front_is_the_one_that_optuna_finds() -> None:
    rng = np.random.default_rng(4)
    for size in (1, 2, 7, 40):
        metrics = ("ndcg", "gini", "novelty")
        values = [tuple(row) for row in rng.integers(6, size=(size, 3)).astype(float).tolist()]
        study = optuna.create_study(directions=directions(metrics))
        study.add_trials(trials(values))
        found = front_of(study.get_trials(), metrics, 5, None)
        assert {tuple(point.values.values()) for point in found.points} == {tuple(t.values) for t in study.best_trials}
        assert len({tuple(point.values.values()) for point in found.points}) == len(found.points)


@pytest.mark.parametrize(
    ("within", "chosen"), [(None, 0), (0.0, 0), (0.02, 1), (0.0199, 0), (0.1, 2), (0.5, 3), (0.99, 3)]
)
def test_within_takes_the_most_diverse_of_those_that_lose_no_more(within: float | None, chosen: int) -> None:
    values = [(0.5, 0.1), (0.49, 0.2), (0.45, 0.5), (0.25, 0.9), (0.45, 0.4)]
    assert front_of(trials(values), OBJECTIVES, 10, within).chosen == chosen


def test_what_was_chosen_and_what_it_costs_is_said() -> None:
    found = front_of(trials([(0.5, 0.1), (0.49, 0.2)]), OBJECTIVES, 10, 0.02)
    assert found.cost("ndcg_10") == pytest.approx(-0.02)
    assert found.cost("diversity_10") == pytest.approx(1.0)
    assert show_front.chosen(found) == (
        "Chosen: trial 1, the best diversity_10 of those that lose at most 2% of the best ndcg_10: ndcg_10 0.4900 "
        "(-2.0%) and diversity_10 0.2000 (+100.0%), against trial 0, the best on ndcg_10."
    )
    first = front_of(trials([(0.5, 0.0), (0.49, 0.2)]), OBJECTIVES, 10, None)
    assert show_front.chosen(first) == "Chosen: trial 0, the best ndcg_10: ndcg_10 0.5000 and diversity_10 0.0000."
    free = front_of(trials([(0.5, 0.0), (0.49, 0.2)]), OBJECTIVES, 10, 0.1)
    assert "diversity_10 0.2000 (that of the best is 0)" in show_front.chosen(free)


# --- the search ---


def planted(journal: Path, n: int) -> list[FrozenTrial]:
    """Accuracy is a - waste, variety 1 - a - waste: the front is where nothing is wasted."""
    space = {"a": Range(low=0.0, high=1.0), "waste": Range(low=0.0, high=1.0)}

    def fit(batch: list[optuna.Trial]) -> list[Answer]:
        drawn = [(trial.params["a"], trial.params["waste"]) for trial in batch]
        return [Answer.of(a - waste, 1 - a - waste) for a, waste in drawn]

    tuning = TuningConfig(trials=n, batch=4)
    with open_study(journal, "s", directions(OBJECTIVES)) as study:
        search(study, space, [{"a": 0.5, "waste": 0.5}], tuning, seed=2, fit=fit, tell=lambda *_: None)
        return complete(study, "s")


def test_a_planted_trade_off_is_found(tmp_path: Path) -> None:
    done = planted(tmp_path / "s.journal", 60)
    assert done[0].params == {"a": 0.5, "waste": 0.5}
    wasted = [trial.params["waste"] for trial in done]
    assert np.mean(wasted[40:]) < 0.2  # drawn at random it would be .5
    front = front_of(done, OBJECTIVES, 10, None)
    assert all(point.params["waste"] < 0.2 for point in front.points)
    ends = [point.params["a"] for point in front.points]
    assert min(ends) < 0.2
    assert max(ends) > 0.8


def test_a_search_that_was_broken_off_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    def told(done: list[FrozenTrial]) -> list[tuple[Any, ...]]:
        return [(trial.number, trial.params, trial.values) for trial in done]

    whole = tmp_path / "whole.journal"
    expected = told(planted(whole, 20))
    lines = whole.read_bytes().splitlines(keepends=True)
    for cut in (1, len(lines) // 3, len(lines) // 2, len(lines) - 1):
        journal = tmp_path / f"{cut}.journal"
        journal.write_bytes(b"".join(lines[:cut]))
        assert told(planted(journal, 20)) == expected, f"broken off after line {cut} of {len(lines)}"


# --- with models ---

WEIGHED = ("ndcg", "novelty")
BOOSTED: dict[str, Any] = {
    "model": "pipeline",
    "params": {
        "candidates": [{"model": "item_knn", "m": 30}, {"model": "popularity", "m": 30}],
        "ranker": None,
        "rerankers": [{"name": "novelty"}],
    },
    "search": {"rerankers.0.params.strength": {"low": 0.5, "high": 1}},
}


def configured(variants: dict[str, Any], **tuning: Any) -> BakeoffConfig:
    asked = {"trials": 8, "batch": 4, "workers": 1, "objectives": WEIGHED, **tuning}
    return BakeoffConfig.model_validate(tree(variants=variants, tuning=asked, experiment=None))


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.at(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def weighing(bench: Bench) -> Iterator[tuple[Bench, ProcessPoolExecutor]]:
    """The bench of two objectives, and one worker that holds it."""
    both = replace(bench, objectives=WEIGHED)
    with workers(both, 1) as pool:
        yield both, pool


@pytest.fixture(scope="module")
def tuned(weighing: tuple[Bench, ProcessPoolExecutor], shared_home: Home) -> Tuned:
    config = configured({"v": BOOSTED}, within=0.3)
    return tune("v", config.variants["v"], config, weighing[0], shared_home, weighing[1], silent)


def test_a_search_of_a_model_gives_its_front_and_the_chosen_point_can_be_had_again(
    tuned: Tuned, weighing: tuple[Bench, ProcessPoolExecutor]
) -> None:
    assert tuned.front is not None
    assert tuned.failures == []
    assert len(tuned.trials) == 8
    strengths = [point.params["rerankers.0.params.strength"] for point in tuned.front.points]
    varied = [point.values["novelty_10"] for point in tuned.front.points]
    assert len(varied) >= 3
    assert varied == sorted(varied)  # what is given up in accuracy is had in novelty
    assert strengths[0] < strengths[-1]
    chosen = tuned.front.choice
    assert chosen.trial != tuned.front.points[0].trial
    assert tuned.value == chosen.values["ndcg_10"] >= 0.7 * tuned.front.points[0].values["ndcg_10"]
    model = create("pipeline", **tuned.params).fit(weighing[0].train)
    assert weighing[0].values(model) == tuple(chosen.values.values())


def test_another_rule_chooses_of_the_same_trials(
    tuned: Tuned, weighing: tuple[Bench, ProcessPoolExecutor], shared_home: Home
) -> None:
    config = configured({"v": BOOSTED})
    again = tune("v", config.variants["v"], config, weighing[0], shared_home, weighing[1], silent)
    assert again.front is not None
    assert tuned.front is not None
    assert again.front.points == tuned.front.points
    assert again.front.chosen == again.front.points[0].trial
    (picture,) = shared_home.studies.rglob("*.png")  # beside the one journal
    assert picture.stat().st_size > 10_000
    assert picture.with_suffix(".journal").exists()


def test_a_fusion_weighs_objectives_too(weighing: tuple[Bench, ProcessPoolExecutor], tmp_path: Path) -> None:
    variants = {
        "popularity": {"model": "popularity"},
        "knn": {"model": "item_knn"},
        "hybrid": {"model": "fusion", "parts": ["popularity", "knn"]},
    }
    config, bench = configured(variants), weighing[0]
    alone = {name: Tuned(variant=name, params={}, value=0.0, study=None) for name in ("popularity", "knn")}
    found = tune_fusion("hybrid", config.variants["hybrid"], config, bench, Home.at(tmp_path), alone, silent)
    assert found.front is not None
    values = bench.values(create("fusion", **found.params).fit(bench.train))
    assert values == pytest.approx(tuple(found.front.choice.values.values()), abs=1e-12)
    for part in ("popularity", "knn"):
        assert found.value >= bench.value(create(config.variants[part].model).fit(bench.train))


def test_the_front_is_on_the_leaderboard_in_words_and_as_json(
    tuned: Tuned, split: Split, shared_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured({"v": BOOSTED, "popularity": {"model": "popularity"}}, within=0.3)
    board = validate_all(config, split, shared_home)
    assert board.standing("v").front == tuned.front
    assert board.standing("popularity").front is None
    console = Console(width=150, force_terminal=False)
    show.board(console, board)
    told = " ".join(capsys.readouterr().out.split())
    assert "v: the front on validation" in told
    assert "Chosen: trial" in told
    assert "of those that lose at most 30% of the best ndcg_10" in told
    assert "Optuna cannot prune a search of several objectives" in told
    assert from_json(Leaderboard, to_json(Leaderboard, board)).standing("v").front == tuned.front
    show.tuned(console, {"v": tuned}, "ndcg_10", as_json=True)
    assert json.loads(capsys.readouterr().out)["v"]["front"]["chosen"] == tuned.front.chosen  # type: ignore[union-attr]


def test_the_front_is_kept_with_the_run(home: Home, loaded: Loaded, split: Split) -> None:
    config = configured({"v": {"model": "item_knn", "search": NEIGHBOURS}}, trials=5)
    board = bake_off(config, loaded.dataset, split, home)
    folder = home.artifacts / "tiny" / board.standing("v").run_id / "artifacts"
    assert (folder / "plots" / "pareto_front.png").stat().st_size > 10_000
    assert from_json(Front, (folder / "front.json").read_text()) == board.standing("v").front
    client = Tracker(home).client
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == "tiny"]
    runs = client.search_runs([experiment], "tags.`bakeoff.kind` = 'trial'")
    assert len(runs) == 5
    assert all(run.data.metrics["value"] == run.data.metrics["ndcg_10"] for run in runs)
    assert all("novelty_10" in run.data.metrics for run in runs)
    assert leaderboard(home, "tiny").standing("v").front == board.standing("v").front


# --- wrong use ---


@pytest.mark.parametrize(
    ("tuning", "said"),
    [
        ({"objectives": ["ndgc", "diversity"]}, "unknown metric 'ndgc'; did you mean 'ndcg'"),
        ({"objectives": ["ndcg"]}, "give two or three different metrics"),
        ({"objectives": ["ndcg", "ndcg"]}, "give two or three different metrics"),
        ({"objectives": ["ndcg", "mrr", "map", "gini"]}, "give two or three different metrics"),
        ({"objectives": ["diversity", "ndcg"]}, "must begin with the leading metric 'ndcg', got 'diversity'"),
        ({"objectives": [], "within": 0.1}, "`within` chooses between several `objectives`, and there are none"),
        ({"within": 1.5}, "less than 1"),
    ],
)
def test_wrong_objectives_are_refused_when_the_file_is_read(tuning: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        configured({"v": {"model": "popularity"}}, **tuning)
    assert said in str(error.value)
