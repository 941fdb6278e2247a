"""A planted feature that decides, its copy, and noise: the forest tells them apart, by feature and by group."""

import numpy as np
import pytest

from recsys.hybrid.forest import forest
from recsys.hybrid.ranker import Judgements, Ranker

NAMES = ("signal", "echo", "noise a", "noise b")
GROUPS = {"signal": "planted", "echo": "planted", "noise a": "noise", "noise b": "noise"}


def judgements(rng: np.random.Generator, n: int = 100, size: int = 20) -> Judgements:
    signal, noise = rng.normal(size=n * size), rng.normal(size=(2, n * size))
    features = np.column_stack([signal, signal + rng.normal(0, 0.05, n * size), *noise]).astype(np.float32)
    features[:40, 2], features[40:50, 3] = np.nan, np.inf  # missing, and what scikit-learn refuses
    return Judgements(
        names=NAMES,
        features=features,
        worth=(signal > 1).astype(np.float64),
        indptr=np.arange(n + 1, dtype=np.int64) * size,
    )


def test_what_decides_is_told_from_noise(rng: np.random.Generator) -> None:
    found = forest(judgements(rng), GROUPS, seed=1)
    assert found.auc > 0.95
    assert found.permuted["planted"] > 0.3
    assert abs(found.permuted["noise"]) < 0.02
    assert sum(found.impurity.values()) == pytest.approx(1)
    assert found.impurity["signal"] + found.impurity["echo"] > 0.9


def test_the_same_seed_gives_the_same_forest(rng: np.random.Generator) -> None:
    judged = judgements(rng)
    assert forest(judged, GROUPS, seed=3) == forest(judged, GROUPS, seed=3)


def test_what_cannot_be_grown_is_nan_with_the_reason(rng: np.random.Generator) -> None:
    gone, poor = forest(None, GROUPS, seed=1), forest(judgements(rng, n=2), GROUPS, seed=1)
    assert np.isnan(gone.auc)
    assert gone.reason == "the rows that the ranker learnt from are not kept with a saved model"
    assert np.isnan(poor.auc)
    assert "at least 20 of either needed" in poor.reason


def test_a_ranker_keeps_some_of_what_it_learnt_from_until_it_is_saved(rng: np.random.Generator) -> None:
    judged = judgements(rng)
    ranker = Ranker(n_trees=5, min_leaf=5).fit(judged, seed=0)
    assert ranker.taught is not None
    few = judged.sample(200, seed=0)
    assert (len(few.indptr) - 1, len(few.worth)) == (10, 200)
    assert (np.add.reduceat(few.worth, few.indptr[:-1]) > 0).all()
    assert Ranker().restore(ranker.state()).taught is None
