"""Biased matrix factorisation against the formulas written out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import create
from recsys.models.neural import losses
from recsys.models.neural.held_out import HeldOut
from recsys.recommend import recommend
from tests.worlds import checkerboard, dataset, random_market

SMALL: dict[str, Any] = {"factors": 4, "patience": 0, "epochs": 20, "learning_rate": 0.05}


def everyone(data: Dataset) -> Queries:
    return Queries.of(data.interactions, np.arange(len(data.users)))


def additive(rng: np.random.Generator) -> tuple[Dataset, NDArray[np.float64]]:
    """Ratings that are 3 + what the user leans to + what the item leans to; half of them are known."""
    true = 3 + np.add.outer(rng.uniform(-1, 1, 30), rng.uniform(-1, 1, 20))
    pairs = np.argwhere(rng.random(true.shape) < 0.5)
    return dataset(pairs, n_users=30, n_items=20, weights=true[tuple(pairs.T)]), true


def test_biases_alone_explain_a_world_of_biases(rng: np.random.Generator) -> None:
    data, true = additive(rng)
    params = SMALL | {"epochs": 60, "loss": "squared", "regularization": 0.0001, "batch_size": 128}
    scores = create("biased_mf", **params).fit(data).score(everyone(data))
    unseen = data.interactions.csr().toarray() == 0
    assert np.sqrt(((scores - true)[unseen] ** 2).mean()) < 0.1
    assert np.sqrt(((true.mean() - true)[unseen] ** 2).mean()) > 0.6  # what the mean alone would miss by


def test_ratings_of_a_query_are_solved_by_ridge_regression(market: Dataset) -> None:
    model = create("biased_mf", **SMALL | {"loss": "squared", "regularization": 0.1}).fit(market)
    learnt = model.state()
    mean, b, q = (learnt[f"network.{n}"].astype(float) for n in ("mean", "item_biases", "item_factors"))
    rows = market.interactions
    for user in (0, 7):
        own = np.flatnonzero(rows.user == user)
        rated = {int(rows.item[r]): float(rows.weight[r]) for r in own}  # the latest rating of an item counts
        items = np.array(list(rated))
        # ordinary least squares with rows that ask for zeros is the ridge
        inputs = np.column_stack([np.ones(len(items)), q[items]])
        zeros = np.sqrt(0.1 * len(items)) * np.eye(5)
        target = np.append(np.array(list(rated.values())) - mean - b[items], np.zeros(5))
        solution = np.linalg.lstsq(np.vstack([inputs, zeros]), target, rcond=None)[0]
        expected = mean + b + solution[0] + q @ solution[1:]
        known = learnt["known_items"]
        scores = model.score(Queries.of(rows, np.array([user])))[0]
        np.testing.assert_allclose(scores[known], expected[known], rtol=1e-4)


def test_the_solution_of_a_query_is_the_least_of_the_loss_of_training(market: Dataset) -> None:
    """The user of training that costs least, by autograd: the regularisation of both is the same."""
    model: Any = create("biased_mf", **SMALL | {"loss": "squared", "regularization": 0.1}).fit(market)
    network = model._alive()
    with torch.no_grad():
        bias, factors = model._ridge(network, Queries.of(market.interactions, np.array([3])))
    ratings = market.keep(market.interactions.where(market.interactions.user == 3)).interactions
    last = {int(i): float(w) for i, w in zip(ratings.item, ratings.weight, strict=True)}
    users, items = torch.full((len(last),), 3), torch.tensor(list(last))[:, None]
    network.requires_grad_(True)
    with torch.no_grad():
        network.user_biases[3], network.user_factors[3] = bias[0], factors[0]
    model._loss(network, users, items, torch.tensor(list(last.values()))[:, None]).backward()
    assert network.user_factors.grad[3].abs().max() < 1e-4
    assert network.user_biases.grad[3].abs() < 1e-4


def test_rated_checkerboard_is_found_with_squared_loss() -> None:
    data, answer = checkerboard(rated=True)
    model = create("biased_mf", **SMALL | {"loss": "squared", "epochs": 60, "batch_size": 64}).fit(data)
    assert np.array_equal(recommend(model, everyone(data), 1).items[:, 0], answer)


def test_bpr_finds_the_checkerboard() -> None:
    data, answer = checkerboard()
    model = create("biased_mf", **SMALL | {"loss": "bpr", "epochs": 40}).fit(data)
    assert np.array_equal(recommend(model, everyone(data), 1).items[:, 0], answer)


@pytest.mark.parametrize("loss", ["logistic", "bpr"])
def test_score_of_a_user_of_training_is_the_sum_of_its_parts(market: Dataset, loss: str) -> None:
    model = create("biased_mf", **SMALL | {"loss": loss, "negatives": 3}).fit(market)
    learnt = {name.removeprefix("network."): array for name, array in model.state().items()}
    scores = model.score(everyone(market))
    user, item = 5, int(np.flatnonzero(learnt["known_items"])[2])
    product = float((learnt["user_factors"][user].astype(float) * learnt["item_factors"][item]).sum())
    leaning = float(learnt["user_biases"][user]) + float(learnt["item_biases"][item])
    mean = -math.log(3) if loss == "logistic" else 0.0
    assert scores[user, item] == pytest.approx(mean + leaning + product, rel=1e-4)


def test_unknown_users_are_foretold_by_the_map_that_is_best_for_those_of_training(market: Dataset) -> None:
    model = create("biased_mf", **SMALL | {"epochs": 60}).fit(market)
    learnt = {name.removeprefix("network."): array for name, array in model.state().items()}
    liked = market.interactions.csr().toarray() > 0
    active = liked.any(axis=1)
    read = (liked[active] / liked[active].sum(axis=1, keepdims=True)) @ learnt["item_factors"]
    ridge = 0.01 * (read**2).sum(axis=0).mean() * np.eye(4)
    foretell = np.linalg.solve(read.T @ read + ridge, read.T @ learnt["user_factors"][active])
    stranger = Queries.of(market.interactions, np.array([2]))
    stranger.users[:] = -1
    own = liked[2] / liked[2].sum() @ learnt["item_factors"] @ foretell
    expected = learnt["mean"] + learnt["item_biases"] + learnt["item_factors"] @ own
    known = learnt["known_items"]
    np.testing.assert_allclose(model.score(stranger)[0, known], expected[known], rtol=1e-3, atol=1e-3)


def test_item_that_training_never_saw_says_nothing_of_a_user(rng: np.random.Generator) -> None:
    market = random_market(rng)
    rows = market.interactions
    model = create("biased_mf", **SMALL).fit(market.keep(rows.where(rows.item != 3)))
    assert (model.state()["network.item_factors"][3] == 0).all()


def test_losses_are_the_formulas() -> None:
    scores = [[2.0, 1.0, -1.0], [0.5, 0.5, 3.0]]

    def minus_log_sigmoid(x: float) -> float:
        return -math.log(1 / (1 + math.exp(-x)))

    pairs = [minus_log_sigmoid(like - other) for like, *others in scores for other in others]
    assert float(losses.bpr(torch.tensor(scores))) == pytest.approx(sum(pairs) / 4)
    each = [minus_log_sigmoid(like) + sum(minus_log_sigmoid(-o) for o in others) for like, *others in scores]
    assert float(losses.logistic(torch.tensor(scores))) == pytest.approx(sum(each) / 2)


def test_held_out_ratings_are_judged_by_their_squared_error() -> None:
    data = dataset([(0, 0), (0, 1), (1, 0), (1, 2)], n_users=2, n_items=3, weights=[1, 4, 2, 3])
    held = HeldOut.of(data, 0)
    assert held is not None
    assert held.weights.tolist() == [4, 3]

    class Fixed:
        def score(self, queries: Queries) -> Any:
            return np.array([[0, 3, 0], [0, 0, 1]], np.float32)

    assert held.squared_error(Fixed()) == pytest.approx((1 + 4) / 2)  # type: ignore[arg-type]


def test_fit_on_ratings_stops_by_their_error(rng: np.random.Generator) -> None:
    data, _ = additive(rng)
    seen: list[int] = []
    params = SMALL | {"loss": "squared", "epochs": 400, "patience": 3, "batch_size": 32, "learning_rate": 0.2}
    create("biased_mf", **params).fit(data, watch=lambda epoch, _: seen.append(epoch))
    assert 3 < len(seen) < 400


def test_no_regularisation_and_fewer_ratings_than_factors_are_solved_all_the_same() -> None:
    data = dataset([(0, 0), (1, 1)], n_users=2, n_items=2, weights=[5, 1])
    model = create("biased_mf", **SMALL | {"loss": "squared", "regularization": 0.0}).fit(data)
    assert np.isfinite(model.score(everyone(data))).all()


def test_state_of_two_vocabularies_is_refused(market: Dataset) -> None:
    state = create("biased_mf", **SMALL).fit(market).state()
    mixed = state | {"known_items": np.ones(99, dtype=bool)}
    with pytest.raises(ValueError, match="of two vocabularies"):
        create("biased_mf", **SMALL).restore(mixed)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"factors": 0}, "factors must be an integer >= 1"),
        ({"loss": "hinge"}, "loss must be one of 'squared', 'logistic', 'bpr'"),
        ({"regularization": -1.0}, "regularization must be a finite number >= 0"),
        ({"negatives": 0}, "negatives must be an integer >= 1"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create("biased_mf", **params)
