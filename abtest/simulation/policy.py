"""The seam between the simulated market and whatever recommends: slates come in, behaviour goes out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Slates:
    """What b users are shown, best place first.

    items (b, k): world numbers, -1 = empty, empty places last; scores (b, k): the model's, NaN where it gave none;
    fallback (b,): the slate, or a part of it, came from a fallback.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    fallback: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What users did on one day, in the order of time: r rows.

    users, items (r,): world numbers; kinds (r,): "click" or "purchase"; values (r,): 1 for a click, the revenue of a
    purchase; times (r,): UTC.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    kinds: NDArray[np.str_]
    values: NDArray[np.float64]
    times: NDArray[np.datetime64]


class Policy(Protocol):
    """Whatever fills slates for every variant; it sees what users did, never their tastes."""

    def slates(self, variant: str, users: NDArray[np.int32], at: datetime) -> Slates:
        """The slates of these users, each once, at a time before any of their visits."""

    def observe(self, outcomes: Observed) -> None:
        """Take note of a day that has passed."""


def checked(slates: Slates, *, variant: str, n_users: int, n_items: int) -> Slates:
    """Return the slates of a policy, or say what is wrong with them."""
    items, problem = slates.items, ""
    if items.ndim != 2 or len(items) != n_users or items.shape[1] == 0:
        problem = f"items have shape {items.shape}, expected ({n_users}, k) with k >= 1"
    elif slates.scores.shape != items.shape or slates.fallback.shape != (n_users,):
        problem = f"scores {slates.scores.shape} and fallback {slates.fallback.shape} do not fit items {items.shape}"
    elif items.dtype.kind != "i" or items.min() < -1 or items.max() >= n_items:
        problem = f"items must be integers from -1 to {n_items - 1}, got {items.dtype} {items.min()} to {items.max()}"
    elif ((items[:, :-1] < 0) & (items[:, 1:] >= 0)).any():
        problem = "an empty place (-1) stands before a filled one"
    if problem:
        raise ValueError(f"the policy's slates for variant {variant!r}: {problem}")
    return slates
