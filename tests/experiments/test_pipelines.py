"""Pipelines through the line: YAML, search into their stations, training, MLflow."""

import csv
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from experiments import cli, train
from experiments.bench import Bench
from experiments.config import BakeoffConfig, load
from experiments.home import Home
from experiments.places import placed, value_at
from experiments.progress import silent
from experiments.reading import ConfigError
from experiments.tracking import address
from experiments.tune import Tuned, tune
from recsys.data.sources.loaded import Loaded
from recsys.data.split import Split
from recsys.hybrid.features import GROUPS
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import create
from recsys.recommend import recommend
from tests.experiments.trees import tree

CONFIGS = Path(__file__).parents[2] / "configs"
PARAMS: dict[str, Any] = {
    "candidates": [{"model": "item_knn", "m": 20}, {"model": "popularity", "m": 15}],
    "ranker": {"n_trees": 15, "min_leaf": 10},
}
SPACE: dict[str, Any] = {
    "candidates.all.m": {"low": 10, "high": 30, "integer": True},
    "candidates.0.params.neighbours": {"low": 5, "high": 200, "integer": True},
    "features.graph": {"choices": [True, False]},
    "ranker.n_trees": {"low": 5, "high": 30, "integer": True},
    "ranker.objective": {"choices": ["lambdarank", "click"]},
    "learn_from.size": {"low": 0.1, "high": 0.4},
}


# --- places ---


def test_values_go_to_their_places_and_what_was_given_stays() -> None:
    given = {"candidates": [{"model": "als"}, {"model": "ease", "m": 3}], "ranker": {"l2": 1.0}}
    made = placed(given, {"candidates.1.m": 9, "ranker.n_trees": 5, "learn_from.size": 0.2, "pool": 7})
    assert made["candidates"] == [{"model": "als"}, {"model": "ease", "m": 9}]
    assert made["ranker"] == {"l2": 1.0, "n_trees": 5}
    assert (made["learn_from"], made["pool"]) == ({"size": 0.2}, 7)
    assert given == {"candidates": [{"model": "als"}, {"model": "ease", "m": 3}], "ranker": {"l2": 1.0}}


def test_all_is_every_entry_of_a_list() -> None:
    made = placed({"candidates": [{"m": 1}, {"m": 2}]}, {"candidates.all.m": 5})
    assert made == {"candidates": [{"m": 5}, {"m": 5}]}
    assert value_at(made, "candidates.all.m") == 5


def test_a_group_of_a_list_is_switched_and_the_others_stay() -> None:
    made = placed({"features": ["user", "graph"]}, {"features.graph": False})
    assert [group for group in GROUPS if made["features"][group]] == ["user"]
    assert placed({"features": None}, {"features.graph": False}) == {"features": {"graph": False}}


def test_a_place_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no place 'candidates\.2\.m': '2' is asked of a list of 1"):
        placed({"candidates": [{}]}, {"candidates.2.m": 5})
    with pytest.raises(ValueError, match="'low' is asked of the value 3"):
        placed({"pool": 3}, {"pool.low": 5})
    assert value_at({"candidates": [{}]}, "candidates.2.m") is None


# --- files ---


@pytest.mark.parametrize("path", sorted((CONFIGS / "pipelines").glob("*.yaml")), ids=lambda p: p.name)
def test_every_pipeline_in_the_repository_checks_with_the_common_search(path: Path) -> None:
    variant = {
        "model": "pipeline",
        "params": yaml.safe_load(path.read_text()),
        "search": yaml.safe_load((CONFIGS / "search" / "pipeline.yaml").read_text()),
    }
    BakeoffConfig.model_validate(tree(variants={"v": variant}, experiment=None))
    usual = create("pipeline", **variant["params"]).complete()
    assert all(value_at(usual, place) is not None for place in variant["search"])  # the first trial starts there
    assert create("pipeline", **usual).complete() == usual


def test_a_pipeline_is_ten_lines_of_yaml(written: Callable[..., Path]) -> None:
    text = """\
      model: pipeline
      params:
        candidates:
          - {model: item_knn, params: {neighbours: 50}, m: 30}
          - {model: als, params: {factors: 8}, m: 30}
          - {model: popularity, m: 20}
        features: {season: false}
        ranker: {objective: lambdarank, n_trees: 50}
        rerankers: [{name: mmr}]
      search: {candidates.all.m: {low: 20, high: 60, integer: true}}
    """
    config = load(written(tree(variants={"v": yaml.safe_load(text)}, experiment=None)))
    assert isinstance(create("pipeline", **config.variants["v"].params), Pipeline)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"params": {**PARAMS, "candidates": [{"model": "item_kn"}]}}, "did you mean 'item_knn'?"),
        ({"params": {**PARAMS, "rerankers": [{"name": "mrr"}]}}, "did you mean 'mmr'?"),
        ({"params": {**PARAMS, "features": ["grph"]}}, "did you mean 'graph'?"),
        ({"params": {**PARAMS, "ranker": {"n_tree": 3}}}, "did you mean 'n_trees'?"),
        ({"search": {"candidate.0.m": {"low": 1, "high": 2}}}, "did you mean 'candidates'?"),
        ({"search": {"candidates.7.m": {"low": 1, "high": 2}}}, "'7' is asked of a list of 2"),
        ({"search": {"ranker.n_tree": {"low": 1, "high": 2, "integer": True}}}, "did you mean 'n_trees'?"),
        ({"search": {"features.grph": {"choices": [True, False]}}}, "did you mean 'graph'?"),
        ({"search": {"ranker.num_leaves": {"low": 1, "high": 9, "integer": True}}}, "must be an integer >= 2, got 1"),
    ],
)
def test_an_unknown_station_or_place_is_refused_when_the_file_is_read(
    written: Callable[..., Path], changes: dict[str, Any], said: str
) -> None:
    variant = {"model": "pipeline", "params": PARAMS, **changes}
    with pytest.raises(ConfigError) as error:
        load(written(tree(variants={"v": variant}, experiment=None)))
    assert said in str(error.value)


