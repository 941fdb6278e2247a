"""Market: what is true of the users and items of the synthetic market, and what no model is told."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Market:
    """Tastes, qualities and prices, numbered like the data set's vocabularies (m users, n items, d dimensions).

    user_taste (m, d) and item_taste (n, d): their dot product is how well the item suits the user; user_bias (m,):
    readiness to click; item_quality (n,); price (n,): in the market's currency; price_sensitivity (m,) > 0;
    category (n,) int: place in category_names; activity (m,): expected visits per ordinary day; weekend_taste (m,):
    log factor on visits at weekends; join_day (m,), item_birth_day (n,): day since `start` from which the user visits
    or the item is on sale, 0 = from the start; mobile (m,): uses a phone.

    theta_ij = user_bias_i + .5 item_quality_j + user_taste_i . item_taste_j + sigma_0 is the logit of a click on an
    item that was looked at; purchase_intercept + .5 theta - price_sensitivity (log price - log 15) that of a purchase
    after the click; weekday_rhythm (7,): factor on visits, Monday first.
    """

    user_taste: NDArray[np.float32]
    item_taste: NDArray[np.float32]
    user_bias: NDArray[np.float32]
    item_quality: NDArray[np.float32]
    price: NDArray[np.float64]
    price_sensitivity: NDArray[np.float32]
    category: NDArray[np.int32]
    category_names: tuple[str, ...]
    activity: NDArray[np.float64]
    weekend_taste: NDArray[np.float32]
    join_day: NDArray[np.int32]
    item_birth_day: NDArray[np.int32]
    mobile: NDArray[np.bool_]
    weekday_rhythm: NDArray[np.float64]
    sigma_0: float
    purchase_intercept: float
    start: np.datetime64
    days: int

    def theta(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> NDArray[np.float32]:
        """The click logit of each pair (users[i], items[i])."""
        suits = np.einsum("nd,nd->n", self.user_taste[users], self.item_taste[items])
        logit = self.user_bias[users] + 0.5 * self.item_quality[items] + suits + self.sigma_0
        return np.asarray(logit, np.float32)

    def purchase_logit(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> NDArray[np.float64]:
        """The logit of a purchase of each pair (users[i], items[i]) once the item was clicked."""
        dear = self.price_sensitivity[users] * (np.log(self.price[items]) - np.log(15.0))
        return np.asarray(self.purchase_intercept + 0.5 * self.theta(users, items) - dear)
