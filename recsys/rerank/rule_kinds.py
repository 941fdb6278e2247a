"""The kinds of business rules, one class each: what a rule says of every item, and what of a list."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import check_name
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_parameters, check_whole
from recsys.models.base import check_real
from recsys.rerank.conditions import Condition, Missing, item_numbers

ANY = np.iinfo(np.int64).max
"""As `at_most`: no limit."""


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """A rule on one column of the items. Its fields are the keys that a configuration may give."""

    kind: ClassVar[str]

    column: str

    @abstractmethod
    def effect(self, dataset: Dataset) -> NDArray[np.float64]:
        """(n_items,) what the rule says of each item; the kinds say what the numbers mean."""

    @property
    def title(self) -> str:
        """The rule as a heading."""
        return f"{self.kind} {self.column}"


@dataclass(frozen=True, kw_only=True)
class OnCondition(Rule):
    """A rule on the items that meet a condition, see `recsys.rerank.conditions.Condition`."""

    values: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    fewer_users: int | None = None
    missing: Missing = "no"

    def __post_init__(self) -> None:
        _ = self.condition

    @property
    def condition(self) -> Condition:
        """Which items are meant."""
        return Condition(self.column, self.values, self.low, self.high, self.fewer_users, self.missing)

    def effect(self, dataset: Dataset) -> NDArray[np.float64]:
        """1 for the items that are meant, 0 for the others."""
        return self.condition.met(dataset).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Keep(OnCondition):
    """Only items that meet the condition are shown: what is in stock, a range of prices."""

    kind: ClassVar[str] = "keep"


@dataclass(frozen=True, kw_only=True)
class Drop(OnCondition):
    """Items that meet the condition are not shown. The effect is 1 for those that may be."""

    kind: ClassVar[str] = "drop"

    def effect(self, dataset: Dataset) -> NDArray[np.float64]:
        """0 for the items that are meant, 1 for the others."""
        return 1.0 - super().effect(dataset)


@dataclass(frozen=True, kw_only=True)
class AgeLimit(Rule):
    """Nobody younger than `column` of the item, in years, is shown it; items without a value are for all.

    The user's age comes with the query, as context `context`, or else from the user feature `user_column`. Someone
    whose age nobody knows is taken for a child.
    """

    kind: ClassVar[str] = "age_limit"

    user_column: str | None = None
    context: str = "age"

    def effect(self, dataset: Dataset) -> NDArray[np.float64]:
        """The least age, 0 where there is no limit."""
        return np.nan_to_num(item_numbers(dataset, self.column))


@dataclass(frozen=True, kw_only=True)
class Boost(Rule):
    """Relevance, 0..1 within a list, plus strength * the column, scaled to 0..1 over the catalogue: a margin, say.

    With a negative strength it is a penalty. An item without a value gets nothing.
    """

    kind: ClassVar[str] = "boost"

    strength: float = 0.2

    def __post_init__(self) -> None:
        check_real("strength of a boost", self.strength, least=-np.inf)

    def effect(self, dataset: Dataset) -> NDArray[np.float64]:
        """(value - least) / (greatest - least), 0 for a missing one and where all are equal."""
        numbers = item_numbers(dataset, self.column)
        low, high = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
        return np.nan_to_num((numbers - low) / (high - low)) if high > low else np.zeros(len(numbers))


@dataclass(frozen=True, kw_only=True)
class Promote(OnCondition):
    """Items that meet the condition rise by `lift` of relevance (1: above all others), but at most so many are shown.

    The cap is hard: it also holds for those that would have come up by themselves.
    """

    kind: ClassVar[str] = "promote"

    lift: float = 1.0
    at_most: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("lift of a promotion", self.lift, least=0)
        check_whole("at_most of a promotion", self.at_most, 0)


@dataclass(frozen=True, kw_only=True)
class Floor(OnCondition):
    """At least so many places of each list go to items that meet the condition, if there are as many candidates."""

    kind: ClassVar[str] = "floor"

    at_least: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("at_least of a floor", self.at_least, 1)


KINDS: Mapping[str, type[Rule]] = {rule.kind: rule for rule in (Keep, Drop, AgeLimit, Boost, Promote, Floor)}


def parse(rule: Any, number: int) -> Rule:
    """The rule that a mapping `{rule: kind, column: ..., ...}` describes; number: its place from 1, for the error."""
    if not isinstance(rule, Mapping) or "rule" not in rule:
        raise ValueError(f"rule {number} must be a mapping such as {{rule: keep, column: in_stock}}, got {rule!r}")
    kind = KINDS[check_name(KINDS, str(rule["rule"]), "kind of rule")]
    given: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in rule.items() if key != "rule"
    }
    check_parameters(kind, given, f"rule {number} ({kind.kind})")
    make: Callable[..., Rule] = kind
    return make(**given)
