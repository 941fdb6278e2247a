"""Models that read a history in its order: by hand, and in a world where order is all there is."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import create
from recsys.models.neural.batches import Windows
from recsys.models.neural.sequence_loss import NEVER, beta, sequence_loss
from tests.worlds import dataset

NAMES = ["sasrec", "gru4rec"]
LOSSES = ["softmax", "gbce", "bce"]
N = 12
SMALL: dict[str, Any] = {"factors": 16, "n_layers": 1, "length": 6, "dropout": 0.0, "patience": 0}


def ring() -> Dataset:
    """Everybody walks the same ring from another start and touches every item: sets say nothing."""
    return dataset([(user, (user + step) % N) for user in range(N) for step in range(N)], n_users=N, n_items=N)


def history(*items: int, n_items: int = N) -> Queries:
    rows = dataset([(0, item) for item in items], n_users=1, n_items=n_items).interactions
    return Queries.of(rows, np.array([0]))


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return create(name, **SMALL)._network({"n_items": N}).eval()  # type: ignore[attr-defined, no-any-return]


def read(net: nn.Module, *steps: int) -> Tensor:
    with torch.no_grad():
        answer: Tensor = net(torch.tensor([steps]))[0]
    return answer


@pytest.mark.parametrize("name", NAMES)
def test_a_later_item_changes_nothing_before_it(name: str) -> None:
    net = network(name)
    one, other = read(net, 3, 1, 4, 5, 9), read(net, 3, 1, 4, 7, 2)
    torch.testing.assert_close(one[:3], other[:3])
    assert (one[3:] != other[3:]).any(dim=1).all()


@pytest.mark.parametrize("name", NAMES)
def test_padding_in_front_changes_nothing(name: str) -> None:
    net = network(name)
    bare, padded = read(net, 3, 1, 4), read(net, N, N, N, 3, 1, 4)
    torch.testing.assert_close(padded[3:], bare)
    assert torch.isfinite(padded).all()  # a step of padding sees nothing


@pytest.mark.parametrize("name", NAMES)
def test_the_past_and_its_order_count(name: str) -> None:
    net = network(name)
    last = [read(net, *steps)[-1] for steps in ((3, 1, 4), (1, 3, 4), (5, 1, 4))]
    assert not torch.allclose(last[0], last[1])
    assert not torch.allclose(last[0], last[2])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_a_planted_ring_is_followed(name: str, loss: str) -> None:
    params = SMALL | {"loss": loss, "epochs": 20, "batch_size": 12, "learning_rate": 0.03}
    model = create(name, **params).fit(ring())
    for item in range(N):
        assert np.argmax(model.score(history(item))[0]) == (item + 1) % N
        assert np.argmax(model.score(history((item - 1) % N, item))[0]) == (item + 1) % N


@pytest.mark.parametrize("name", NAMES)
def test_an_item_that_training_never_saw_is_passed_over(name: str) -> None:
    data = dataset([(user, (user + step) % 5) for user in range(5) for step in range(5)], n_users=5, n_items=7)
    model = create(name, **SMALL, epochs=2).fit(data)
    bare, strange = model.score(history(1, 2, n_items=7)), model.score(history(6, 1, 5, 2, 6, n_items=7))
    np.testing.assert_array_equal(strange, bare)
    assert np.isnan(bare[0]).tolist() == [False] * 5 + [True] * 2
    assert np.isnan(model.score(history(6, n_items=7))).all()  # nothing to go by


@pytest.mark.parametrize("name", NAMES)
def test_only_the_latest_likes_are_read(name: str) -> None:
    model = create(name, **SMALL | {"length": 2}, epochs=2).fit(ring())
    short, long = model.score(history(4, 5)), model.score(history(9, 8, 7, 4, 5))
    np.testing.assert_allclose(long, short, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_does_not_depend_on_who_else_asks(name: str) -> None:
    model, data = create(name, **SMALL, epochs=2).fit(ring()), ring()
    rows = data.interactions
    past = rows.where(np.arange(len(rows)) % (rows.user + 1) == 0)  # histories of many lengths
    together = model.score(Queries.of(past, np.arange(N)))
    alone = np.concatenate([model.score(Queries.of(past, np.array([user]))) for user in range(N)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_beta_is_that_of_the_paper() -> None:
    alpha = 256 / 3_415  # gSASRec on MovieLens 1M: 256 of the 3,415 other items
    assert beta(256, 3_416, 0.0) == pytest.approx(1.0)  # plain BCE
    assert beta(256, 3_416, 1.0) == pytest.approx(alpha)  # fully calibrated
    assert beta(256, 3_416, 0.75) == pytest.approx(0.75 * alpha + 0.25)  # alpha (t - t/alpha + 1/alpha)
    assert beta(50, 20, 0.75) == pytest.approx(1.0)  # all negatives are drawn: nothing to calibrate


def test_losses_by_hand() -> None:
    liked, others = torch.tensor([0.0]), torch.tensor([[0.0, math.log(3)]])
    half, quarter = math.log(2), math.log(4)  # -log(1 - sigmoid) of 0 and of log 3

    def cost(loss: Any, n_known: int = 3) -> float:
        return float(sequence_loss(loss, liked, others, n_known=n_known, calibration=1.0))

    assert cost("bce") == pytest.approx((half + half + quarter) / 3)
    assert cost("gbce", 9) == pytest.approx((0.25 * half + half + quarter) / 3)
    assert cost("softmax") == pytest.approx(math.log(1 + 1 + 3))
    assert cost("softmax", 9) == pytest.approx(math.log(1 + 4 * (1 + 3)))  # each of the 2 stands for 4 of 8


@pytest.mark.parametrize("loss", LOSSES)
def test_a_negative_that_is_none_costs_nothing(loss: Any) -> None:
    liked, others = torch.tensor([0.5], requires_grad=True), torch.tensor([[NEVER]], requires_grad=True)
    sequence_loss(loss, liked, others, n_known=2, calibration=1.0).sum().backward()  # type: ignore[no-untyped-call]
    assert liked.grad is not None
    assert torch.isfinite(liked.grad).all()
    assert others.grad is not None
    assert (others.grad == 0).all()


def test_windows_hold_every_step_with_the_next_one(rng: np.random.Generator) -> None:
    data = dataset([(0, item) for item in range(8)] + [(1, 3), (1, 3), (1, 4), (2, 5)], n_users=4, n_items=8)
    windows = Windows(data, 3)
    seen = set()
    for _ in range(20):
        pairs = []
        for steps, following in windows.shuffled(rng, 2):
            assert steps.shape == following.shape
            assert (np.diff(steps != 8, axis=1) >= 0).all()  # padding stands in front
            real = steps != 8
            pairs += list(zip(steps[real].tolist(), following[real].tolist(), strict=True))
            seen |= {tuple(row) for row in steps.tolist() if len(row) == 3 and 8 not in row}
        assert sorted(pairs) == sorted([(item, item + 1) for item in range(7)] + [(3, 4)])
    assert seen == {(item, item + 1, item + 2) for item in range(5)}  # cut at every place


def test_heads_must_share_the_factors() -> None:
    with pytest.raises(ValueError, match="factors must be a multiple of n_heads, got 10 and 4"):
        create("sasrec", factors=10, n_heads=4)
