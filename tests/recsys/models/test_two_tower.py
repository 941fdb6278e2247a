"""Two towers by hand, where features alone tell, and with an index."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import create, load, save
from recsys.models.neural.losses import in_batch_softmax
from recsys.models.neural.towers import Towers
from recsys.models.two_tower import TwoTower
from recsys.recommend import recommend
from tests.worlds import checkerboard, dataset, random_market

SMALL: dict[str, Any] = {
    "factors": 8,
    "hidden": 8,
    "dimensions": 4,
    "patience": 0,
    "epochs": 15,
    "batch_size": 64,
    "learning_rate": 0.01,
}


def everyone(data: Dataset) -> Queries:
    return Queries.of(data.interactions, np.arange(len(data.users)))


def history(data: Dataset, *items: int) -> Queries:
    rows = dataset([(0, item) for item in items], n_users=1, n_items=len(data.items)).interactions
    return dataclasses.replace(Queries.of(rows, np.array([0])), users=np.array([-1], np.int32))


def without(data: Dataset, *, users: Any = (), items: Any = ()) -> Dataset:
    rows = data.interactions
    return data.keep(rows.where(~np.isin(rows.user, users) & ~np.isin(rows.item, items)))


def towers(pooling: str, half_life: float | None, length: int = 3) -> Towers:
    torch.manual_seed(0)
    sizes = {"n_users": 1, "n_items": 4, "user_content": 0, "item_content": 0}
    model = TwoTower(factors=2, hidden=2, length=length, pooling=pooling, half_life=half_life)  # type: ignore[arg-type]
    return model._network(sizes).eval()


def pooled(net: Towers, *items: tuple[float, float]) -> NDArray[np.float32]:
    """The user's vector of a history of inputs, (0, 0) standing for padding."""
    inputs = torch.tensor(items)[None]
    with torch.no_grad():
        vector: NDArray[np.float32] = net.user(torch.tensor([-1]), inputs, inputs.any(dim=2))[0].numpy()
    return vector


def test_the_softmax_by_hand() -> None:
    logits = torch.log(torch.tensor([[2.0, 1.0, 1.0], [1.0, 6.0, 1.0], [4.0, 2.0, 2.0]]))
    items = torch.tensor([5, 2, 0])
    expected = -(math.log(2 / 4) + math.log(6 / 8) + math.log(2 / 8)) / 3
    assert float(in_batch_softmax(logits, items, None)) == pytest.approx(expected, rel=1e-6)
    # among the two other columns item 5 is expected 0.8 times, the others 0.2 times; the own one is always there
    log_q = torch.log(torch.tensor([0.1, 0.1, 0.1, 0.1, 0.2, 0.4]))
    expected = -(math.log(2 / (2 + 5 + 5)) + math.log(6 / (1.25 + 6 + 5)) + math.log(2 / (5 + 10 + 2))) / 3
    assert float(in_batch_softmax(logits, items, log_q)) == pytest.approx(expected, rel=1e-6)


def test_the_own_item_of_another_row_is_no_negative() -> None:
    logits = torch.log(torch.tensor([[2.0, 9.0, 1.0], [9.0, 3.0, 1.0], [1.0, 1.0, 2.0]]))
    expected = -(math.log(2 / 3) + math.log(3 / 4) + math.log(2 / 4)) / 3
    assert float(in_batch_softmax(logits, torch.tensor([7, 7, 1]), None)) == pytest.approx(expected, rel=1e-6)


def test_corrected_logits_learn_the_share_of_the_likes(rng: np.random.Generator) -> None:
    # nobody has a taste: the softmax over the catalogue is then the shares, whatever the batches draw
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    log_q = torch.from_numpy(np.log(shares)).float()
    scores = torch.zeros(4, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.01)
    for _ in range(500):
        items = torch.from_numpy(rng.choice(4, size=64, p=shares))
        loss = in_batch_softmax(scores[items].expand(64, 64), items, log_q)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # a standard error of a share is 0.06 in one batch; the last hundred steps average over many
    np.testing.assert_allclose(scores.softmax(0).detach().numpy(), shares, atol=0.03)


def test_training_knows_the_share_of_every_item(market: Dataset) -> None:
    state = create("two_tower", **SMALL | {"epochs": 1}).fit(market).state()
    assert np.exp(state["network.log_q"])[state["known_items"]].sum() == pytest.approx(1, rel=1e-5)
    popular = np.argmax(state["network.log_q"])
    rows = market.interactions
    assert len(np.unique(rows.user[rows.item == popular])) >= 10  # of the first items, nearly everybody's


