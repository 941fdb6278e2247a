"""Trees: what LightGBM grew, walked row by row; the sums are those of its own `predict(raw_score=True)`, to the bit.

LightGBM copies each row into a vector of pairs and back into one of numbers before it walks; with a hundred features
and small trees that costs several times the walk.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.hybrid.features.base import Floats

CATEGORICAL, DEFAULT_LEFT, ZERO_MISSING, NAN_MISSING = 1, 2, 4, 8
"""The bits of `decision_type` in LightGBM's text."""
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
        """(c,) the sum over the trees of the leaf that each row ends in."""
        if len(self.feature) and self.feature.max() >= features.shape[1]:
            raise ValueError(f"the trees read feature {self.feature.max()}, the rows have {features.shape[1]}")
        found: NDArray[np.float64] = compiled(_sums)(
            np.ascontiguousarray(features, np.float32), *(getattr(self, part.name) for part in fields(self))
        )
        return found


def _sums(
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
