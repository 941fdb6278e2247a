"""PureSVD, GF-CF and BSPM against dense linear algebra in float64."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Recommender, create
from recsys.models.bspm import BSPM
from recsys.models.gfcf import GFCF
from recsys.models.pure_svd import PureSVD
from recsys.models.spectral import normalised, right_singular_vectors


def scores(model: Recommender, data: Dataset) -> NDArray[np.float32]:
    return model.fit(data).score(Queries.of(data.interactions, np.arange(len(data.users))))


def dense(data: Dataset) -> NDArray[np.float64]:
    return (data.interactions.csr().toarray() > 0).astype(float)


def graph(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(P, its eigenvectors from the largest eigenvalue on, the roots of the items' degrees)."""
    roots = np.sqrt(x.sum(axis=0))
    spread = x / np.sqrt(x.sum(axis=1, keepdims=True)) / roots
    return spread.T @ spread, np.linalg.svd(spread)[2].T, roots


@pytest.fixture
def full(market: Dataset) -> Dataset:
    """All users and items of it have likes."""
    x = dense(market)
    assert (x.sum(axis=0) > 0).all()
    assert (x.sum(axis=1) > 0).all()
    return market


def test_pure_svd_is_the_dense_projection(full: Dataset) -> None:
    x = dense(full)
    vectors = np.linalg.svd(x)[2][:5].T
    np.testing.assert_allclose(scores(PureSVD(factors=5), full), x @ vectors @ vectors.T, atol=1e-4)


def test_gfcf_is_the_dense_filter(full: Dataset) -> None:
    x = dense(full)
    near, vectors, roots = graph(x)
    smooth = np.diag(1 / roots) @ vectors[:, :4] @ vectors[:, :4].T @ np.diag(roots)
    np.testing.assert_allclose(scores(GFCF(factors=4, alpha=0.7), full), x @ (near + 0.7 * smooth), atol=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
def test_bspm_is_runge_kutta_from_the_blurred_history(full: Dataset, steps: int) -> None:
    x = dense(full)
    near, vectors, roots = graph(x)
    smooth = np.diag(1 / roots) @ vectors[:, :4] @ vectors[:, :4].T @ np.diag(roots)
    y, h = x @ (near + 0.5 * smooth), 2.5 / steps
    for _ in range(steps):
        one = -y @ near
        two = -(y + h / 2 * one) @ near
        three = -(y + h / 2 * two) @ near
        four = -(y + h * three) @ near
        y = y + h / 6 * (one + 2 * two + 2 * three + four)
    np.testing.assert_allclose(scores(BSPM(factors=4, ideal=0.5, steps=steps), full), y, atol=1e-4)


def test_bspm_with_many_steps_solves_the_equation(full: Dataset) -> None:
    x = dense(full)
    near, _, _ = graph(x)
    blurred = x[0] @ near
    solved = solve_ivp(lambda t, y: -near @ y, (0, 2.5), blurred, rtol=1e-8, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(solved, blurred @ expm(-2.5 * near), atol=1e-6)
    np.testing.assert_allclose(scores(BSPM(ideal=0, steps=30), full)[0], solved, atol=1e-4)


def test_bspm_without_sharpening_is_gfcf(market: Dataset) -> None:
    blurred, filtered = scores(BSPM(ideal=0.3, time=0, factors=6), market), scores(GFCF(alpha=0.3, factors=6), market)
    np.testing.assert_allclose(blurred, filtered, atol=1e-5)


@pytest.mark.parametrize("shape", [(400, 300), (300, 400)])
def test_leading_singular_vectors_are_found_in_a_matrix_larger_than_the_subspace(
    rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    # ten directions stand out of the noise
    planted = rng.normal(size=(shape[0], 10)) @ rng.normal(size=(10, shape[1])) + 0.1 * rng.normal(size=shape)
    found = right_singular_vectors(csr_matrix(planted.astype(np.float32)), 10, seed=0).astype(np.float64)
    exact = np.linalg.svd(planted)[2][:10].T
    np.testing.assert_allclose(found @ found.T, exact @ exact.T, atol=1e-4)


def test_close_singular_values_are_told_apart(rng: np.random.Generator) -> None:
    # as on real likes, the spectrum has no gap at which to cut
    left, right = (np.linalg.qr(rng.normal(size=(n, 300))).Q for n in (500, 400))
    values = 0.99 ** np.arange(300)
    matrix = csr_matrix(((left * values) @ right.T).astype(np.float32))
    found = right_singular_vectors(matrix, 20, seed=0)
    explained = np.linalg.norm(matrix @ found) ** 2
    assert found.shape == (400, 20)
    assert explained > 0.9999 * (values[:20] ** 2).sum()


def test_vectors_of_singular_value_zero_are_left_out() -> None:
    twice = csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 2]], np.float32))
    assert right_singular_vectors(twice, 3, seed=0).shape == (3, 2)


def test_item_without_likes_has_root_zero_and_no_cell() -> None:
    matrix, roots = normalised(csr_matrix(np.array([[1, 0], [1, 0]], np.float32)))
    assert roots.tolist() == [pytest.approx(np.sqrt(2)), 0]
    np.testing.assert_allclose(matrix.toarray(), [[np.sqrt(0.5), 0], [np.sqrt(0.5), 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("pure_svd", {"factors": 0}, "factors must be an integer >= 1, got 0"),
        ("gfcf", {"alpha": -1}, "alpha must be a finite number >= 0, got -1"),
        ("bspm", {"steps": 0}, "steps must be an integer >= 1, got 0"),
        ("bspm", {"time": float("nan")}, "time must be a finite number >= 0, got nan"),
        ("gfcf", {"decay": 0}, "decay must be a finite number > 0 and <= 1, got 0"),
    ],
)
def test_parameters_are_checked(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(name, **params)
