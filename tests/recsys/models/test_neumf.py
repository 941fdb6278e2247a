"""NeuMF against its formula, and the split first layer against one over both inputs."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import create
from recsys.models.neural import perceptron
from recsys.models.neural.perceptron import Pairwise
from recsys.recommend import recommend
from tests.worlds import checkerboard

SMALL: dict[str, Any] = {"factors": 4, "n_layers": 2, "patience": 0, "epochs": 8, "learning_rate": 0.02}


def relu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(x, 0)


def everyone(data: Dataset) -> Queries:
    return Queries.of(data.interactions, np.arange(len(data.users)))


def test_score_is_the_product_plus_the_network_written_out(market: Dataset) -> None:
    model = create("neumf", **SMALL).fit(market)
    learnt = {n.removeprefix("network."): a for n, a in model.state().items()}
    user, item = learnt["users.weight"][4], learnt["items.weight"][0]
    product = learnt["product.weight"][0] @ (user[:4] * item[:4]) + learnt["product.bias"][0]
    # one layer over [user, item] of 8 + 8 numbers, then 8 -> 4 -> 1
    both = np.hstack([learnt["tower.of_user.weight"], learnt["tower.of_item.weight"]])
    first = relu(both @ np.concatenate([user[4:], item[4:]]) + learnt["tower.of_item.bias"])
    second = relu(learnt["tower.above.2.weight"] @ first + learnt["tower.above.2.bias"])
    network = learnt["tower.above.5.weight"][0] @ second + learnt["tower.above.5.bias"][0]
    assert both.shape == (8, 16)
    assert learnt["tower.above.2.weight"].shape == (4, 8)
    assert model.score(everyone(market))[4, 0] == pytest.approx(product + network, rel=1e-4, abs=1e-5)


def test_scores_of_the_catalogue_are_those_of_training(market: Dataset) -> None:
    model: Any = create("neumf", **SMALL).fit(market)
    users = torch.arange(len(market.users))
    items = torch.arange(len(market.items)).expand(len(users), -1)
    with torch.inference_mode():
        plain = model._alive()(users, items).numpy()
    known = model.state()["known_items"]
    np.testing.assert_allclose(model.score(everyone(market))[:, known], plain[:, known], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cells", [1, 200, 1 << 20])
def test_blocks_of_any_size_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    torch.manual_seed(0)
    network = Pairwise(3, 5, [8, 4]).eval()
    users, items = torch.randn(6, 3), torch.randn(11, 5)
    plain = network(users[:, None, :], items[None, :, :])
    monkeypatch.setattr(perceptron, "_CELLS", cells)
    torch.testing.assert_close(network.catalogue(users, items), plain)


def test_the_first_layer_starts_and_computes_as_one_over_both_inputs() -> None:
    torch.manual_seed(0)
    network = Pairwise(3, 5, [8])
    users, items = torch.randn(6, 3), torch.randn(6, 5)
    whole = nn.Linear(8, 8)
    with torch.no_grad():
        whole.weight.copy_(torch.cat([network.of_user.weight, network.of_item.weight], dim=1))
        whole.bias.copy_(network.of_item.bias)
    expected = network.above(whole(torch.cat([users, items], dim=1)))[:, 0]
    torch.testing.assert_close(network(users, items), expected)
    assert network.of_user.weight.abs().max() <= 8**-0.5  # the bound of a layer of 8 inputs, not of 3


def test_a_tower_narrows_to_the_factors() -> None:
    data, _ = checkerboard()
    model = create("neumf", **SMALL | {"n_layers": 3, "factors": 2, "epochs": 1}).fit(data)
    shapes = {n: a.shape for n, a in model.state().items()}
    assert shapes["network.users.weight"] == (20, 2 + 8)
    assert shapes["network.tower.of_user.weight"] == (8, 8)
    assert shapes["network.tower.above.2.weight"] == (4, 8)
    assert shapes["network.tower.above.5.weight"] == (2, 4)


def test_bpr_finds_the_checkerboard_with_dropout() -> None:
    data, answer = checkerboard()
    params = SMALL | {"loss": "bpr", "epochs": 60, "dropout": 0.2, "regularization": 0.0}
    model = create("neumf", **params).fit(data)
    assert np.array_equal(recommend(model, everyone(data), 1).items[:, 0], answer)
    np.testing.assert_array_equal(model.score(everyone(data)), model.score(everyone(data)))  # no dropout in a score


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_layers": 0}, "n_layers must be an integer >= 1"),
        ({"loss": "logistic"}, "loss must be one of 'bce', 'bpr'"),
        ({"dropout": 1.0}, "dropout must be a finite number >= 0 and <= 0.99"),
        ({"regularization": float("nan")}, "regularization must be a finite number >= 0"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create("neumf", **params)
