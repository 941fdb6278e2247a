"""What a user does with a slate: looks, clicks, leaves, buys. Pure functions of attraction and uniform draws."""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float32] | NDArray[np.float64]
ClickModel = Literal["dbn", "position"]

# shares of the day's visits by local hour: the Open Bandit log, men's campaign, one week
HOURS: tuple[float, ...] = (1.63, 0.75, 0.49, 0.29, 0.20, 0.26, 0.38, 0.63, 0.67, 0.80, 0.93, 0.95)
HOURS += (1.26, 0.95, 0.94, 0.94, 0.94, 1.04, 1.16, 1.25, 1.62, 1.98, 2.07, 1.87)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How everybody in a world behaves. What no log without exposures can teach is a default here: sweep it.

    Looking. click_model "dbn": a user looks down the list and may leave satisfied after a click (simplified dynamic
    Bayesian network, Chapelle & Zhang 2009); "position": every place is looked at by itself (Joachims et al. 2017).
    Place k is reached with chance k ** -eta. leave: the chance of leaving after a click (.35 to .7; .9 = cascade).

    Tiring. A click adds satiation_step to the satiation with the item's category, which fades by satiation_decay a
    day and lowers the logit by satiation_strength times itself (Leqi et al. 2021); each showing of an item lowers its
    logit by repeat_penalty * log(1 + times shown).

    Coming back. Happiness is a moving average of "the visit had a click" with memory happiness_memory. Visits are
    Poisson(activity * weekday * exp(weekend taste) * exp(happiness_visits * (happiness - 1/2))). After a day with a
    visit a user is lost with chance churn * exp(-churn_happiness * (happiness - 1/2)).

    Drifting. A day's clicks pull the direction of a taste by taste_pull towards what was clicked; it walks by
    taste_walk a day, its length stays.

    Buying. After a click, with logit intercept + purchase_taste * attraction - sensitivity * log(price / median);
    1 + Poisson(basket) pieces. weekdays: Monday to Sunday, mean 1; hours: 24 weights of the day.
    """

    click_model: ClickModel = "dbn"
    eta_mobile: float = 1.1
    eta_desktop: float = 0.8
    leave: float = 0.5
    satiation_decay: float = 0.85
    satiation_step: float = 0.3
    satiation_strength: float = 0.6
    repeat_penalty: float = 0.1
    happiness_memory: float = 0.9
    happiness_visits: float = 0.5
    churn: float = 0.012
    churn_happiness: float = 1.5
    taste_pull: float = 0.005
    taste_walk: float = 0.01
    purchase_taste: float = 0.5
    basket: float = 0.1
    weekdays: tuple[float, ...] = (1.03, 0.95, 0.96, 0.97, 0.98, 1.02, 1.09)
    hours: tuple[float, ...] = HOURS

    def __post_init__(self) -> None:
        if self.click_model not in ("dbn", "position"):
            raise ValueError(f"behaviour.click_model must be 'dbn' or 'position', got {self.click_model!r}")
        for field in fields(self):
            values = np.atleast_1d(getattr(self, field.name)) if field.name != "click_model" else np.zeros(1)
            if not (np.isfinite(values).all() and (values >= 0).all()):
                raise ValueError(f"behaviour.{field.name} must be finite and at least 0, got {values.tolist()}")
        for name in ("leave", "satiation_decay", "happiness_memory", "churn", "taste_pull"):
            if getattr(self, name) > 1:
                raise ValueError(f"behaviour.{name} must lie in [0, 1], got {getattr(self, name)}")
        for name, count in (("weekdays", 7), ("hours", 24)):
            weights = getattr(self, name)
            if len(weights) != count or sum(weights) <= 0:
                raise ValueError(f"behaviour.{name} must be {count} weights with a sum above 0, got {weights}")


def examination(mobile: NDArray[np.bool_], places: int, behaviour: Behaviour) -> NDArray[np.float64]:
    """The chance that each place is reached, (b,) -> (b, places): k ** -eta, smaller screens reach less far."""
    by_device = np.array([behaviour.eta_desktop, behaviour.eta_mobile])
    reach: NDArray[np.float64] = np.arange(1, places + 1) ** -by_device[:, None]
    return reach[mobile.astype(np.int8)]


def clicks(
    attraction: Floats,
    reach: NDArray[np.float64],
    behaviour: Behaviour,
    *,
    click: NDArray[np.float64],
    patience: NDArray[np.float64],
    leave: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which places are clicked, (b, k); attraction in logits, -inf where a place is empty.

    The uniform draws: click (b, k), patience (b,) and leave (b,). "dbn" walks no list: going on from place k - 1 to
    k with chance reach_k / reach_(k-1) is to have patience below reach_k, and leaving after each click with chance p
    is to leave after a geometric number of clicks. So both models are whole-array comparisons.
    """
    chance = expit(attraction)
    if behaviour.click_model == "position":
        return np.asarray(click < reach * chance)
    attracted = (click < chance) & (patience[:, None] < reach)
    stays = attracted.cumsum(axis=1) <= _clicks_before_leaving(leave, behaviour.leave)[:, None]
    return np.asarray(attracted & stays)


def expected_clicks(attraction: Floats, reach: NDArray[np.float64], behaviour: Behaviour) -> NDArray[np.float64]:
    """The chance of a click at each place, (b, k): the exact mean of `clicks`, without sampling."""
    chance = expit(np.asarray(attraction, dtype=np.float64))
    if behaviour.click_model == "position":
        return np.asarray(reach * chance)
    stays = np.cumprod(1.0 - behaviour.leave * chance, axis=1)
    still_there = np.hstack([np.ones((len(chance), 1)), stays[:, :-1]])
    return np.asarray(reach * chance * still_there)


def purchase_chance(
    attraction: Floats, price_gap: Floats, price_sensitivity: Floats, intercept: float, behaviour: Behaviour
) -> NDArray[np.float64]:
    """The chance that a clicked item is bought; all arrays (c,), price_gap = log(price / median price)."""
    return np.asarray(expit(intercept + behaviour.purchase_taste * attraction - price_sensitivity * price_gap))


def _clicks_before_leaving(leave: NDArray[np.float64], chance: float) -> NDArray[np.float64]:
    if chance == 0.0:
        return np.full(leave.shape, np.inf)
    if chance == 1.0:
        return np.ones(leave.shape)
    return np.asarray(np.ceil(np.log(leave) / np.log1p(-chance)))
