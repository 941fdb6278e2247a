from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.hybrid.ranker import Judgements, NothingToLearnError, Ranker, worth_of

SMALL: dict[str, Any] = {"n_trees": 60, "min_leaf": 20, "learning_rate": 0.1}
NAMES = ("signal", "price [GBP]", "nothing: at all")
"""The characters in the others are those that LightGBM refuses in names."""


def judgements(rng: np.random.Generator, n: int = 120, size: int = 20, levels: int = 4) -> Judgements:
    """Queries whose first feature tells the worth of a candidate, 0 to levels - 1, beside noise."""
    worth = rng.integers(0, levels, n * size) * (rng.random(n * size) < 0.5)
    features = np.column_stack([worth + rng.normal(0, 0.3, n * size), *rng.normal(size=(2, n * size))])
    return Judgements(
        names=NAMES,
        features=features.astype(np.float32),
        worth=worth.astype(np.float64),
        indptr=np.arange(n + 1, dtype=np.int64) * size,
    )


def by_query(values: NDArray[Any], judged: Judgements) -> NDArray[Any]:
    return values.reshape(len(judged.indptr) - 1, -1)


def best_worth(ranker: Ranker, judged: Judgements, k: int = 3) -> float:
    """Mean worth of the k best of each query."""
    order = np.argsort(-by_query(ranker.score(judged.features), judged), axis=1)[:, :k]
    return float(np.take_along_axis(by_query(judged.worth, judged), order, axis=1).mean())


@pytest.mark.parametrize("objective", ["lambdarank", "click"])
def test_the_signal_is_found_and_the_noise_is_not(objective: Any, rng: np.random.Generator) -> None:
    levels = 4 if objective == "lambdarank" else 2  # a chance knows no worth
    ranker = Ranker(objective=objective, **SMALL).fit(judgements(rng, levels=levels), seed=1)
    other = judgements(rng, levels=levels)
    ideal = float(np.sort(by_query(other.worth, other), axis=1)[:, -3:].mean())
    assert best_worth(ranker, other) > 0.9 * ideal
    share = ranker.importance()
    assert next(iter(share)) == "signal"
    assert share["signal"] > 0.8
    assert sum(share.values()) == pytest.approx(1)


def test_graded_relevance_puts_more_worth_first(rng: np.random.Generator) -> None:
    # the first feature tells relevant or not, the second which of the two grades
    worth = rng.choice([0.0, 1.0, 5.0], size=4_000, p=[0.8, 0.1, 0.1])
    noise = rng.normal(0, 0.1, (3, 4_000))
    features = np.column_stack([worth > 0, (worth == 5) * 1.0, np.zeros(4_000)]) + noise.T
    judged = Judgements(
        names=NAMES, features=features.astype(np.float32), worth=worth, indptr=np.arange(0, 4_001, 40, dtype=np.int64)
    )
    graded, binary = (
        best_worth(Ranker(relevance=relevance, **SMALL).fit(judged, seed=0), judged)
        for relevance in ("graded", "binary")  # type: ignore[arg-type]
    )
    assert graded > binary + 0.5


def test_chances_are_calibrated_on_queries_that_trees_did_not_see(rng: np.random.Generator) -> None:
    def world(n: int) -> Judgements:
        chance = rng.random(n * 20) * 0.6
        clicked = (rng.random(n * 20) < chance).astype(np.float64)
        features = np.column_stack([chance, *rng.normal(size=(2, n * 20))]).astype(np.float32)
        return Judgements(names=NAMES, features=features, worth=clicked, indptr=np.arange(n + 1, dtype=np.int64) * 20)

    train, fresh = world(300), world(300)
    for calibration in ("isotonic", "platt"):
        ranker = Ranker(objective="click", calibration=calibration, negatives=5, **SMALL).fit(train, seed=0)  # type: ignore[arg-type]
        said = ranker.score(fresh.features)
        for low in (0.0, 0.15, 0.3, 0.45):  # of 5 in 6 of the irrelevant ones nothing was kept: the odds are skewed
            there = (fresh.features[:, 0] >= low) & (fresh.features[:, 0] < low + 0.15)
            # 1,500 clicks of a chance of .5 have a standard error of .013
            assert abs(said[there].mean() - fresh.worth[there].mean()) < 0.05, (calibration, low)


