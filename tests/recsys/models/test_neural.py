import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Recommender, create
from recsys.models.neural.batches import Pairs, sequences
from recsys.models.neural.held_out import HeldOut
from tests.worlds import checkerboard, dataset, random_market

SMALL: dict[str, Any] = {"factors": 8, "patience": 0, "epochs": 6}


@pytest.fixture
def market(rng: np.random.Generator) -> Dataset:
    return random_market(rng, 30, 20, weighted=True)


def scores(model: Recommender, data: Dataset) -> Any:
    return model.score(Queries.of(data.interactions, np.arange(len(data.users))))


class StoppedError(Exception):
    pass


def interrupted(model: Recommender, data: Dataset, folder: Path, after: int) -> None:
    def stop(epoch: int, _: Recommender) -> None:
        if epoch == after:
            raise StoppedError

    with pytest.raises(StoppedError):
        model.fit(data, watch=stop, checkpoint=folder)


@pytest.mark.parametrize("patience", [0, 10])
def test_a_fit_that_was_interrupted_ends_where_an_uninterrupted_one_does(
    market: Dataset, tmp_path: Path, patience: int
) -> None:
    params = SMALL | {"patience": patience}
    whole = create("lightgcn", **params).fit(market)
    interrupted(create("lightgcn", **params), market, tmp_path, after=3)
    seen: list[int] = []
    again = create("lightgcn", **params).fit(market, watch=lambda epoch, _: seen.append(epoch), checkpoint=tmp_path)
    assert seen == [4, 5, 6]
    np.testing.assert_array_equal(scores(again, market), scores(whole, market))


def test_a_finished_fit_is_not_run_again(market: Dataset, tmp_path: Path) -> None:
    first = create("lightgcn", **SMALL).fit(market, checkpoint=tmp_path)
    seen: list[int] = []
    again = create("lightgcn", **SMALL).fit(market, watch=lambda epoch, _: seen.append(epoch), checkpoint=tmp_path)
    assert seen == []
    np.testing.assert_array_equal(scores(again, market), scores(first, market))


def test_more_epochs_go_on_from_the_checkpoint(market: Dataset, tmp_path: Path) -> None:
    create("lightgcn", **SMALL).fit(market, checkpoint=tmp_path)
    longer = SMALL | {"epochs": 8}
    seen: list[int] = []
    create("lightgcn", **longer).fit(market, watch=lambda epoch, _: seen.append(epoch), checkpoint=tmp_path)
    assert seen == [7, 8]


def test_a_checkpoint_of_another_fit_is_refused(market: Dataset, tmp_path: Path) -> None:
    create("lightgcn", **SMALL).fit(market, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="other data or parameters; name another folder"):
        create("lightgcn", **SMALL | {"seed": 1}).fit(market, checkpoint=tmp_path)


def test_a_fit_ends_when_held_out_likes_rank_no_better(market: Dataset) -> None:
    seen: list[int] = []
    params = {"factors": 8, "patience": 3, "epochs": 500, "learning_rate": 0.1}
    model = create("lightgcn", **params).fit(market, watch=lambda epoch, _: seen.append(epoch))
    assert 3 < len(seen) < 500
    best = create("lightgcn", **params | {"epochs": len(seen) - 3}).fit(market)  # the epoch that was kept is its last
    np.testing.assert_array_equal(scores(model, market), scores(best, market))


def test_nobody_to_hold_out_is_no_reason_to_stop() -> None:
    data = dataset([(0, 0), (1, 1)], n_users=2, n_items=2)
    seen: list[int] = []
    create("lightgcn", factors=4, patience=2, epochs=7).fit(data, watch=lambda epoch, _: seen.append(epoch))
    assert len(seen) == 7


def test_the_global_generator_is_left_as_it_was(market: Dataset) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    scores(create("lightgcn", **SMALL).fit(market), market)
    assert torch.equal(torch.rand(2), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_without_a_number_is_refused_with_the_cure(market: Dataset) -> None:
    with pytest.raises(FloatingPointError, match=r"epoch \d+; lower learning_rate"):
        create("lightgcn", **SMALL | {"learning_rate": 1e30, "loss": "bpr"}).fit(market)


def test_a_state_of_other_parameters_is_refused(market: Dataset) -> None:
    state = create("lightgcn", **SMALL).fit(market).state()
    other = create("lightgcn", **SMALL | {"factors": 9})
    with pytest.raises(ValueError, match="another network than its parameters make"):
        other.restore(state)
    with pytest.raises(RuntimeError, match="not fitted"):
        other.state()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="use 'auto' or 'cpu'"):
        create("lightgcn", device="cuda")


def test_held_out_is_each_users_last_like_and_nothing_else() -> None:
    data = dataset([(0, 1), (0, 2), (1, 0), (0, 3)], n_users=2, n_items=4, weights=[1, 1, 1, -1])
    held = HeldOut.of(data, 0)
    assert held is not None
    assert held.queries.users.tolist() == [0]  # user 1 has one like only
    assert held.items.tolist() == [2]  # item 3 came later and is no like
    assert held.rest.interactions.item.tolist() == [1, 0, 3]


def test_the_value_of_held_out_likes_is_the_discounted_rank() -> None:
    data = dataset([(0, 0), (0, 1)], n_users=1, n_items=4)
    held = HeldOut.of(data, 0)
    assert held is not None

    class Fixed:
        def score(self, queries: Queries) -> Any:
            return np.array([[9, 2, 5, 2]], np.float32)  # the seen item 0 does not count, item 3 ties

    assert held.value(Fixed()) == pytest.approx(1 / math.log2(1 + 2.5))  # type: ignore[arg-type]


def test_sequences_are_padded_in_front_and_cut_to_the_latest() -> None:
    data = dataset([(0, 1), (0, 1), (0, 2), (0, 3), (0, 1), (1, 0)], n_users=3, n_items=4, weights=[1, 1, 1, -1, 1, 1])
    steps = sequences(Queries.of(data.interactions, np.arange(3)), 4, 3)
    assert steps.tolist() == [[1, 2, 1], [4, 4, 0], [4, 4, 4]]
    assert sequences(Queries.of(data.interactions, np.arange(1)), 4, 2).tolist() == [[2, 1]]


def test_negatives_are_known_and_not_liked(rng: np.random.Generator) -> None:
    data, _ = checkerboard()
    rows = data.interactions
    pairs = Pairs(data.keep(rows.where(rows.item != 4)))
    users = np.arange(20).repeat(50)
    drawn = pairs.negatives(users, 3, rng)
    liked = set(zip(pairs.users.tolist(), pairs.items.tolist(), strict=True))
    assert drawn.shape == (1000, 3)
    assert 4 not in drawn
    assert not liked & set(zip(users.repeat(3).tolist(), drawn.ravel().tolist(), strict=True))
