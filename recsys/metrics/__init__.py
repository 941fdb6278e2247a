"""The metrics by name. METRICS give one value per query; CATALOGUE_METRICS one value for all lists together."""

METRICS = {
    "precision": "recsys.metrics.accuracy:precision",
    "recall": "recsys.metrics.accuracy:recall",
    "hit_rate": "recsys.metrics.accuracy:hit_rate",
    "mrr": "recsys.metrics.accuracy:mrr",
    "map": "recsys.metrics.accuracy:average_precision",
    "ndcg": "recsys.metrics.accuracy:ndcg",
    "novelty": "recsys.metrics.beyond_accuracy:novelty",
    "diversity": "recsys.metrics.beyond_accuracy:diversity",
}

CATALOGUE_METRICS = {
    "coverage": "recsys.metrics.catalogue:coverage",
    "gini": "recsys.metrics.catalogue:gini",
}
