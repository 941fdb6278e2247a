"""The builder: the chosen groups fitted on one past, their features in one table, their rows in one matrix."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from bakeoff.catalogue import check_name, lookup
from recsys.hybrid.features import GROUPS
from recsys.hybrid.features.base import Floats, Group, Past, Rows
from recsys.models.base import State

Choice = Sequence[str] | Mapping[str, bool] | None
"""The groups by name; or group -> whether, where those that are not named are on; None: all."""


@dataclass(eq=False)
class Features:
    """The features of the chosen groups, in the order of GROUPS.

    A group that the choice names and for which the data set holds nothing is refused when it is fitted; one that is
    merely on by default is left out then.
    """

    choice: Choice = None

    def __post_init__(self) -> None:
        self.groups: dict[str, Group] = {name: _create(name) for name in chosen_groups(self.choice)}

    def fit(self, past: Past, fit: Callable[[Group, Past], object] = Group.fit) -> Self:
        """Fit every group on what was before the cutoff, by `fit`; returns self."""
        for name, group in self.groups.items():
            fit(group, past)
            if not group.describe() and self.choice is not None and not isinstance(self.choice, Mapping):
                raise ValueError(
                    f"features {name!r} need {group.wants or 'something'}, which {past.dataset.name!r} does not have; "
                    "leave the group out"
                )
        return self

    def table(self) -> dict[str, tuple[str, str]]:
        """Feature -> (its group, what it says), in the order of the columns."""
        return {
            feature: (name, meaning)
            for name, group in self.groups.items()
            for feature, meaning in group.describe().items()
        }

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.table())

    @property
    def reads(self) -> frozenset[str]:
        """The columns of `Queries.context` that the groups read."""
        return frozenset[str]().union(*(group.reads for group in self.groups.values()))

    def compute(self, rows: Rows) -> Floats:
        """(c, n_features) float32, NaN where a feature has nothing to say; column by column, as the trees read them."""
        parts = [group.compute(rows) for group in self.groups.values()]
        columns = np.empty((sum(part.shape[1] for part in parts), len(rows.item)), np.float32)
        return np.concatenate(parts, axis=1, out=columns.T) if parts else columns.T

    def state(self) -> State:
        """What the groups learnt; names begin with the name of the group."""
        return {f"{name}.{key}": array for name, group in self.groups.items() for key, array in group.learnt.items()}

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        parts: dict[str, State] = {name: {} for name in self.groups}
        for key, array in state.items():
            name, _, inner = key.partition(".")
            if name not in parts or not inner:
                raise ValueError(f"{key!r} names no array of the feature groups {', '.join(parts) or 'none'}")
            parts[name][inner] = array
        for name, group in self.groups.items():
            if not parts[name]:
                raise ValueError(f"the state holds nothing for the feature group {name!r}; it names {', '.join(parts)}")
            group.learnt = parts[name]
        return self


def chosen_groups(choice: Choice) -> list[str]:
    """The names of the groups that are on, in the order of GROUPS; an unknown one is refused with the nearest."""
    if isinstance(choice, str):
        raise ValueError(f"features must be a list of groups, or group -> true or false, got {choice!r}")
    named = list(choice or ())
    for name in named:
        check_group(name)
    if choice is None:
        return list(GROUPS)
    if isinstance(choice, Mapping):
        if strange := [value for value in choice.values() if not isinstance(value, bool)]:
            raise ValueError(f"features switch a group on or off by true or false, got {strange[0]!r}")
        return [name for name in GROUPS if choice.get(name, True)]
    return [name for name in GROUPS if name in named]


def check_group(name: str) -> str:
    """Return the name of a group; an unknown one is refused with the nearest."""
    try:
        return check_name(GROUPS, str(name), "feature group")
    except LookupError as error:  # a ValueError, as for any other wrong parameter of a model
        raise ValueError(str(error)) from None


def _create(name: str) -> Group:
    group: Group = lookup(GROUPS, name, "feature group")()
    return group
