"""A random forest over what a ranker learnt from: a second opinion on which features tell relevant from not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.hybrid.ranker import Judgements

TREES, DEPTH, LEAF, REPEATS = 60, 8, 10, 3
LEAST = 20
"""Relevant rows, and others, without which there is nothing to learn or to measure by."""


@dataclass(frozen=True, kw_only=True)
class Forest:
    """What a forest goes by (Breiman 2001).

    impurity: feature -> its share of the fall of impurity, in 0..1; permuted: group -> how far the area under the ROC
    curve of held-out queries falls when the group's columns are shuffled together, so that features that say the same
    do not hide each other; auc: that area with nothing shuffled, .5 for a forest that knows nothing. Empty and NaN with
    a reason where it could not be grown.
    """

    impurity: Mapping[str, float]
    permuted: Mapping[str, float]
    auc: float
    reason: str = ""


def forest(judged: Judgements | None, groups: Mapping[str, str], *, seed: int) -> Forest:
    """Grow a forest on half of the queries and measure it on the others. groups: feature -> its group."""
    if judged is None:
        return _none("the rows that the ranker learnt from are not kept with a saved model")
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(judged.indptr) - 1)
    halves = [judged.rows(np.sort(part))[0] for part in (order[::2], order[1::2])]
    (rows, answers), (held, truth) = ((judged.features[part], judged.worth[part] > 0) for part in halves)
    for name, half in (("to learn from", answers), ("to measure by", truth)):
        if min(half.sum(), (~half).sum()) < LEAST:
            return _none(f"{int(half.sum())} relevant rows of {len(half)} {name}, at least {LEAST} of either needed")
    grown = RandomForestClassifier(
        TREES, max_depth=DEPTH, min_samples_leaf=LEAF, class_weight="balanced", n_jobs=1, random_state=seed
    ).fit(_finite(rows), answers)

    def area(features: NDArray[np.float32]) -> float:
        return float(roc_auc_score(truth, grown.predict_proba(features)[:, 1]))

    held = _finite(held)
    auc = area(held)
    permuted = {
        group: auc - float(np.mean([area(_shuffled(held, columns, rng)) for _ in range(REPEATS)]))
        for group, columns in _columns(judged.names, groups).items()
    }
    impurity = dict(zip(judged.names, grown.feature_importances_.tolist(), strict=True))
    return Forest(impurity=impurity, permuted=permuted, auc=auc)


def _none(reason: str) -> Forest:
    return Forest(impurity={}, permuted={}, auc=float("nan"), reason=reason)


def _finite(features: NDArray[Any]) -> NDArray[np.float32]:
    """scikit-learn takes NaN for missing, and refuses infinity."""
    return np.asarray(np.nan_to_num(features, nan=np.nan, posinf=1e30, neginf=-1e30), np.float32)


def _columns(names: tuple[str, ...], groups: Mapping[str, str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        found.setdefault(groups[name], []).append(column)
    return found


def _shuffled(features: NDArray[np.float32], columns: list[int], rng: np.random.Generator) -> NDArray[np.float32]:
    mixed = features.copy()
    mixed[:, columns] = features[rng.permutation(len(features))][:, columns]
    return mixed
