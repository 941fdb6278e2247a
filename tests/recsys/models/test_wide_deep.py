"""Wide & Deep against its formula, and in worlds where crosses, numbers or histories alone tell."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import create, load, save
from recsys.models.neural import perceptron
from recsys.models.neural.batches import sequences
from recsys.models.neural.features import Attributes
from recsys.recommend import recommend
from tests.worlds import checkerboard, dataset, random_market

SMALL: dict[str, Any] = {
    "factors": 4,
    "hidden": 8,
    "patience": 0,
    "epochs": 30,
    "batch_size": 64,
    "learning_rate": 0.01,
}
NAN = np.nan


def everyone(data: Dataset) -> Queries:
    return Queries.of(data.interactions, np.arange(len(data.users)))


def without(data: Dataset, *, users: Any = (), items: Any = ()) -> Dataset:
    rows = data.interactions
    return data.keep(rows.where(~np.isin(rows.user, users) & ~np.isin(rows.item, items)))


def aged(rng: np.random.Generator, n: int = 40) -> tuple[Dataset, NDArray[np.bool_]]:
    """Young users like items of one kind and old ones of the other; where they live says nothing.

    Returns which items (n_users, n_items) each likes.
    """
    age, place, kind = np.arange(n) % 2, np.arange(n) // 2 % 2, np.arange(n) % 2
    likes = np.equal.outer(age, kind)
    pairs = [(user, item) for user in range(n) for item in rng.permutation(np.flatnonzero(likes[user]))[:6]]
    data = dataset(rng.permutation(pairs), n_users=n, n_items=n)
    words = np.array([["young", "old"], ["north", "south"], ["x", "y"]], object)
    users = {"age": words[0][age], "place": words[1][place]}
    return dataclasses.replace(data, item_features={"kind": words[2][kind]}, user_features=users), likes


def described_market(rng: np.random.Generator) -> Dataset:
    """A random market with labels and numbers on both sides, some of them missing."""
    data = random_market(rng, 30, 20, 200)
    price, age = rng.random(20), rng.random(30)
    price[3] = age[4] = NAN
    genre = np.resize(np.array(["a", "b|c", "c", ""], object), 20)
    place = np.resize(np.array(["north", "south", ""], object), 30)
    items, users = {"genre": genre, "price": price}, {"place": place, "age": age}
    return dataclasses.replace(data, item_features=items, user_features=users)


def test_score_is_both_parts_written_out(rng: np.random.Generator) -> None:
    data = described_market(rng)
    model = create("wide_deep", **SMALL | {"epochs": 3, "length": 2, "half_life": 1.0}).fit(data)
    learnt = {n.removeprefix("network."): a.astype(np.float64) for n, a in model.state().items()}
    queries = everyone(data)
    user = int(np.argmax(np.diff(queries.indptr)))
    last = queries.items[queries.indptr[user + 1] - 2 : queries.indptr[user + 1]]
    assert last[0] != last[1]  # two steps

    def item(number: int) -> NDArray[np.float64]:
        labels = learnt["item_labels"][number] @ learnt["of_item_labels"]
        return np.concatenate([learnt["ids.weight"][number, 1:], labels, learnt["item_numbers"][number]])

    past = (item(last[0]) * 0.5 + item(last[1])) / 1.5
    past_labels = (learnt["item_labels"][last[0]] * 0.5 + learnt["item_labels"][last[1]]) / 1.5
    own = learnt["user_labels"][user]
    wide = np.concatenate([own, past_labels]) @ learnt["crosses"] @ learnt["item_labels"][5]
    about = np.concatenate([past, own @ learnt["of_user_labels"], learnt["user_numbers"][user]])
    first = learnt["tower.of_user.weight"] @ about
    first = first + learnt["tower.of_item.weight"] @ item(5) + learnt["tower.of_item.bias"]
    second = learnt["tower.above.2.weight"] @ first.clip(min=0) + learnt["tower.above.2.bias"]
    deep = learnt["tower.above.5.weight"][0] @ second.clip(min=0) + learnt["tower.above.5.bias"][0]
    assert learnt["crosses"].shape == (2 + 3, 3)
    assert abs(wide) > 1e-4
    expected = learnt["ids.weight"][5, 0] + wide + deep
    assert model.score(queries)[user, 5] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_scores_of_the_catalogue_are_those_of_training(rng: np.random.Generator, monkeypatch: Any) -> None:
    data = described_market(rng)
    model: Any = create("wide_deep", **SMALL | {"epochs": 3, "length": 4}).fit(data)
    queries = everyone(data)
    histories = torch.from_numpy(sequences(queries, 20, 4))
    with torch.inference_mode():
        plain, _ = model._alive()(torch.arange(30), histories, torch.arange(20).expand(30, -1))
    known = model.state()["known_items"]
    whole = model.score(queries)
    heard = ~np.isnan(whole).all(axis=1)
    np.testing.assert_allclose(whole[heard][:, known], plain.numpy()[heard][:, known], rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(perceptron, "_CELLS", 1)  # an item at a time
    np.testing.assert_allclose(model.score(queries), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["bce", "bpr"])
def test_a_user_without_a_history_is_known_by_his_labels(rng: np.random.Generator, loss: str) -> None:
    data, likes = aged(rng)
    new = np.arange(36, 40)
    past = without(data, users=new)
    model = create("wide_deep", **SMALL | {"epochs": 30, "loss": loss}).fit(past)
    lists = recommend(model, Queries.of(past.interactions, new), 10).items
    assert likes[new[:, None], lists].mean() >= 0.9  # by chance a half
    assert np.isnan(model.score(Queries.of(past.interactions, np.array([-1])))).all()


def test_a_new_item_is_ranked_by_its_features(rng: np.random.Generator) -> None:
    data, likes = aged(rng)
    new = np.array([38, 39])  # one of each kind
    past = without(data, items=new)
    model = create("wide_deep", **SMALL | {"epochs": 30, "id_dropout": 0.3}).fit(past)
    best = model.score(everyone(past))[:, new].argmax(axis=1)
    assert likes[np.arange(40), new[best]].mean() >= 0.95


def test_crosses_alone_tell_like_from_like() -> None:
    # item labels are liked by the users of the same label; ids and the network are kept out of it
    place = np.resize(np.array(["a", "b", "c"], object), 30)
    pairs = [(user, item) for user in range(30) for item in range(30) if user % 3 == item % 3 and user != item]
    data = dataset(np.random.default_rng(0).permutation(pairs), n_users=30, n_items=30)
    data = dataclasses.replace(data, item_features={"place": place}, user_features={"place": place})
    crosses = create("wide_deep", **SMALL).fit(data).state()["network.crosses"]
    assert crosses.shape == (3 + 3, 3)
    for part in (crosses[:3], crosses[3:]):  # with the labels of the user, and with those of his history
        assert (np.diag(part) > 0).all()
        assert (part[~np.eye(3, dtype=bool)] < 0).all()


def test_numbers_tell_who_likes_what(rng: np.random.Generator) -> None:
    # people like what costs as much as they earn
    money, price = rng.random(60), rng.random(60)
    near = np.abs(np.subtract.outer(money, price)).argsort(axis=1)
    pairs = [(user, item) for user in range(60) for item in rng.permutation(near[user, :15])[:8]]
    data = dataset(rng.permutation(pairs), n_users=60, n_items=60)
    data = dataclasses.replace(data, item_features={"price": price}, user_features={"money": money})
    new = np.arange(0, 60, 6)
    past = without(data, users=new)
    model = create("wide_deep", **SMALL | {"epochs": 50, "hidden": 16}).fit(past)
    lists = recommend(model, Queries.of(past.interactions, new), 10).items
    away = np.abs(price[lists] - money[new][:, None]).mean()
    by_chance = np.abs(np.subtract.outer(money[new], price)).mean()
    assert away < by_chance / 2


def test_a_history_that_is_nobodys_is_enough() -> None:
    data, _ = checkerboard()
    bare = dataclasses.replace(data, item_features={}, user_features={})
    model = create("wide_deep", **SMALL | {"epochs": 60}).fit(bare)
    rows = dataset([(0, 0), (0, 4), (0, 8)], n_users=1, n_items=20).interactions
    query = dataclasses.replace(Queries.of(rows, np.array([0])), users=np.array([-1], np.int32))
    scores = model.score(query)[0]
    assert scores[::2].min() > scores[1::2].max()
    assert model.state()["network.crosses"].shape == (0, 0)


def test_a_blank_item_or_user_is_unknown(rng: np.random.Generator) -> None:
    data, _ = aged(rng)
    data.item_features["kind"][39] = ""
    data.user_features["age"][39] = data.user_features["place"][39] = ""
    past = without(data, users=[38, 39], items=[38, 39])
    scores = create("wide_deep", **SMALL | {"epochs": 2}).fit(past).score(everyone(past))
    assert np.isnan(scores[39]).all()
    assert np.isnan(scores[:, 39]).all()
    assert not np.isnan(scores[:39, :39]).any()


def test_what_is_known_of_users_and_items_is_saved_with_it(rng: np.random.Generator, tmp_path: Path) -> None:
    data = described_market(rng)
    model = create("wide_deep", **SMALL | {"epochs": 3}).fit(data)
    save(model, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "model.json").read_text())["model"] == "wide_deep"
    np.testing.assert_array_equal(load(tmp_path / "model").score(everyone(data)), model.score(everyone(data)))
    with pytest.raises(ValueError, match="another network than its parameters make"):
        create("wide_deep", **SMALL | {"n_layers": 3}).restore(model.state())


def test_an_infinite_number_is_refused_by_name(market: Dataset) -> None:
    price = np.ones(25)
    price[2] = np.inf
    with pytest.raises(ValueError, match="column 'price' has an infinite number"):
        create("wide_deep", **SMALL).fit(dataclasses.replace(market, item_features={"price": price}))


def test_attributes_are_the_most_frequent_labels_and_the_numbers() -> None:
    features = {
        "genre": np.array(["b", "a|b", "", "c", "b", "a", "b", "b", "b"], object),
        "place": np.array(["x", "x", "x", "y", "", "x", "x", "x", ""], object),
        "price": np.array([1.0, 2, 3, 4, 5, NAN, NAN, NAN, NAN]),
        "title": np.array(["one", "two", "three", "four", "five", "six", "", "", ""], object),
    }
    about = Attributes.of(features, 9, 3)
    # x and b six times, a twice; y and c are left out; columns are in their order
    half = 0.5**0.5
    both = [0, 1, 1]
    expected = [both, [half, half, 1], [0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1], both, both, [0, 1, 0]]
    np.testing.assert_allclose(about.labels, expected, rtol=1e-6)
    assert about.numbers.shape == (9, 2)
    assert not about.numbers[5:].any()
    np.testing.assert_allclose(about.numbers[2], [1, 0], atol=1e-7)  # the median
    nothing = Attributes.of({}, 4, 3)
    assert nothing.labels.shape == nothing.numbers.shape == (4, 0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"factors": 0}, "factors must be an integer >= 1"),
        ({"n_labels": 0}, "n_labels must be an integer >= 1"),
        ({"n_layers": 4, "hidden": 4}, "hidden must be >= 8 to be halved by n_layers=4, got 4"),
        ({"length": 0}, "length must be an integer >= 1"),
        ({"half_life": -1}, "half_life must be a finite number > 0"),
        ({"loss": "logistic"}, "loss must be one of 'bce', 'bpr'"),
        ({"negatives": 0}, "negatives must be an integer >= 1"),
        ({"dropout": 1.0}, "dropout must be a finite number >= 0 and <= 0.99"),
        ({"id_dropout": 2}, "id_dropout must be a finite number >= 0 and <= 1"),
        ({"regularization": float("nan")}, "regularization must be a finite number >= 0"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create("wide_deep", **params)
