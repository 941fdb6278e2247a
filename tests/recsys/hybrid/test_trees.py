from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.hybrid.trees import Trees


def grown(rng: np.random.Generator, **params: Any) -> tuple[Any, NDArray[np.float32]]:
    """LightGBM's trees, and rows with what is odd in numbers: NaN, zeros, whole numbers, infinity, the very small."""
    rows = rng.normal(size=(600, 6)).astype(np.float32)
    rows[:, 1] = rng.integers(-2, 3, 600)
    rows[rng.random((600, 6)) < 0.1] = 0
    rows[rng.random((600, 6)) < 0.05] = 1e-36
    rows[rng.random((600, 6)) < 0.05] = -1e-36
    rows[rng.random(600) < 0.02, 4] = np.inf
    rows[:, [0, 2]][rng.random((600, 2)) < 0.2] = np.nan
    rows[rng.random(600) < 0.3, 0] = np.nan  # a feature that is often missing, beside some that never are
    target = np.nan_to_num(rows[:, 0]) + rows[:, 1] * np.isnan(rows[:, 0]) + rng.normal(size=600)
    taught = {"objective": "regression", "verbosity": -1, "min_data_in_leaf": 3, "num_threads": 1, "seed": 1, **params}
    booster = lightgbm.train(taught, lightgbm.Dataset(rows, target), num_boost_round=params.pop("rounds", 30))
    rows[rng.random((600, 6)) < 0.1] = np.nan  # also where no tree has seen it
    return lightgbm.Booster(model_str=booster.model_to_string()), rows


@pytest.mark.parametrize("leaves", [2, 4, 31, 64, 65, 200])  # to 64 by masks
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_the_sums_are_those_of_lightgbm_to_the_bit(rng: np.random.Generator, leaves: int, share: float) -> None:
    booster, rows = grown(rng, num_leaves=leaves, feature_fraction=share)
    expected = booster.predict(rows, raw_score=True)
    np.testing.assert_array_equal(Trees.of(booster.model_to_string()).sums(rows), expected)
    assert len(np.unique(expected)) > leaves


def test_a_tree_without_a_split_is_its_only_leaf(rng: np.random.Generator) -> None:
    booster, rows = grown(rng, min_data_in_leaf=1_000)
    trees = Trees.of(booster.model_to_string())
    assert len(trees.feature) == 0
    np.testing.assert_array_equal(trees.sums(rows), booster.predict(rows, raw_score=True))


def test_rows_of_another_layout_are_the_same_rows(rng: np.random.Generator) -> None:
    booster, rows = grown(rng)
    trees = Trees.of(booster.model_to_string())
    np.testing.assert_array_equal(trees.sums(np.asfortranarray(rows)), trees.sums(rows))
    assert trees.sums(rows[:0]).shape == (0,)


def test_what_a_ranker_does_not_grow_is_refused(rng: np.random.Generator) -> None:
    booster, rows = grown(rng)
    trees = Trees.of(booster.model_to_string())
    with pytest.raises(ValueError, match=r"the trees read feature \d, the rows have 2"):
        trees.sums(rows[:, :2])
    zeros, _ = grown(rng, zero_as_missing=True)
    with pytest.raises(ValueError, match="for which 0 is missing"):
        Trees.of(zeros.model_to_string())
    whole = np.abs(np.nan_to_num(rows)).clip(max=3).astype(np.int32)
    data = lightgbm.Dataset(whole, rng.normal(size=600) + 3 * (whole[:, 1] == 1), categorical_feature=[1])
    params = {"verbosity": -1, "min_data_in_leaf": 3, "min_data_per_group": 1, "cat_smooth": 0}
    with pytest.raises(ValueError, match="splits by categories"):
        Trees.of(lightgbm.train(params, data, num_boost_round=5).model_to_string())
