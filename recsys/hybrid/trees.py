"""Trees: what LightGBM grew, walked row by row; the sums are those of its own `predict(raw_score=True)`, to the bit.

LightGBM copies each row into a vector of pairs and back into one of numbers before it walks; with a hundred features
and small trees that costs several times the walk.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.hybrid.features.base import Floats

CATEGORICAL, DEFAULT_LEFT, ZERO_MISSING, NAN_MISSING = 1, 2, 4, 8
"""The bits of `decision_type` in LightGBM's text."""
MOST_LEAVES = 64
"""Of a tree that is read by masks, which takes the time of all its splits; a larger one is walked sooner."""
ALL_LEAVES = 2**MOST_LEAVES - 1
AT_ONCE = 128
"""Rows whose masks lie in the fastest cache."""
STRANGE = "the trees of a ranker have numerical splits and constant leaves"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """All trees in one table of splits, in their order.

    root: (n_trees,) int32 the first split of each, or its only leaf; feature, left, right: (n_splits,) int32, where a
    value below 0 is the leaf -1 - value; threshold: (n_splits,) float64, a row that is not above it goes left;
    nan_left: (n_splits,) bool, whether NaN does; leaf: (n_leaves,) float64.
    """

    root: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    nan_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    leaf: NDArray[np.float64]

    @classmethod
    def of(cls, text: str) -> Self:
        """The trees in a model as LightGBM writes it: numerical splits, constant leaves."""
        root, splits, leaves = [], 0, 0
        parts: dict[str, list[str]] = {name: [] for name in ("feature", "threshold", "decision", "leaf")}
        ends: dict[str, list[NDArray[np.int32]]] = {"left": [], "right": []}
        for block in text.split("\nTree=")[1:]:
            tree = dict(line.split("=", 1) for line in block.split("\n\n", 1)[0].splitlines()[1:] if "=" in line)
            if int(tree["num_cat"]) or int(tree.get("is_linear", 0)):
                raise ValueError(f"{STRANGE}, got {tree['num_cat']} splits by categories, or linear leaves")
            n_leaves = int(tree["num_leaves"])
            root.append(splits if n_leaves > 1 else -1 - leaves)
            parts["leaf"] += tree["leaf_value"].split()
            if n_leaves > 1:
                parts["feature"] += tree["split_feature"].split()
                parts["threshold"] += tree["threshold"].split()
                parts["decision"] += tree["decision_type"].split()
                for side, found in ends.items():
                    child = np.array(tree[f"{side}_child"].split(), np.int32)
                    found.append(np.where(child < 0, child - leaves, child + splits).astype(np.int32))
            splits, leaves = splits + n_leaves - 1, leaves + n_leaves
        decision = np.array(parts["decision"], np.int8)
        if (decision & (CATEGORICAL | ZERO_MISSING)).any():
            raise ValueError(f"{STRANGE}, got splits by categories, or some for which 0 is missing")
        threshold = np.array(parts["threshold"], np.float64)
        # where a split has not seen NaN, LightGBM takes one for 0
        nan_left = np.where(decision & NAN_MISSING, (decision & DEFAULT_LEFT) > 0, threshold >= 0)
        none = [np.zeros(0, np.int32)]
        return cls(
            root=np.array(root, np.int32),
            feature=np.array(parts["feature"], np.int32),
            threshold=threshold,
            nan_left=nan_left,
            left=np.concatenate(ends["left"] or none),
            right=np.concatenate(ends["right"] or none),
            leaf=np.array(parts["leaf"], np.float64),
        )

    def sums(self, features: Floats) -> NDArray[np.float64]:
        """(c,) the sum over the trees of the leaf that each row ends in; columns that lie together are read fastest."""
        if len(self.feature) and self.feature.max() >= features.shape[1]:
            raise ValueError(f"the trees read feature {self.feature.max()}, the rows have {features.shape[1]}")
        found: NDArray[np.float64]
        if self._masks is None:
            table = (getattr(self, part.name) for part in fields(self))
            found = compiled(_walked)(np.ascontiguousarray(features, np.float32), *table)
        else:
            found = compiled(_masked)(np.ascontiguousarray(features.T, np.float32), *self._masks)
        return found

    @cached_property
    def _masks(self) -> "_Masks | None":
        """None where a tree has more leaves than a mask has bits: all are walked then."""
        first = self.root[self.root >= 0]
        if (np.diff(np.append(first, len(self.feature))) >= MOST_LEAVES).any():
            return None
        splits: list[int] = []
        kept: list[int] = []
        leaf: list[float] = []
        first_split, first_leaf = [0], [0]

        def read(at: int, place: int) -> int:
            """Note the splits below this one; from the place of its first leaf in the tree to that after its last."""
            if at < 0:
                leaf.append(float(self.leaf[-1 - at]))
                return place + 1
            middle = read(int(self.left[at]), place)
            splits.append(at)
            kept.append(ALL_LEAVES ^ (((1 << (middle - place)) - 1) << place))
            return read(int(self.right[at]), middle)

        for root in self.root.tolist():
            read(root, 0)
            first_split.append(len(splits))
            first_leaf.append(len(leaf))
        nearest = self.threshold[splits].astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
        return _Masks(
            first_split=np.array(first_split, np.int64),
            feature=self.feature[splits],
            # what a float32 is compared with: the threshold, or the next float32 below it
            threshold=np.where(nearest > self.threshold[splits], below, nearest),
            nan_left=self.nan_left[splits],
            kept=np.array(kept, np.uint64),
            first_leaf=np.array(first_leaf, np.int64),
            leaf=np.array(leaf, np.float64),
        )


