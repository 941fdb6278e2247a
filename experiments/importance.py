"""What a pipeline's ranker goes by: every feature and group with its gain, its SHAP values and a forest's opinion."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.hybrid.forest import forest
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import Recommender

SAMPLE = 200
"""Users whose candidates the SHAP values are averaged over, at most."""
SHOWN = 25


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A feature: gain, its share of the gain of all trees; shap, the mean absolute SHAP value in units of the score;
    forest, its share of the fall of impurity in a random forest, NaN without one."""

    feature: str
    group: str
    meaning: str
    gain: float
    shap: float
    forest: float


@dataclass(frozen=True, kw_only=True)
class GroupWeight:
    """A group of features: gain, shap (of the group's sum) and forest as of a feature; permuted: how far the forest's
    area under the ROC curve falls on held-out queries when the group is shuffled, NaN without one."""

    group: str
    features: int
    gain: float
    shap: float
    forest: float
    permuted: float


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The features and the groups, by gain. auc: of the forest, on held-out queries; reason: why there is none."""

    features: tuple[Weight, ...]
    groups: tuple[GroupWeight, ...]
    auc: float
    reason: str


def importance(model: Recommender, histories: Interactions, seed: int) -> Importance | None:
    """What a fitted pipeline's ranker goes by; None for a model without such a ranker."""
    if not isinstance(model, Pipeline) or model.trees is None:
        return None
    users = np.unique(histories.user)
    drawn = np.sort(np.random.default_rng(seed).permutation(users)[:SAMPLE])
    queries = Queries.of(histories, drawn)
    parts = model.trees.contributions(model.described(queries, model.named(queries)))[:, :-1]
    names, table, gains = model.trees.names, model.feature_table(), model.trees.importance()
    shap = dict(zip(names, np.abs(parts).mean(axis=0).tolist(), strict=True))
    grown = forest(model.trees.taught, {name: table[name][0] for name in names}, seed=seed)
    nan = float("nan")
    features = tuple(
        Weight(
            feature=name,
            group=table[name][0],
            meaning=table[name][1],
            gain=gain,
            shap=shap[name],
            forest=grown.impurity.get(name, nan),
        )
        for name, gain in gains.items()
    )
    groups = []
    for group in dict.fromkeys(weight.group for weight in features):
        own = [weight for weight in features if weight.group == group]
        columns = [names.index(weight.feature) for weight in own]
        groups.append(
            GroupWeight(
                group=group,
                features=len(own),
                gain=sum(weight.gain for weight in own),
                shap=float(np.abs(parts[:, columns].sum(axis=1)).mean()),
                forest=sum(weight.forest for weight in own),
                permuted=grown.permuted.get(group, nan),
            )
        )
    groups.sort(key=lambda group: (-group.gain, group.group))
    return Importance(features=features, groups=tuple(groups), auc=grown.auc, reason=grown.reason)


def as_csv(weights: Sequence[Weight]) -> str:
    """A row per feature, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["feature", "group", "gain", "shap", "forest", "meaning"])
    writer.writerows(
        [w.feature, w.group, f"{w.gain:.6g}", f"{w.shap:.6g}", f"{w.forest:.6g}", w.meaning] for w in weights
    )
    return text.getvalue()


def plot(found: Importance) -> Figure:
    """Three bars for each of the features that matter most: gain, SHAP, a random forest."""
    first = found.features[:SHOWN]
    return _bars(
        [w.feature for w in first],
        {
            "share of the gain of all trees": [w.gain for w in first],
            "mean |SHAP| over candidates of a sample of users": [w.shap for w in first],
            "random forest: share of the fall of impurity": [w.forest for w in first],
        },
    )


def plot_groups(found: Importance) -> Figure:
    """The same of the groups, and what the forest loses when one is shuffled."""
    return _bars(
        [f"{w.group} ({w.features})" for w in found.groups],
        {
            "share of the gain of all trees": [w.gain for w in found.groups],
            "mean |SHAP| of the group's sum": [w.shap for w in found.groups],
            "random forest: fall of impurity": [w.forest for w in found.groups],
            f"loss of AUC ({found.auc:.3f}) when shuffled": [w.permuted for w in found.groups],
        },
    )


def _bars(names: Sequence[str], panels: dict[str, list[float]]) -> Figure:
    """A panel for each measure that has numbers, the first name on top."""
    shown = {label: values for label, values in panels.items() if np.isfinite(values).any()}
    figure = Figure(figsize=(5.0 + 3.5 * len(shown), 1.2 + 0.26 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for place, (label, values) in enumerate(shown.items()):
        axes[place].barh(list(names)[::-1], values[::-1], color=f"C{place}")
        axes[place].set_xlabel(label)
    return figure
