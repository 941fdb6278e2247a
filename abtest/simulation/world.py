"""World: the truth of a simulated market, as arrays. Who likes what, how much, how often they come, what it costs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

# how much of the attraction's logit one unit of item quality is worth
QUALITY_WEIGHT = 0.5

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """n users, m items, tastes of d dimensions. Kept read-only; users and items are numbered by their place.

    users (n,), items (m,): outside ids, unique; user_taste (n, d), item_taste (m, d); user_bias (n,): clicks easily;
    item_quality (m,); price (m,) > 0; price_sensitivity (n,) >= 0; category (m,) >= 0; activity (n,): visits per day;
    weekend_taste (n,): log of the extra activity on Saturday and Sunday; mobile (n,): on a telephone; join_day (n,)
    and item_birth_day (m,): the day of the simulation on which they appear, 0 = its first day, before: negative;
    sigma_0: the base logit of a click; purchase_intercept: the base logit of a purchase after a click.
    """

    users: NDArray[np.str_]
    items: NDArray[np.str_]
    user_taste: Array
    item_taste: Array
    user_bias: Array
    item_quality: Array
    price: Array
    price_sensitivity: Array
    category: NDArray[np.int64]
    activity: Array
    weekend_taste: Array
    mobile: NDArray[np.bool_]
    join_day: NDArray[np.int64]
    item_birth_day: NDArray[np.int64]
    sigma_0: float
    purchase_intercept: float

    def __post_init__(self) -> None:
        n, m = len(self.users), len(self.items)
        d = np.shape(self.item_taste)[-1] if np.ndim(self.item_taste) else 0
        shapes: dict[str, tuple[int, ...]] = {**dict.fromkeys(USER_COLUMNS, (n,)), **dict.fromkeys(ITEM_COLUMNS, (m,))}
        shapes |= {"item_taste": (m, d), "user_taste": (n, d)}
        for name, shape in shapes.items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), shape))
        for name in ("sigma_0", "purchase_intercept"):
            _checked(name, getattr(self, name), ())
        _refuse("price", self.price <= 0, "prices above 0")
        _refuse("price_sensitivity", self.price_sensitivity < 0, "values of at least 0")
        _refuse("activity", self.activity < 0, "visits per day of at least 0")
        _refuse("category", self.category < 0, "category numbers of at least 0")

    @property
    def n_users(self) -> int:
        """How many users there are, also those who have not joined yet."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """How many items there are, also those not born yet."""
        return len(self.items)

    @cached_property
    def n_categories(self) -> int:
        """The highest category number plus one."""
        return int(self.category.max()) + 1

    @cached_property
    def price_gap(self) -> NDArray[np.float32]:
        """How far each item's log price lies above the median item's: what price sensitivity multiplies."""
        logs = np.log(self.price)
        return np.asarray(logs - np.median(logs), dtype=np.float32)

    @cached_property
    def compact(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """user_taste, item_taste, sigma_0 + user_bias, weighted item_quality in 32 bits: half the memory to walk."""
        return (
            self.user_taste.astype(np.float32),
            self.item_taste.astype(np.float32),
            (self.sigma_0 + self.user_bias).astype(np.float32),
            (QUALITY_WEIGHT * self.item_quality).astype(np.float32),
        )


USER_COLUMNS = ("users", "user_bias", "price_sensitivity", "activity", "weekend_taste", "mobile", "join_day")
ITEM_COLUMNS = ("items", "item_quality", "price", "category", "item_birth_day")
DTYPES = {"users": np.str_, "items": np.str_, "mobile": np.bool_} | dict.fromkeys(
    ("category", "join_day", "item_birth_day"), np.int64
)


def affinity(
    world: World, users: NDArray[np.int32], items: NDArray[np.int32], *, taste: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The logit of a click on each item in a user's eyes: a_i + b_j / 2 + u_i.v_j + sigma_0, (b,) x (b, k) -> (b, k).

    Before fatigue, repeats and treatment. `taste` (n, d) stands in for the world's user_taste where it has drifted.
    """
    world_taste, item_taste, base, quality = world.compact
    liking: NDArray[np.float32] = np.einsum(
        "bd,bkd->bk", (world_taste if taste is None else taste)[users], item_taste[items]
    )
    liking += quality[items]
    liking += base[users][:, None]
    return liking


def draw_world(
    n_users: int,
    n_items: int,
    *,
    rng: np.random.Generator,
    n_categories: int = 20,
    dimensions: int = 16,
    new_users: float = 0.25,
    new_items: float = 0.05,
    window: int = 28,
    sigma_0: float = -3.9,
    purchase_intercept: float = -3.4,
) -> World:
    """A market of any size with realistic spreads, for known-truth tests and planning.

    new_users, new_items: the shares that join or are born during the first `window` days. Activity is log-normal with
    median .22 visits a day and log-sd 1, as measured on MovieLens (.9 to 1.1).
    """
    category = rng.integers(n_categories, size=n_items)
    centres = rng.standard_normal((n_categories, dimensions))
    noise = rng.standard_normal((n_items, dimensions))
    return World(
        users=_names("u", n_users),
        items=_names("i", n_items),
        user_taste=1.1 * rng.standard_normal((n_users, dimensions)),
        item_taste=(0.7 * centres[category] + 0.7 * noise) / np.sqrt(dimensions),
        user_bias=rng.normal(0.0, 0.6, n_users),
        item_quality=rng.normal(0.0, 0.9, n_items),
        price=rng.lognormal(np.log(15.0), 0.6, n_items),
        price_sensitivity=rng.lognormal(np.log(0.4), 0.3, n_users),
        category=category,
        activity=rng.lognormal(np.log(0.22), 1.0, n_users),
        weekend_taste=rng.normal(0.0, 0.15, n_users),
        mobile=rng.random(n_users) < 0.6,
        join_day=np.where(rng.random(n_users) < new_users, rng.integers(window, size=n_users), -1),
        item_birth_day=np.where(rng.random(n_items) < new_items, rng.integers(window, size=n_items), -1),
        sigma_0=sigma_0,
        purchase_intercept=purchase_intercept,
    )


def _names(letter: str, count: int) -> NDArray[np.str_]:
    width = len(str(max(count - 1, 0)))
    return np.array([f"{letter}{number:0{width}d}" for number in range(count)], dtype=np.str_)


def _checked(name: str, values: object, shape: tuple[int, ...]) -> NDArray[Any]:
    wanted = DTYPES.get(name, np.float64)
    try:
        array: NDArray[Any] = np.asarray(values).astype(
            wanted
        )  # a copy: whoever made the world may go on writing to theirs
    except (TypeError, ValueError) as error:
        raise ValueError(f"world.{name} must hold {np.dtype(wanted).name} values: {error}") from error
    if array.shape != tuple(shape):
        raise ValueError(f"world.{name} has shape {array.shape}, expected {tuple(shape)} (users, items, dimensions)")
    if name in ("users", "items") and (not array.size or len(np.unique(array)) < array.size):
        raise ValueError(f"world.{name} must be at least one id, each only once; got {array.size} with repeats or none")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"world.{name} must be finite, got {int((~np.isfinite(array)).sum())} values that are not")
    array.setflags(write=False)
    return array


def _refuse(name: str, bad: NDArray[np.bool_], expected: str) -> None:
    if bad.any():
        raise ValueError(f"world.{name} must hold {expected}; {int(bad.sum())} do not, first at {int(bad.argmax())}")
