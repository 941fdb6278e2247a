"""Blocks side by side, and the parts of a configuration."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, issparse

from recsys.encoders.combine import combine, reduced
from recsys.encoders.parts import create_part, encoded, suggested
from recsys.encoders.vectors import Vectors

NAN = np.nan


def cosines(block: np.ndarray) -> np.ndarray:
    unit = block / np.linalg.norm(block, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def test_products_of_combined_rows_are_weighted_sums_of_the_cosines(rng: np.random.Generator) -> None:
    left, right = rng.normal(size=(5, 3)), 100 * rng.normal(size=(5, 8))
    both = combine([left, right], [0.25, 0.75])
    np.testing.assert_allclose(both @ both.T, 0.25 * cosines(left) + 0.75 * cosines(right))
    mixed = combine([csr_matrix(left), right], [0.25, 0.75])
    assert issparse(mixed)
    np.testing.assert_allclose(mixed.toarray(), both)


def test_a_block_that_knows_nothing_of_a_row_counts_zero() -> None:
    both = combine([np.array([[3.0, 0], [1, 0]]), np.array([[0.0], [5]])])
    np.testing.assert_allclose(both @ both.T, [[0.5, 0.5], [0.5, 1]])


def test_a_block_of_weight_zero_is_left_out(rng: np.random.Generator) -> None:
    assert combine([rng.normal(size=(4, 2)), rng.normal(size=(4, 3))], [0, 1]).shape == (4, 3)


@pytest.mark.parametrize("weights", [[1.0], [-1.0, 1.0], [0.0, 0.0], [NAN, 1.0]])
def test_weights_are_checked(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be 2 finite numbers >= 0"):
        combine([np.ones((1, 1)), np.ones((1, 1))], weights)


@pytest.mark.parametrize("sparse", [True, False])
def test_few_directions_keep_the_products_of_vectors_that_lie_in_them(sparse: bool, rng: np.random.Generator) -> None:
    flat = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 50))
    flat[7] = 0
    narrow = reduced(csr_matrix(flat) if sparse else flat, 4)
    assert narrow.shape == (60, 4)
    np.testing.assert_allclose(narrow @ narrow.T, flat @ flat.T, atol=1e-8)
    assert not narrow[7].any()


def test_vectors_are_checked_by_row() -> None:
    for row, why in (([1, NAN], "is NaN in part"), ([1, np.inf], "has an infinite number")):
        with pytest.raises(ValueError, match=f"row 1 {why}.* \\(1 such rows\\)"):
            Vectors(["image"]).encode({"image": np.array([[1, 2], row])})
    for bad in (np.ones(3), np.array([["a"]], object), np.ones((3, 0))):
        with pytest.raises(ValueError, match=r"must be \(n, d\) numbers"):
            Vectors(["image"]).encode({"image": bad})


def test_parts_are_chosen_by_what_the_columns_hold() -> None:
    features = {
        "image": np.zeros((4, 2)),
        "category": np.array(["a|b", "a|b", "c", "c"], object),
        "text": np.array(["a cat", "a dog", "", ""], object),
        "price": np.array([1.0, 2, 3, NAN]),
    }
    assert suggested(features) == [
        {"encoder": "tfidf", "params": {"columns": ["text"]}},
        {"encoder": "attributes", "params": {"columns": ["category", "price"]}},
        {"encoder": "vectors", "params": {"columns": ["image"]}},
    ]
    assert encoded(features, None).shape[0] == 4


def test_parts_are_checked() -> None:
    with pytest.raises(ValueError, match="an encoder is given as"):
        create_part({"model": "tfidf"})
    with pytest.raises(LookupError, match="unknown encoder 'tfdif'; did you mean 'tfidf'"):
        create_part({"encoder": "tfdif"})
    with pytest.raises(ValueError, match="no features to encode"):
        encoded({}, None)
