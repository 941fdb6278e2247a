"""What a pipeline's ranker goes by: every feature with its meaning, its share of the gain and its SHAP values."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import Recommender

SAMPLE = 200
"""Users whose candidates the SHAP values are averaged over, at most."""
SHOWN = 25


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A feature: gain, its share of the gain of all trees; shap, the mean absolute SHAP value in units of the score."""

    feature: str
    group: str
    meaning: str
    gain: float
    shap: float


def importance(model: Recommender, histories: Interactions, seed: int) -> list[Weight]:
    """The features of a pipeline's ranker, by gain; nothing for a model without such a ranker."""
    if not isinstance(model, Pipeline) or model.trees is None:
        return []
    users = np.unique(histories.user)
    drawn = np.sort(np.random.default_rng(seed).permutation(users)[:SAMPLE])
    queries = Queries.of(histories, drawn)
    parts = model.trees.contributions(model.described(queries, model.named(queries)))
    shap = dict(zip(model.trees.names, np.abs(parts[:, :-1]).mean(axis=0).tolist(), strict=True))
    table, gains = model.feature_table(), model.trees.importance()
    return [
        Weight(feature=name, group=table[name][0], meaning=table[name][1], gain=gain, shap=shap[name])
        for name, gain in gains.items()
    ]


def as_csv(weights: Sequence[Weight]) -> str:
    """A row per feature, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["feature", "group", "gain", "shap", "meaning"])
    writer.writerows([w.feature, w.group, f"{w.gain:.6g}", f"{w.shap:.6g}", w.meaning] for w in weights)
    return text.getvalue()


def plot(weights: Sequence[Weight]) -> Figure:
    """Two bars for each of the features that matter most: gain to the left, SHAP to the right."""
    first = list(weights)[:SHOWN][::-1]
    figure = Figure(figsize=(11.0, 1.0 + 0.26 * len(first)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh([w.feature for w in first], [w.gain for w in first])
    left.set_xlabel("share of the gain of all trees")
    right.barh([w.feature for w in first], [w.shap for w in first], color="tab:orange")
    right.set_xlabel("mean |SHAP| over candidates of a sample of users")
    return figure
