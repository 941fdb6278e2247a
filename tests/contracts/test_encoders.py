"""What every registered encoder must do. To register an encoder is to be tested here."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import issparse

from recsys.encoders import ENCODERS
from recsys.encoders.base import Encoded, Encoder, create, params
from recsys.encoders.combine import unit_rows

Columns = dict[str, NDArray[Any]]

# the columns of the world below that each encoder reads
PARAMS: dict[str, dict[str, Any]] = {
    "tfidf": {"columns": ["words", "more"]},
    "sentence": {"columns": ["words", "more"]},
    "attributes": {"columns": ["labels", "price", "born"]},
    "vectors": {"columns": ["image", "sound"]},
}
NEEDS = {"tfidf": "sklearn", "sentence": "sentence_transformers"}


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest, installed: Any) -> Encoder:
    if request.param in NEEDS:
        installed(NEEDS[request.param])
    return create(request.param, **PARAMS[request.param])


def world() -> Columns:
    """Six items: 0 and 1 alike, 2 and 3 alike and not like them, 4 something else, nothing known of 5."""
    nan = np.nan
    return {
        "words": np.array(["red running shoes", "running shoes, red", "iron pan", "pan of iron", "tent", ""], object),
        "more": np.array(["sport", "sport", "kitchen", "kitchen", None, None], object),
        "labels": np.array(["shoe|sport", "sport|shoe", "pan", "pan", "camping", None], object),
        "price": np.array([90.0, 85.0, 20.0, 22.0, nan, nan]),
        "born": np.array(["2024-01-01", "2024-01-03", "2020-01-01", "2020-02-01", "NaT", "NaT"], "datetime64[D]"),
        "image": np.array([[1, 0, 0.1], [1, 0, 0], [0, 1, 0], [0, 1, 0.1], [0, 0, 1], [nan] * 3], np.float32),
        "sound": np.array([[2.0, 0], [4, 0], [0, 1], [0, 2], [nan, nan], [nan, nan]]),
    }


def rows(features: Columns, order: Any) -> Columns:
    return {name: column[order] for name, column in features.items()}


def dense(vectors: Encoded) -> NDArray[np.floating]:
    return np.asarray(vectors.toarray() if issparse(vectors) else vectors)


def test_one_finite_vector_per_row(encoder: Encoder) -> None:
    vectors = encoder.encode(world())
    assert vectors.shape[0] == 6
    assert vectors.dtype in (np.float32, np.float64)
    assert np.isfinite(dense(vectors)).all()


def test_like_rows_point_the_same_way(encoder: Encoder) -> None:
    unit = dense(unit_rows(encoder.encode(world())))
    cosine = unit @ unit.T
    assert min(cosine[0, 1], cosine[2, 3]) > cosine[:2, 2:5].max() + 0.2


def test_a_row_of_which_nothing_is_known_is_zero_and_no_other(encoder: Encoder) -> None:
    known = dense(encoder.encode(world())).any(axis=1)
    assert known.tolist() == [True] * 5 + [False]


def test_columns_that_say_nothing_at_all_give_zeros(encoder: Encoder) -> None:
    assert not dense(encoder.encode(rows(world(), [5, 5]))).any()


def test_one_row_and_no_rows_are_enough(encoder: Encoder) -> None:
    assert dense(encoder.encode(rows(world(), [0]))).any()
    assert encoder.encode(rows(world(), slice(0, 0))).shape[0] == 0


def test_the_same_columns_give_the_same_vectors(encoder: Encoder) -> None:
    again = create(encoder.name, **PARAMS[encoder.name])
    np.testing.assert_array_equal(dense(encoder.encode(world())), dense(again.encode(world())))


def test_other_numbers_for_the_items_permute_the_rows(encoder: Encoder, rng: np.random.Generator) -> None:
    order = rng.permutation(6)
    vectors = dense(encoder.encode(world()))
    np.testing.assert_allclose(dense(encoder.encode(rows(world(), order))), vectors[order], atol=1e-12)


def test_nothing_handed_in_is_written_to(encoder: Encoder) -> None:
    features = world()
    for column in features.values():
        column.flags.writeable = False
    vectors = dense(encoder.encode(features))
    vectors[:] = 7  # what is handed out belongs to the caller
    for name, column in world().items():
        np.testing.assert_array_equal(features[name], column)


def test_unknown_column_is_refused_with_the_nearest_and_the_list(encoder: Encoder) -> None:
    name = encoder.columns[0]
    wrong = create(encoder.name, columns=[name + "s"])
    with pytest.raises(LookupError, match=rf"unknown feature '{name}s'; did you mean '{name}'\? known: born, image"):
        wrong.encode(world())


def test_parameters_are_checked_and_survive_json(encoder: Encoder) -> None:
    back = create(encoder.name, **json.loads(json.dumps(params(encoder))))
    assert params(back) == params(encoder)
    with pytest.raises(ValueError, match="has no parameter 'colums'; did you mean 'columns'"):
        create(encoder.name, colums=["words"])
    for bad in ("words", [], [3]):
        with pytest.raises(ValueError, match=r"columns of encoder .* must be a list of one or more names"):
            create(encoder.name, columns=bad)
