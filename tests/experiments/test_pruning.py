"""A hopeless pipeline is stopped while its trees grow."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from experiments.bench import WATCH_EVERY, Bench
from experiments.config import BakeoffConfig
from experiments.home import Home
from experiments.progress import silent
from experiments.tune import Tuned, tune
from tests.experiments.trees import tree

VARIANT: dict[str, Any] = {
    "model": "pipeline",
    "params": {
        "candidates": [{"model": "item_knn", "m": 20}, {"model": "popularity", "m": 15}],
        "features": ["origins", "popularity"],
        "ranker": {"n_trees": 100, "min_leaf": 10, "held_out": 0.0},
        "rerankers": [{"name": "novelty", "params": {"strength": 0.0}}],
    },
    # planted: novelty alone shows what nobody wants, however many trees there are
    "search": {
        "rerankers.0.params.strength": {"choices": [0.0, 1.0]},
        "ranker.num_leaves": {"low": 4, "high": 16, "integer": True},
    },
}


def searched(bench: Bench, pool: ProcessPoolExecutor, home: Path, **tuning: Any) -> Tuned:
    asked = {"trials": 14, "batch": 1, "workers": 1, **tuning}
    config = BakeoffConfig.model_validate(tree(variants={"v": VARIANT}, tuning=asked, experiment=None))
    return tune("v", config.variants["v"], config, bench, Home.at(home), pool, silent)


@pytest.mark.slow
def test_a_hopeless_pipeline_is_stopped_before_its_trees_are_grown(
    bench: Bench, pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    tuned = searched(bench, pool, tmp_path / "pruned")
    assert tuned.failures == []
    pruned = [trial for trial in tuned.trials if trial.state == TrialState.PRUNED]
    bad = [trial for trial in tuned.trials if trial.params["rerankers.0.params.strength"] == 1.0]
    late = [trial for trial in bad if trial.number >= 8]
    assert late
    assert {trial.number for trial in late} <= {trial.number for trial in pruned}
    for trial in late:
        assert set(trial.intermediate_values) == {WATCH_EVERY}  # of the two looks at 100 trees
    for trial in tuned.trials:
        if trial.state == TrialState.COMPLETE:
            assert set(trial.intermediate_values) == {WATCH_EVERY, 2 * WATCH_EVERY}
            assert trial.intermediate_values[2 * WATCH_EVERY] == trial.value  # all trees
    assert tuned.params["rerankers"][0]["params"]["strength"] == 0.0
    unpruned = searched(bench, pool, tmp_path / "whole", pruning=False, trials=6)
    assert all(trial.state == TrialState.COMPLETE for trial in unpruned.trials)
    assert not any(trial.intermediate_values for trial in unpruned.trials)  # who prunes nothing looks at nothing