def test_a_history_halves_with_every_half_life() -> None:
    east, north, none = (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)
    vector = pooled(towers("mean", 1.0), none, east, north)  # the latest stands last
    np.testing.assert_allclose(vector, np.array([0.5, 1]) / math.hypot(0.5, 1), rtol=1e-5)
    vector = pooled(towers("mean", 2.0), east, none, north)  # two likes since
    np.testing.assert_allclose(vector, np.array([0.5, 1]) / math.hypot(0.5, 1), rtol=1e-5)
    np.testing.assert_allclose(pooled(towers("mean", None), north, east, none), [0.5**0.5] * 2, rtol=1e-5)


def test_attention_counts_an_item_by_its_product() -> None:
    east, north, none = (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)
    net = towers("attention", 1.0)
    plain = pooled(towers("mean", 1.0), none, east, north)
    np.testing.assert_allclose(pooled(net, none, east, north), plain, rtol=1e-5)  # it starts as the mean
    assert net.attention is not None
    with torch.no_grad():
        net.attention.copy_(torch.tensor([math.log(6), 0.0]))
    expected = np.array([0.5 * 6, 1]) / math.hypot(0.5 * 6, 1)
    np.testing.assert_allclose(pooled(net, none, east, north), expected, rtol=1e-5)
    assert not pooled(net, none, none, none).any()  # of nothing, nothing


def test_attention_learns_which_items_tell(rng: np.random.Generator) -> None:
    # item 0 or 1 comes first and tells whether the last will be 2 or 3; eight others between them say nothing
    rows = [[first, *rng.permutation(np.arange(4, 12))[:5], first + 2] for first in np.resize([0, 1], 60)]
    pairs = [(user, item) for user, items in enumerate(rows) for item in items]
    data = dataclasses.replace(dataset(pairs, n_users=60, n_items=12), item_features={}, user_features={})
    params = SMALL | {"pooling": "attention", "half_life": None, "epochs": 60}
    state = create("two_tower", **params).fit(data).state()
    logits = state["network.ids.weight"][:12] @ state["network.attention"]
    assert logits[:2].min() > logits[4:].max()


def genre_world(rng: np.random.Generator, n: int = 40) -> tuple[Dataset, NDArray[np.object_], NDArray[np.object_]]:
    """Users of four places like items of their place's genre, two thirds of the time; the features tell both."""
    place, genre = (np.resize(np.array(list("abcd"), object), n) for _ in range(2))
    pairs = []
    for user in range(n):
        own, other = np.flatnonzero(genre == place[user]), np.flatnonzero(genre != place[user])
        pairs += [(user, item) for item in (*rng.permutation(own)[:6], *rng.permutation(other)[:3])]
    data = dataset(rng.permutation(pairs), n_users=n, n_items=n)
    return dataclasses.replace(data, item_features={"genre": genre}, user_features={"place": place}), place, genre


def test_a_new_item_is_ranked_by_its_features(rng: np.random.Generator) -> None:
    data, place, genre = genre_world(rng)
    new = np.arange(36, 40)  # one of each genre
    model = create("two_tower", **SMALL | {"epochs": 60, "id_dropout": 0.3}).fit(without(data, items=new))
    best = model.score(everyone(without(data, items=new)))[:, new].argmax(axis=1)
    assert (genre[new][best] == place).mean() >= 0.95  # by chance a quarter


def test_a_user_without_a_history_is_known_by_his_features(rng: np.random.Generator) -> None:
    data, place, genre = genre_world(rng)
    new = np.arange(36, 40)
    past = without(data, users=new)
    model = create("two_tower", **SMALL | {"epochs": 60}).fit(past)
    lists = recommend(model, Queries.of(past.interactions, new), 5).items
    assert (genre[lists] == place[new][:, None]).mean() >= 0.8
    assert np.isnan(model.score(Queries.of(past.interactions, np.array([-1])))).all()


def test_a_user_without_history_or_features_gets_no_scores(rng: np.random.Generator) -> None:
    data, place, _ = genre_world(rng)
    place[39] = ""
    past = without(data, users=[39])
    model = create("two_tower", **SMALL | {"epochs": 2}).fit(past)
    scores = model.score(everyone(past))
    assert np.isnan(scores[39]).all()
    assert not np.isnan(scores[:39]).any()


