"""Many questions at once: p-values adjusted so that the whole family keeps its error rate, and intervals to match.

A family is what is asked together: metrics x arms x segments, as configured. Holm and Hochberg bound the chance of one
false alarm anywhere in it; Benjamini-Hochberg and Benjamini-Yekutieli the share of false ones among the alarms. A
comparison that could not be made (NaN) cannot raise an alarm: it stays NaN and does not count as a question.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from abtest.statistics.moments import Array

Correction = Literal["none", "bonferroni", "holm", "hochberg", "benjamini_hochberg", "benjamini_yekutieli"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given; NaN stays NaN and does not count as a question.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    return [float(value) for value in adjust(p_values, "holm")]


def adjust(p_values: ArrayLike, method: Correction, families: Sequence[Hashable] | None = None) -> Array:
    """The adjusted p-values (m,), in the order given: significant where they are at most alpha.

    families: what each p-value (m,) was asked together with; None: all of them are one family.

    >>> adjust([0.01, 0.04, 0.03, 0.04], "benjamini_hochberg", families=["a", "a", "a", "b"]).tolist()
    [0.03, 0.04, 0.04, 0.04]
    """
    p = _checked(p_values)
    step = _named(method)
    adjusted = np.full(p.shape, np.nan)
    for members in _members(p, families):
        order = members[np.argsort(p[members], kind="stable")]
        adjusted[order] = np.minimum(step(p[order]), 1.0)
    return adjusted


def interval_levels(
    p_values: ArrayLike, method: Correction, level: float = 0.95, families: Sequence[Hashable] | None = None
) -> Array:
    """The confidence (m,) at which each interval must be drawn so that the family keeps `level`; NaN for NaN.

    Bonferroni's for Holm and Hochberg: all intervals hold together, and may touch 0 where those tests reject. For
    Benjamini's two, 1 - alpha R / m (over the sum of 1/i for Yekutieli), R being how many were found: of the intervals
    of what was found, the share that misses is at most alpha, and they exclude 0 (Benjamini and Yekutieli 2005).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}; 0.95 is usual")
    p, adjusted = _checked(p_values), adjust(p_values, method, families)
    levels = np.full(p.shape, np.nan)
    for members in _members(p, families):
        m = len(members)
        found = max(int((adjusted[members] <= 1.0 - level).sum()), 1)
        share = {
            "none": 1.0,
            "benjamini_hochberg": found / m,
            "benjamini_yekutieli": found / (m * _harmonic(m)),
        }.get(method, 1.0 / m)
        levels[members] = 1.0 - (1.0 - level) * share
    return levels


def _bonferroni(p: Array) -> Array:
    return p * len(p)


def _holm(p: Array) -> Array:
    return np.maximum.accumulate(p * np.arange(len(p), 0, -1))


def _hochberg(p: Array) -> Array:
    return _from_the_largest(p * np.arange(len(p), 0, -1))


def _benjamini_hochberg(p: Array) -> Array:
    return _from_the_largest(p * len(p) / np.arange(1, len(p) + 1))


def _benjamini_yekutieli(p: Array) -> Array:
    return _from_the_largest(p * len(p) * _harmonic(len(p)) / np.arange(1, len(p) + 1))


STEPS: Mapping[str, Callable[[Array], Array]] = {
    "none": lambda p: p,
    "bonferroni": _bonferroni,
    "holm": _holm,
    "hochberg": _hochberg,
    "benjamini_hochberg": _benjamini_hochberg,
    "benjamini_yekutieli": _benjamini_yekutieli,
}
"""From rising p-values to adjusted ones, uncut. Hochberg's needs tests that do not work against each other, as do
Benjamini and Hochberg's; Holm's and Yekutieli's hold whatever the dependence."""


def _from_the_largest(p: Array) -> Array:
    return np.minimum.accumulate(p[::-1])[::-1]


def _harmonic(m: int) -> float:
    return float((1.0 / np.arange(1, m + 1)).sum())


def _checked(p_values: ArrayLike) -> Array:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"p_values must be a vector, got shape {p.shape}")
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p-values must lie in [0, 1], got {p[(p < 0) | (p > 1)].tolist()}")
    return p


def _named(method: str) -> Callable[[Array], Array]:
    if method not in STEPS:
        raise LookupError(f"unknown correction {method!r}; known: {', '.join(STEPS)}")
    return STEPS[method]


def _members(p: Array, families: Sequence[Hashable] | None) -> list[NDArray[np.intp]]:
    """The places of each family's answered questions."""
    if families is not None and len(families) != len(p):
        raise ValueError(f"every p-value needs its family, got {len(p)} p-values and {len(families)} families")
    places: dict[Hashable, list[int]] = {}
    for place in np.flatnonzero(~np.isnan(p)).tolist():
        places.setdefault(families[place] if families is not None else None, []).append(place)
    return [np.asarray(members, dtype=np.intp) for members in places.values()]
