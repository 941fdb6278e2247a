import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bakeoff.records import from_json
from experiments import show, show_ablation
from experiments.ablation import WHOLE, Ablation, ablate, ablate_windows, part
from experiments.config import BacktestConfig, BakeoffConfig
from experiments.home import Home
from experiments.train import validate_all
from recsys.data.sources.loaded import Loaded
from recsys.data.split import Split
from recsys.data.windows import rolling
from recsys.evaluate import evaluate
from recsys.models.base import create
from tests.experiments.trees import tree

PARAMS: dict[str, Any] = {
    "candidates": [{"model": "item_knn", "m": 30}, {"model": "popularity", "m": 30}, {"model": "als", "m": 0}],
    "features": ["origins", "graph"],
    "ranker": {"n_trees": 20, "min_leaf": 10},
    "rerankers": [{"name": "spacing"}],
}


@pytest.fixture(scope="module")
def staged() -> BakeoffConfig:
    variants = {"v": {"model": "pipeline", "params": PARAMS}, "knn": {"model": "item_knn"}}
    return BakeoffConfig.model_validate(tree(variants=variants, experiment=None))


@pytest.fixture(scope="module")
def found(staged: BakeoffConfig, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Ablation:
    return ablate(staged, "v", split, Home.at(tmp_path_factory.mktemp("home")))


def test_every_station_that_is_on_is_an_arm(found: Ablation) -> None:
    assert [row.arm for row in found.rows] == [
        WHOLE,
        "item_knn alone",
        "popularity alone",
        "without candidates of item_knn",
        "without candidates of popularity",
        "without features origins",
        "without features graph",
        "without ranker",
        "without reranker spacing",
    ]


def test_an_arm_is_what_it_says_and_its_gain_is_the_difference(
    found: Ablation, staged: BakeoffConfig, split: Split
) -> None:
    fallback = staged.fallback.create().fit(split.train)
    rows = {row.arm: row for row in found.rows}
    by_hand = {"item_knn alone": create("item_knn"), "without ranker": create("pipeline", **PARAMS | {"ranker": None})}
    for name, model in by_hand.items():
        card = evaluate(model.fit(split.train), split.train, split.validation, ks=(10,), fallback=fallback)
        assert rows[name].mean == pytest.approx(card.mean("ndcg_10"))
        gain = rows[name].gain
        assert gain is not None
        assert gain.difference == pytest.approx(rows[WHOLE].mean - rows[name].mean)
        assert gain.low <= gain.difference <= gain.high


def test_judged_on_test_the_arms_are_fitted_on_all_before_it(
    staged: BakeoffConfig, split: Split, tmp_path: Path
) -> None:
    found = ablate(staged, "v", split, Home.at(tmp_path), on="test")
    fallback = staged.fallback.create().fit(split.refit())
    card = evaluate(create("item_knn").fit(split.refit()), split.refit(), split.test, ks=(10,), fallback=fallback)
    (alone,) = (row for row in found.rows if row.arm == "item_knn alone")
    assert alone.mean == pytest.approx(card.mean("ndcg_10"))


def test_over_windows_the_lists_of_all_of_them_judge(staged: BakeoffConfig, loaded: Loaded, tmp_path: Path) -> None:
    config = staged.model_copy(update={"backtest": BacktestConfig(windows=2, every="6d", validation=1)})
    found = ablate_windows(config, "v", loaded.dataset, Home.at(tmp_path))
    values = []
    for window in rolling(loaded.dataset, windows=2, every="6d", validation=1).windows:
        fallback = config.fallback.create().fit(window.seen)
        model = create("item_knn").fit(window.seen)
        values.append(evaluate(model, window.seen, window.truth, ks=(10,), fallback=fallback))
    rows = {row.arm: row for row in found.rows}
    assert rows["item_knn alone"].mean == pytest.approx(np.concatenate([c.values["ndcg_10"] for c in values]).mean())
    assert rows["item_knn alone"].n == len(np.unique(np.concatenate([card.users for card in values])))
    gain = rows["without ranker"].gain
    assert found.judged_on == "windows"
    assert gain is not None
    assert gain.difference == pytest.approx(rows[WHOLE].mean - rows["without ranker"].mean)


def test_it_is_printed_as_a_table_and_as_json(found: Ablation, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(width=150, force_terminal=False)
    show_ablation.ablation(console, found, as_json=False)
    told = capsys.readouterr().out
    assert all(row.arm in told for row in found.rows)
    show_ablation.ablation(console, found, as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out)["rows"][0]["arm"] == WHOLE
    assert from_json(Ablation, out) == found
    assert np.isfinite(found.rows[0].mean)


def test_only_pipelines_have_stations(staged: BakeoffConfig, split: Split, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'knn' is no pipeline of 'tiny'.*its pipelines: v"):
        ablate(staged, "knn", split, Home.at(tmp_path))
    with pytest.raises(ValueError, match="is validation, test or windows, got 'train'"):
        part("train")


def test_why_a_ranker_learnt_nothing_is_said(split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = {**PARAMS, "features": ["origins"], "learn_from": {"size": 1e-5}}  # a single row to learn from
    variants = {"v": {"model": "pipeline", "params": params}}
    config = BakeoffConfig.model_validate(tree(variants=variants, experiment=None))
    console = Console(width=400, force_terminal=False)
    found = ablate(config, "v", split, Home.at(tmp_path))
    notes = {row.arm: row.note for row in found.rows}
    assert notes[WHOLE].startswith("its ranker learnt nothing, so the reciprocal ranks of its sources decide: ")
    assert notes["item_knn alone"] == ""
    show_ablation.ablation(console, found, as_json=False)
    assert f"{WHOLE}: {notes[WHOLE]}" in capsys.readouterr().out
    board = validate_all(config, split, Home.at(tmp_path))
    assert board.standing("v").note == notes[WHOLE]
    show.board(console, board)
    assert f"v: {notes[WHOLE]}" in capsys.readouterr().out