class _Masks(NamedTuple):
    """Trees as QuickScorer reads them (Lucchese et al. 2015): splits in any order, each with the leaves it leaves open.

    The splits of tree t are first_split[t]:first_split[t + 1], its leaves, from left to right, first_leaf[t]:...;
    kept: (n_splits,) uint64, of the tree's leaves those that a row which goes right may still end in. A row ends in the
    first leaf that all its splits leave open.
    """

    first_split: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    nan_left: NDArray[np.bool_]
    kept: NDArray[np.uint64]
    first_leaf: NDArray[np.int64]
    leaf: NDArray[np.float64]


def _masked(
    columns: Floats,
    first_split: NDArray[np.int64],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    nan_left: NDArray[np.bool_],
    kept: NDArray[np.uint64],
    first_leaf: NDArray[np.int64],
    leaf: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The sums, of features (n_features, c): each split for many rows at once, with no branch that must be foretold."""
    n_rows = columns.shape[1]
    found = np.zeros(n_rows)
    every = np.uint64(ALL_LEAVES)
    open_, lowest = np.empty(AT_ONCE, np.uint64), np.empty(AT_ONCE, np.float64)
    bits = lowest.view(np.int64)
    for start in range(0, n_rows, AT_ONCE):
        size = min(AT_ONCE, n_rows - start)
        sums = found[start : start + size]
        for tree in range(len(first_leaf) - 1):  # in their order: a sum of floats has no other
            open_[:] = every
            for split in range(first_split[tree], first_split[tree + 1]):
                values, limit, right = columns[feature[split], start : start + size], threshold[split], kept[split]
                if nan_left[split]:
                    for row in range(size):
                        open_[row] &= right if values[row] > limit else every  # false for NaN
                else:
                    for row in range(size):
                        open_[row] &= every if values[row] <= limit else right
            for row in range(size):
                lowest[row] = np.float64(open_[row] & (~open_[row] + np.uint64(1)))
            for row in range(size):  # the exponent of a power of two is its place
                sums[row] += leaf[first_leaf[tree] + (bits[row] >> 52) - 1023]
    return found


def _walked(
    features: Floats,
    root: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    nan_left: NDArray[np.bool_],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    leaf: NDArray[np.float64],
) -> NDArray[np.float64]:
    found = np.zeros(len(features))
    for row in range(len(features)):
        total = 0.0
        for tree in range(len(root)):  # in their order: a sum of floats has no other
            at = root[tree]
            while at >= 0:
                value = features[row, feature[at]]
                goes_left = nan_left[at] if np.isnan(value) else value <= threshold[at]
                at = left[at] if goes_left else right[at]
            total += leaf[-1 - at]
        found[row] = total
    return found
