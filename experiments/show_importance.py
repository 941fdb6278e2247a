"""What `bakeoff importance` prints: the groups of features, then the features that matter most."""

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.importance import Importance


def importance(console: Console, variant: str, found: Importance, top: int) -> None:
    """Two tables; the forest's columns are empty, with the reason below, where none was grown."""
    groups = Table(title=f"{variant}: groups of features by gain", title_justify="left")
    for column in ("group", "features", "gain", "mean |SHAP|", "random forest", "AUC lost when shuffled"):
        groups.add_column(column, justify="left" if column == "group" else "right")
    for group in found.groups:
        shares = (_share(group.gain), _number(group.shap), _share(group.forest), _number(group.permuted))
        groups.add_row(escape(group.group), f"{group.features}", *shares)
    console.print(groups)
    features = Table(title=f"{variant}: the first {min(top, len(found.features))} features", title_justify="left")
    for column in ("feature", "group", "gain", "mean |SHAP|", "random forest", "what it says"):
        features.add_column(column, justify="right" if column in ("gain", "mean |SHAP|", "random forest") else "left")
    for row in found.features[:top]:
        numbers = (_share(row.gain), _number(row.shap), _share(row.forest))
        features.add_row(escape(row.feature), escape(row.group), *numbers, escape(row.meaning))
    console.print(features)
    told = (
        f"no random forest: {found.reason}."
        if found.reason
        else f"random forest: its share of the fall of impurity; AUC {found.auc:.3f} on queries it was not grown on."
    )
    console.print(
        f"gain: share of all trees; SHAP: in units of the ranker's score; {told}", highlight=False, markup=False
    )


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1%}"


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"
