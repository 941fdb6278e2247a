"""What each metric means here, as a line to log beside its value: libraries differ under the same name."""

from collections.abc import Mapping

DEFINITIONS: Mapping[str, str] = {
    "precision": "v1: relevant in top k / k, also for shorter lists; users without truth left out",
    "recall": "v1: relevant in top k / all relevant (not min(k, relevant)); users without truth left out",
    "hit_rate": "v1: 1 if any relevant in top k; users without truth left out",
    "mrr": "v1: 1 / rank of the first relevant in top k, else 0; users without truth left out",
    "map": "v1: sum of precision at relevant ranks in top k / min(k, relevant); users without truth left out",
    "ndcg": "v1: binary gain, discount 1/log2(rank+1), ideal of min(k, relevant); users without truth left out",
    "novelty": "v1: mean over listed items of -log2((users of the item + 1) / (active users + 1)) in training",
    "diversity": "v1: mean over pairs in the list of 1 - cosine of item vectors; items without a vector left out",
    "coverage": "v1: distinct items in all top k / catalogue",
    "gini": "v1: Gini index of times listed in top k over the whole catalogue, 0 = equal",
}
"""Metric name -> version and definition. Change a formula, change its version. Truth = distinct items not in training;
ranking over the full catalogue minus the user's training items."""

LESS_IS_BETTER = frozenset({"gini"})
"""The metrics that are the better the lower they are; of all others more is better."""
