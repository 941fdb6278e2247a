"""The configuration of a tiny line, as the tree in a YAML file."""

from typing import Any

MARKET = {"n_users": 150, "n_items": 60, "days": 40, "seed": 3}
NEIGHBOURS = {"neighbours": {"low": 5, "high": 60, "integer": True}, "shrink": {"low": 0.1, "high": 50, "log": True}}
CLICKS = {"clicks_per_user": {"kind": "mean", "numerator": "click", "role": "primary"}}


def tree(**changes: Any) -> dict[str, Any]:
    """The tree, with some of its keys replaced."""
    return {
        "name": "tiny",
        "seed": 5,
        "data": {"source": "market", "params": MARKET},
        "split": {"method": "temporal", "params": {"validation": "8d", "test": "8d"}},
        "evaluation": {"ks": [5, 10]},
        "tuning": {"trials": 6, "batch": 3, "workers": 1},
        "variants": {
            "popularity": {"model": "popularity"},
            "knn": {"model": "item_knn", "search": NEIGHBOURS},
            "hybrid": {"model": "fusion", "parts": ["popularity", "knn"]},
        },
        "experiment": {
            "incumbent": "popularity",
            "treatment": "knn",
            "days": 10,
            "metrics": CLICKS,
            # so sure of everything that the small sample ships
            "decision": {"alpha": 0.99, "min_days": 1, "min_units": 10},
        },
        **changes,
    }