def test_contributions_add_up_to_the_score(rng: np.random.Generator) -> None:
    judged = judgements(rng)
    ranker = Ranker(**SMALL).fit(judged, seed=1)
    parts = ranker.contributions(judged.features)
    assert parts.shape == (len(judged.worth), 4)
    np.testing.assert_allclose(parts.sum(axis=1), ranker.score(judged.features), atol=1e-5)
    assert np.abs(parts[:, 0]).mean() > 10 * np.abs(parts[:, 2]).mean()


def test_trees_stop_growing_when_held_out_queries_gain_nothing(rng: np.random.Generator) -> None:
    params = {**SMALL, "n_trees": 500, "patience": 5}
    judged = judgements(rng)
    assert Ranker(**params).fit(judged, seed=1).n_grown < 200
    assert Ranker(**params, held_out=0.0).fit(judged, seed=1).n_grown == 500


def test_the_same_seed_gives_the_same_trees_on_any_number_of_threads(rng: np.random.Generator) -> None:
    judged = judgements(rng)
    one, two = (Ranker(threads=threads, **SMALL).fit(judged, seed=4).score(judged.features) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("objective", ["lambdarank", "click"])
def test_state_is_arrays_and_gives_the_same_scores(objective: Any, rng: np.random.Generator) -> None:
    judged = judgements(rng)
    ranker = Ranker(objective=objective, **SMALL).fit(judged, seed=1)
    state = ranker.state()
    assert all(array.dtype.kind in "uUf" for array in state.values())
    back = Ranker(objective=objective, **SMALL).restore(state)
    assert back.names == list(NAMES)
    np.testing.assert_array_equal(back.score(judged.features), ranker.score(judged.features))
    with pytest.raises(ValueError, match="holds curve, features and trees"):
        Ranker().restore({"trees": state["trees"]})


def test_nothing_to_prefer_is_said(rng: np.random.Generator) -> None:
    judged = judgements(rng)
    for worth in (np.zeros_like(judged.worth), np.ones_like(judged.worth)):
        with pytest.raises(NothingToLearnError, match="no query has both a relevant candidate and another one"):
            Ranker().fit(Judgements(names=NAMES, features=judged.features, worth=worth, indptr=judged.indptr), seed=0)


def test_more_weights_than_grades_are_binned(rng: np.random.Generator) -> None:
    judged = judgements(rng)
    worth = np.where(judged.worth > 0, judged.worth + rng.random(len(judged.worth)), 0.0)
    ranker = Ranker(**SMALL)
    many = Judgements(names=NAMES, features=judged.features, worth=worth, indptr=judged.indptr)
    grades, gains = ranker._grades(worth)
    assert grades.max() == len(gains) - 1 == 8
    assert gains == sorted(gains)
    assert (grades > 0).tolist() == (worth > 0).tolist()
    ranker.fit(many, seed=0)


def test_worth_of_pairs_is_found_by_key() -> None:
    keys, judged = np.array([3, 9, 4]), np.array([3, 4, 7])
    assert worth_of(keys, judged, np.array([1.0, 5.0, 2.0])).tolist() == [1, 0, 5]
    assert worth_of(keys, judged[:0], np.zeros(0)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"objective": "clicks"}, "objective of the ranker must be one of 'lambdarank', 'click'"),
        ({"num_leaves": 1}, "num_leaves of the ranker must be an integer >= 2, got 1"),
        ({"row_share": 0}, "row_share of the ranker must be a finite number > 0"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ranker(**params)
