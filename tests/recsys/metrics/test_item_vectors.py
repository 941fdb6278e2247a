from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.vocabulary import Vocabulary
from recsys.metrics.item_vectors import DIMENSIONS, collaborative_vectors, item_vectors, label_vectors, text_vectors

Touched = Callable[..., Interactions]


def dataset(interactions: Interactions, features: Mapping[str, np.ndarray[Any, Any]]) -> Dataset:
    users = Vocabulary.of([f"{i:05}" for i in range(interactions.n_users)])
    items = Vocabulary.of([f"{i:05}" for i in range(interactions.n_items)])
    return Dataset(name="tiny", interactions=interactions, users=users, items=items, item_features=features)


def cosines(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    return np.asarray(unit @ unit.T)


def test_labels_between_bars_are_shared_directions() -> None:
    genres = np.array(["Action|Comedy", "Comedy", "Drama", "", "Comedy| Action"])
    like = cosines(label_vectors({"genres": genres}, ("genres",)))
    np.testing.assert_allclose(like[0], [1, np.sqrt(0.5), 0, 0, 1], atol=1e-12)
    assert like[3, 3] == 0  # no label, no vector


def test_many_labels_are_reduced_and_keep_their_groups(rng: np.random.Generator) -> None:
    group = np.arange(200) % 4
    labels = np.array([f"g{g}|x{rng.integers(100)}" for g in group])
    vectors = label_vectors({"categories": labels}, ("categories",))
    assert vectors.shape == (200, DIMENSIONS)
    like = cosines(vectors)
    assert like[0, group == 0].mean() > like[0, group != 0].mean() + 0.5


def test_words_in_common_make_texts_alike() -> None:
    title = np.array(["red running shoes", "blue running shoes", "cast iron pan", None], dtype=object)
    like = cosines(text_vectors({"title": title}, ("title",)))
    assert like[0, 1] > 0.3
    assert abs(like[0, 2]) < 1e-12
    assert like[3, 3] == 0


def test_items_of_the_same_users_are_alike(touched: Touched, rng: np.random.Generator) -> None:
    # users with an even number touch even items, the others odd ones
    pairs = [(u, 2 * int(i) + u % 2) for u in range(200) for i in rng.choice(40, 12, replace=False)]
    vectors = collaborative_vectors(touched(pairs, 200, 81))
    assert vectors.shape == (81, DIMENSIONS)
    like = cosines(vectors)
    assert like[0, 2:80:2].mean() > 0.2
    assert np.abs(like[0, 1::2]).max() < 1e-6
    assert not vectors[80].any()  # touched by nobody


def test_same_data_same_vectors(touched: Touched, rng: np.random.Generator) -> None:
    interactions = touched(rng.integers(0, 60, (900, 2)).tolist(), 60, 60)
    np.testing.assert_array_equal(collaborative_vectors(interactions), collaborative_vectors(interactions))


def test_the_first_source_that_has_something_is_taken(touched: Touched) -> None:
    interactions = touched([(0, 0), (0, 1), (1, 2)], 3, 3)
    titles, genres = np.array(["a cat", "the cat", "dogs"]), np.array(["x|y", "x", "z"])
    empty = np.array(["", "", ""])
    origins = [
        item_vectors(dataset(interactions, features)).origin
        for features in ({"title": titles, "genres": genres}, {"title": titles, "genres": empty}, {"price": np.ones(3)})
    ]
    assert origins == ["label: genres", "text: title", "collaborative"]


@pytest.mark.parametrize("n_users", [1, 20, 40])
def test_few_users_are_enough(touched: Touched, n_users: int) -> None:
    pairs = [(i % n_users, i) for i in range(50)]
    vectors = collaborative_vectors(touched(pairs, n_users, 50))
    assert len(vectors) == 50
    assert np.isfinite(vectors).all()
