"""Random draws that belong to a user: each is a function of its name, never of who else was drawn before.

A generator that is asked in turn gives another user's luck away as soon as one variant brings one more visit. Here
the draw (seed, purpose, day, user, visit, place) is a hash of these six numbers, so two simulations that differ in
one user's slate agree in everybody else's behaviour (common random numbers), and any part may be drawn alone.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

# splitmix64 (Steele, Lea & Flood 2014): the golden-ratio step and the two multipliers of its finaliser
STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)


class Purpose(IntEnum):
    """What a draw is for; draws of two purposes are independent."""

    VISITS = 1
    HOUR = 2
    PATIENCE = 3
    LEAVE = 4
    CLICK = 5
    PURCHASE = 6
    BASKET = 7
    CHURN = 8
    WALK = 9


@dataclass(frozen=True)
class Draws:
    """Uniform draws in the open interval (0, 1), addressed by name."""

    seed: int

    def uniforms(
        self, purpose: Purpose, day: int, users: ArrayLike, visit: ArrayLike = 0, *, places: int | None = None
    ) -> NDArray[np.float64]:
        """One draw per user, or (n, places) of them; `users` and `visit` broadcast to (n,).

        >>> draws = Draws(7)
        >>> one, two = draws.uniforms(Purpose.CLICK, 3, [5, 6])
        >>> bool(one == draws.uniforms(Purpose.CLICK, 3, [6, 5])[1])
        True
        """
        state = np.zeros(1, dtype=np.uint64)
        for number in (self.seed, purpose, day, users, visit):
            state = _mix(state + STEP * (_unsigned(number) + np.uint64(1)))
        if places is not None:
            state = _mix(state[:, None] + STEP * np.arange(1, places + 1, dtype=np.uint64))
        # 52 bits and a half step: never 0, never 1
        return ((state >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def poisson(uniforms: NDArray[np.float64], rate: ArrayLike) -> NDArray[np.int64]:
    """The Poisson count of each uniform draw, by inversion: the same draw at a higher rate never gives fewer."""
    rate = np.asarray(rate, dtype=np.float64)
    count = np.zeros(np.broadcast(uniforms, rate).shape, dtype=np.int64)
    chance = np.broadcast_to(np.exp(-rate), count.shape).copy()
    cumulative = chance.copy()
    step = 0
    # beyond rate + 40 sd + 60 nothing is left, and rounding may keep the sum just below a draw for ever
    limit = float(np.max(rate, initial=0.0))
    while step < limit + 40 * np.sqrt(limit) + 60 and (open_ := uniforms > cumulative).any():
        step += 1
        chance *= rate / step
        cumulative += chance
        count += open_
    return count


def _unsigned(numbers: ArrayLike) -> NDArray[np.uint64]:
    return np.atleast_1d(np.asarray(numbers, dtype=np.int64)).view(np.uint64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    return state ^ (state >> np.uint64(31))
