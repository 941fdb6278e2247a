"""Audience: which units an experiment is for, by their attributes; the same answer for one unit and for many."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Check = Callable[[Any], bool]
Attributes = Mapping[str, Any]
Columns = Mapping[str, NDArray[Any] | Sequence[Any]]

BOUNDS = ("min", "max", "not")
_PLAIN = (str, int, float, bool)


class Audience:
    """Conditions on attributes, all of which must hold.

    A condition is a value, a list of values, or {min, max, not}: numbers within [min, max], and none of the values
    after `not`. true is not 1 and "1" is not 1. An attribute that is missing, null, NaN or a list meets no condition,
    `not` included: of whom it is not known, it is not known that he belongs.

    >>> Audience({"country": ["CA", "US"], "age": {"min": 18}}).has({"country": "CA", "age": 30})
    True
    """

    def __init__(self, conditions: Mapping[str, Any]) -> None:
        if found := problems(conditions):
            raise ValueError("; ".join(found))
        self._checks: tuple[tuple[str, Check], ...] = tuple((k, _check_of(c)) for k, c in conditions.items())

    def has(self, attributes: Attributes) -> bool:
        """Whether a unit with these attributes belongs."""
        for name, check in self._checks:  # noqa: SIM110 -- a generator costs as much again as the checks
            if not check(attributes.get(name)):
                return False
        return True

    def mask(self, columns: Columns, n: int) -> NDArray[np.bool_]:
        """(n,) whether each of n units belongs; columns: attribute -> (n,) values. A missing column: nobody does."""
        inside = np.ones(n, np.bool_)
        for name, check in self._checks:
            column = columns.get(name)
            if column is None:
                return np.zeros(n, np.bool_)
            if len(column) != n:
                raise ValueError(f"attribute {name!r} has {len(column)} values for {n} units; one is needed for each")
            inside &= _column(check, column)
        return inside


def problems(conditions: Mapping[str, Any]) -> list[str]:
    """What is wrong with the conditions, in the words of a plan's check; empty when nothing is."""
    if not isinstance(conditions, Mapping):
        return [f"has audience = {conditions!r}; expected attribute: condition"]
    return [problem for name, condition in conditions.items() for problem in _problems(name, condition)]


def _problems(name: object, condition: Any) -> Iterator[str]:
    place = f"has an audience whose {name!r}"
    if not isinstance(name, str) or not name:
        yield f"has an audience for the attribute {name!r}; expected a name"
    elif isinstance(condition, Mapping):
        unknown = [key for key in condition if key not in BOUNDS]
        if unknown or not condition:
            yield f"{place} has the keys {list(condition)}; expected some of {', '.join(BOUNDS)}"
            return
        ends = [condition[key] for key in ("min", "max") if key in condition]
        if not all(isinstance(e, int | float) and not isinstance(e, bool) and isfinite(e) for e in ends):
            yield f"{place} lies between {ends}; expected numbers"
        elif len(ends) == 2 and ends[0] > ends[1]:
            yield f"{place} lies between {ends[0]} and {ends[1]}, where nothing is"
        if "not" in condition:
            yield from _list_problems(place, condition["not"])
    else:
        yield from _list_problems(place, condition)


def _list_problems(place: str, values: Any) -> Iterator[str]:
    listed = values if isinstance(values, list | tuple) else [values]
    if not listed:
        yield f"{place} may be none of []; name a value, or leave it out"
    for value in listed:
        if not isinstance(value, _PLAIN):
            yield f"{place} is compared with {value!r}; expected a text, a number, true or false"


def _check_of(condition: Any) -> Check:
    if not isinstance(condition, Mapping):
        return _one_of(condition)
    checks: list[Check] = []
    if "min" in condition or "max" in condition:
        checks.append(_between(condition.get("min", -np.inf), condition.get("max", np.inf)))
    if "not" in condition:
        refused = _one_of(condition["not"])
        checks.append(lambda value: _known(value) and not refused(value))
    return checks[0] if len(checks) == 1 else lambda value: all(check(value) for check in checks)


def _one_of(values: Any) -> Check:
    listed = values if isinstance(values, list | tuple) else [values]
    # in Python True == 1, in JSON it is not
    known = frozenset((value.__class__ is bool, value) for value in listed)
    return lambda value: value.__class__ in _PLAIN and (value.__class__ is bool, value) in known


def _between(low: float, high: float) -> Check:
    def check(value: Any) -> bool:
        return (value.__class__ is float or value.__class__ is int) and low <= value <= high

    return check


def _known(value: Any) -> bool:
    return value.__class__ in _PLAIN and value == value  # NaN is not itself


def _column(check: Check, column: NDArray[Any] | Sequence[Any]) -> NDArray[np.bool_]:
    """The check of each value; of an array of one type only its different values are asked."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "Ubiuf":
        values, place = np.unique(column, return_inverse=True)
        asked = np.fromiter((check(value) for value in values.tolist()), np.bool_, len(values))
        return cast("NDArray[np.bool_]", asked[place])
    listed = column.tolist() if isinstance(column, np.ndarray) else column
    return np.fromiter((check(value) for value in listed), np.bool_, len(listed))