def test_a_history_that_is_nobodys_is_enough() -> None:
    data, _ = checkerboard()
    bare = dataclasses.replace(data, item_features={}, user_features={})
    model = create("two_tower", **SMALL | {"epochs": 30}).fit(bare)
    scores = model.score(history(bare, 0, 4, 8))[0]
    assert scores[::2].min() > scores[1::2].max()


def test_only_the_latest_likes_are_read(market: Dataset) -> None:
    model = create("two_tower", **SMALL | {"length": 2}).fit(market)
    short, long = model.score(history(market, 4, 5)), model.score(history(market, 9, 8, 7, 4, 5))
    np.testing.assert_allclose(long, short, rtol=1e-5)


def test_score_is_the_cosine_over_the_temperature(market: Dataset) -> None:
    model: Any = create("two_tower", **SMALL | {"temperature": 0.2}).fit(market)
    users, items = model._user_vectors(everyone(market)), model._item_vectors()
    known = model.state()["known_items"]
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 5, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(items[known], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose((users @ items.T)[:, known], model.score(everyone(market))[:, known], atol=1e-5)


@pytest.mark.parametrize("index", ["exact", "flat"])
def test_an_exact_index_finds_what_scores_find(
    index: str, rng: np.random.Generator, installed: Callable[[str], None]
) -> None:
    installed("faiss")
    data = random_market(rng, 40, 200, 600)
    queries = Queries.of(data.interactions, np.array([*range(40), -1]))
    searched, scored = (create("two_tower", **SMALL | {"epochs": 3, "index": name}).fit(data) for name in (index, None))
    assert searched.searches
    assert searched.recall == 1  # type: ignore[attr-defined]
    left, right = (recommend(model, queries, 10) for model in (searched, scored))
    np.testing.assert_array_equal(left.items, right.items)
    np.testing.assert_allclose(left.scores, right.scores, rtol=1e-4, atol=1e-5)
    assert (left.items[-1] == -1).all()  # of an anonymous query without history nothing is known


def test_an_approximate_index_tells_its_recall_and_is_kept(
    rng: np.random.Generator, tmp_path: Path, installed: Callable[[str], None]
) -> None:
    installed("faiss")
    data = random_market(rng, 60, 900, 4_000)
    model: Any = create("two_tower", **SMALL | {"epochs": 3, "index": "hnsw", "index_params": {"width": 64}}).fit(data)
    exact = create("two_tower", **SMALL | {"epochs": 3}).fit(data)
    lists, best = (recommend(m, everyone(data), 10).items for m in (model, exact))
    found = np.mean([np.isin(b, a).mean() for a, b in zip(lists, best, strict=True)])
    assert found > 0.9
    assert 0.9 <= model.recall <= 1
    save(model, tmp_path / "model")
    back: Any = load(tmp_path / "model")
    assert all(array.dtype != object for array in back.state().values())  # nothing that needs a pickle
    np.testing.assert_array_equal(recommend(back, everyone(data), 10).items, lists)
    np.testing.assert_array_equal(back.score(everyone(data)), model.score(everyone(data)))
    assert back.recall == model.recall
    with pytest.raises(ValueError, match="with index None holds arrays"):
        create("two_tower", **SMALL).restore(model.state())


def test_a_new_item_is_in_the_index_and_a_blank_one_is_not(rng: np.random.Generator) -> None:
    data, _, genre = genre_world(rng)
    genre[39] = ""
    past = without(data, items=[38, 39])
    model = create("two_tower", **SMALL | {"epochs": 3, "index": "exact"}).fit(past)
    place, _ = model.nearest(everyone(past), 40)
    assert (place == 38).sum() == 40
    assert not (place == 39).any()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"factors": 0}, "factors must be an integer >= 1"),
        ({"hidden": 0}, "hidden must be an integer >= 1"),
        ({"dimensions": 1.5}, "dimensions must be an integer >= 1"),
        ({"length": 0}, "length must be an integer >= 1"),
        ({"pooling": "max"}, "pooling must be one of 'mean', 'attention'"),
        ({"half_life": 0}, "half_life must be a finite number > 0"),
        ({"temperature": 0}, "temperature must be a finite number > 0"),
        ({"log_q": 1}, "log_q must be true or false"),
        ({"id_dropout": 1.1}, "id_dropout must be a finite number >= 0 and <= 1"),
        ({"regularization": -1}, "regularization must be a finite number >= 0"),
        ({"index": "hnsw", "index_params": {"widht": 3}}, "has no parameter 'widht'; did you mean 'width'"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create("two_tower", **params)
