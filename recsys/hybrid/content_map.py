"""From what is known of an item to its place among the factors: so a new item is recommended before anybody saw it."""

import numpy as np
from numpy.typing import NDArray

from recsys.models.base import Recommender, State

FACTORS = ("item_factors", "vectors")
"""Names under which models keep a row of factors for each item, beside `known_items`."""


def ridge_map(
    content: NDArray[np.floating], factors: NDArray[np.floating], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(matrix (d, f), intercept (f,)) with the least |factors - content @ matrix - intercept|^2 + penalty |matrix|^2.

    Gantner, Drumond, Freudenthaler, Rendle & Schmidt-Thieme 2010: a map from attributes to factors, learnt on the items
    that have both.
    """
    centre, mean = content.mean(axis=0, dtype=np.float64), factors.mean(axis=0, dtype=np.float64)
    inputs, targets = content - centre, factors - mean
    system = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])
    matrix = np.linalg.solve(system, inputs.T @ targets)
    return matrix, mean - centre @ matrix


def place_new_items(model: Recommender, content: NDArray[np.floating], penalty: float) -> NDArray[np.bool_] | None:
    """Give the items that a fitted model of factors does not know the factors that their content suggests.

    content: (n_items, d), zeros where nothing is known. The model is changed; what it knows stays as it is. Returns
    (n_items,) which items were placed, None for a model that keeps no factors.
    """
    name = factors_of(model.state())
    if name is None:
        return None
    state = model.state()
    described = np.asarray(content.any(axis=1))
    known = state["known_items"].astype(np.bool_)
    taught, placed = known & described, ~known & described
    if not taught.any() or not placed.any():
        return np.zeros(len(known), np.bool_)
    matrix, intercept = ridge_map(content[taught], state[name][taught], penalty)
    factors = state[name].copy()
    factors[placed] = content[placed] @ matrix + intercept
    model.restore(state | {name: factors, "known_items": known | placed})
    return placed


def factors_of(state: State) -> str | None:
    """The name of the array that holds a row of factors for each item, if the model keeps one."""
    return next((name for name in FACTORS if name in state and "known_items" in state), None)