# --- search and training ---


@pytest.fixture(scope="module")
def searched(bench: Bench, pool: ProcessPoolExecutor, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    variant = {"model": "pipeline", "params": PARAMS, "search": SPACE}
    asked = {"trials": 4, "batch": 4, "workers": 1}
    config = BakeoffConfig.model_validate(tree(variants={"v": variant}, tuning=asked, experiment=None))
    home = Home.at(tmp_path_factory.mktemp("home"))
    return tune("v", config.variants["v"], config, bench, home, pool, silent)


def test_a_search_reaches_into_the_stations_and_starts_where_they_are(searched: Tuned) -> None:
    assert searched.failures == []
    first = searched.trials[0].params
    assert first == {
        "candidates.all.m": 20,
        "candidates.0.params.neighbours": 100,
        "features.graph": True,
        "ranker.n_trees": 15,
        "ranker.objective": "lambdarank",
        "learn_from.size": 0.2,
    }
    assert len({str(trial.params) for trial in searched.trials}) == 4


def test_the_best_pipeline_can_be_made_again(searched: Tuned, bench: Bench) -> None:
    model = create("pipeline", **searched.params).fit(bench.train)
    assert bench.value(model) == searched.value
    assert searched.params["ranker"]["min_leaf"] == 10  # what was not searched stays


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, loaded: Loaded, split: Split
) -> tuple[Home, BakeoffConfig, str]:
    """(home, configuration, run of the pipeline) of a bake-off with a searched pipeline."""
    import sqlite3
    from contextlib import closing

    home = Home.at(tmp_path_factory.mktemp("trained"))
    with closing(sqlite3.connect(migrated)) as old, closing(sqlite3.connect(home.database)) as new:
        old.backup(new)
    variants = {
        "knn": {"model": "item_knn"},
        "v": {"model": "pipeline", "params": PARAMS, "search": {"candidates.all.m": SPACE["candidates.all.m"]}},
    }
    asked = {"trials": 2, "batch": 2, "workers": 1}
    config = BakeoffConfig.model_validate(tree(variants=variants, tuning=asked, experiment=None))
    board = train.bake_off(config, loaded.dataset, split, home)
    return home, config, board.standing("v").run_id


def test_a_pipeline_comes_back_from_mlflow_with_the_same_scores(
    trained: tuple[Home, BakeoffConfig, str], loaded: Loaded
) -> None:
    home, config, run_id = trained
    mlflow.set_tracking_uri(address(home))
    (logged,) = mlflow.search_logged_models(
        filter_string=f"source_run_id = '{run_id}'", output_format="list", experiment_ids=["1"]
    )
    served = mlflow.pyfunc.load_model(logged.model_uri)
    package = served.unwrap_python_model().package
    users = [*loaded.dataset.users.ids[:20].tolist(), "nobody"]
    params = package.model.params()
    model = create("pipeline", **params).fit(loaded.dataset)
    lists = package.recommend(users, 5)
    again = recommend(model, lists.queries, 5, fallback=package.fallback)
    np.testing.assert_array_equal(lists.items, again.items)
    np.testing.assert_array_equal(lists.scores, again.scores)
    frame = served.predict(pd.DataFrame({"user": users}), params={"k": 5})
    assert frame["item"].tolist() == loaded.dataset.items.ids[lists.items.ravel()].tolist()
    assert params["seed"] == config.seed


def test_what_the_ranker_goes_by_is_kept_with_the_run(trained: tuple[Home, BakeoffConfig, str]) -> None:
    home, _, run_id = trained
    folder = home.artifacts / "tiny" / run_id / "artifacts"
    with (folder / "features.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 60
    assert sum(float(row["gain"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert [float(row["gain"]) for row in rows] == sorted((float(row["gain"]) for row in rows), reverse=True)
    used = {row["feature"] for row in rows if float(row["gain"]) > 0}
    assert {row["feature"] for row in rows if float(row["shap"]) > 0} == used  # no tree, no contribution
    assert all(row["group"] in GROUPS and row["meaning"] for row in rows)
    assert (folder / "plots" / "feature_importance.png").stat().st_size > 10_000
    assert (folder / "plots" / "group_importance.png").stat().st_size > 10_000


def test_the_importances_are_printed_by_group_and_feature(
    trained: tuple[Home, BakeoffConfig, str], capsys: pytest.CaptureFixture[str]
) -> None:
    home, config, _ = trained

    def said(*arguments: str) -> str:
        asked = ["importance", config.name, "v", "--home", str(home.root), *arguments]
        cli.app(asked, standalone_mode=False)
        return capsys.readouterr().out

    assert "random forest" in said()
    with pytest.raises(LookupError, match="'knn' has no ranker"):
        cli.app(["importance", config.name, "knn", "--home", str(home.root)], standalone_mode=False)
    found = json.loads(said("--json"))
    assert sum(group["gain"] for group in found["groups"]) == pytest.approx(1)
    assert {group["group"] for group in found["groups"]} == {row["group"] for row in found["features"]}
    if not found["reason"]:
        assert sum(row["forest"] for row in found["features"]) == pytest.approx(1)
        assert 0.5 < found["auc"] <= 1
