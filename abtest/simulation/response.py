"""A response model from a log without exposures: who would like what, as strongly as held-out rows allow.

It is a truncated SVD of the degree-normalised matrix next to log popularity, weighed by a two-coefficient logistic
regression: on purpose none of the models that are put under test, so that no variant meets its own opinion as truth.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import brentq, minimize
from scipy.sparse.linalg import svds
from scipy.special import softmax

from abtest.simulation.world import QUALITY_WEIGHT

HELD_OUT = 0.1
# degrees are counted as if everyone had this many more: else a user of one row outshouts all others
SMOOTHING = 5.0
# users whose choices are played through to measure the model's own AUC
SAMPLE = 400
MOST_ITEMS = 20_000

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Response:
    """Tastes and qualities, and how well they tell held-out items from random ones.

    user_taste (n, d), item_taste (m, d), item_quality (m,); auc_held_out: of the model on rows it never saw;
    auc_popularity: of popularity alone; auc_simulated: of the model on choices that it draws itself, made equal to
    auc_held_out by `scale`; popularity_weight, taste_weight: logistic coefficients before scaling (taste per
    standard deviation).
    """

    user_taste: Array
    item_taste: Array
    item_quality: Array
    auc_held_out: float
    auc_popularity: float
    auc_simulated: float
    popularity_weight: float
    taste_weight: float
    scale: float


def fit_response(
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    weight: Array,
    *,
    n_users: int,
    n_items: int,
    dimensions: int,
    rng: np.random.Generator,
) -> Response:
    """Fit on nine tenths of the pairs (each pair once), weigh and scale on the tenth that was held out."""
    held = rng.random(len(user)) < HELD_OUT
    if not held.any():
        held[-1] = True
    matrix = sparse.csr_array((weight[~held], (user[~held], item[~held])), shape=(n_users, n_items))
    left, right = _factors(matrix, dimensions, rng)
    popularity = np.log1p(np.bincount(item[~held], minlength=n_items))
    popularity -= popularity.mean()
    gain_popularity, gain_taste, spread = _gains(user, item, held, left, right, popularity, rng)
    gains = np.column_stack([gain_popularity, gain_taste])
    weights = _logistic(gains)
    auc = _wins(gains @ weights)

    left *= weights[1] / spread
    quality = weights[0] * popularity
    players = rng.choice(user[held], size=SAMPLE)
    choices = rng.permutation(n_items)[:MOST_ITEMS]
    logits = left[players] @ right[choices].T + quality[choices]
    ranks = logits.argsort(axis=1).argsort(axis=1) + 0.5
    scale = _scale(logits, ranks, auc)
    return Response(
        # the scale is shared out evenly, so that tastes and items stay of comparable length
        user_taste=left * np.sqrt(scale),
        item_taste=right * np.sqrt(scale),
        item_quality=scale * quality / QUALITY_WEIGHT,
        auc_held_out=auc,
        auc_popularity=_wins(gain_popularity),
        auc_simulated=_own_auc(logits, ranks, scale),
        popularity_weight=float(weights[0]),
        taste_weight=float(weights[1]),
        scale=scale,
    )


def _factors(matrix: sparse.csr_array, dimensions: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """User and item vectors whose products approximate x_ij / sqrt(degree_i degree_j)."""
    by_user = 1.0 / np.sqrt(matrix.sum(axis=1) + SMOOTHING * matrix.data.mean())
    by_item = 1.0 / np.sqrt(matrix.sum(axis=0) + SMOOTHING * matrix.data.mean())
    normalised = sparse.diags_array(by_user) @ matrix @ sparse.diags_array(by_item)
    left, strength, right = svds(normalised, k=dimensions, v0=rng.standard_normal(min(matrix.shape)))
    return left * np.sqrt(strength), right.T * np.sqrt(strength)


def _gains(
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    held: NDArray[np.bool_],
    left: Array,
    right: Array,
    popularity: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array, float]:
    """How much more popular, and more to the user's taste, each held-out item is than one the user never took."""
    who, taken = user[held], item[held]
    other = _strangers(user, item, who, len(right), rng)
    liking = np.einsum("rd,rd->r", left[who], right[taken])
    strange = np.einsum("rd,rd->r", left[who], right[other])
    spread = float(np.std(strange)) or 1.0
    return popularity[taken] - popularity[other], (liking - strange) / spread, spread


def _strangers(
    user: NDArray[np.int64], item: NDArray[np.int64], who: NDArray[np.int64], n_items: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """For each user of `who` a random item without a row of theirs (as good as found after 50 tries)."""
    known = np.sort(user * n_items + item)
    other = rng.integers(n_items, size=len(who))
    for _ in range(50):
        pairs = who * n_items + other
        clash = known[np.minimum(np.searchsorted(known, pairs), len(known) - 1)] == pairs
        if not clash.any():
            break
        other[clash] = rng.integers(n_items, size=int(clash.sum()))
    return other


def _logistic(gains: Array) -> Array:
    """The coefficients >= 0 under which the taken item beats the other one most likely (a whisper of ridge)."""

    def surprise(weights: Array) -> float:
        return float(np.logaddexp(0.0, -gains @ weights).mean() + 1e-4 * weights @ weights)

    start, bounds = np.full(gains.shape[1], 0.1), [(0.0, 20.0)] * gains.shape[1]
    return np.asarray(minimize(surprise, x0=start, bounds=bounds, method="L-BFGS-B").x)


def _wins(gains: Array) -> float:
    return float(np.mean(gains > 0) + 0.5 * np.mean(gains == 0))


def _scale(logits: Array, ranks: Array, auc: float) -> float:
    """The factor on all logits at which the model's own choices are as predictable as the held-out ones were."""

    def gap(power: float) -> float:
        return _own_auc(logits, ranks, np.exp(power)) - auc

    weak, strong = np.log(1e-3), np.log(1e2)
    # no scale reaches it when nothing was learnt, or there are too few items to tell a perfect model from a good one
    if gap(weak) >= 0:
        return 1e-3
    return float(np.exp(brentq(gap, weak, strong, xtol=1e-4))) if gap(strong) > 0 else 1e2


def _own_auc(logits: Array, ranks: Array, scale: float) -> float:
    """The chance that an item chosen by softmax(scale * logits) lies above a random one, mean over rows."""
    return float((softmax(scale * logits, axis=1) * ranks).sum(axis=1).mean() / logits.shape[1])
