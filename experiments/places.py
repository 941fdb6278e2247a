"""Places inside parameters: `candidates.0.m` is the m of the first candidate source of a pipeline."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from recsys.hybrid.features import GROUPS

EVERY = "all"
"""In a place: every entry of a list. A word, because MLflow takes no `*` in a name."""


def placed(params: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with each value at its place; what was handed in stays as it is.

    A list of feature groups becomes group -> true or false when one of them is switched.

    >>> placed({"candidates": [{"model": "als"}]}, {"seed": 3, "candidates.0.m": 50})
    {'candidates': [{'model': 'als', 'm': 50}], 'seed': 3}
    """
    tree = deepcopy(dict(params))
    for place, value in values.items():
        *parents, last = place.split(".")
        for node in _nodes(tree, parents, place):
            node[_key(node, last, place)] = value
    return tree


def value_at(params: Any, place: str) -> Any:
    """The value at a place, of the first entry where it says `all`; None where there is none."""
    for key in place.split("."):
        if isinstance(params, list) and (key == EVERY or key.isdecimal()):
            number = 0 if key == EVERY else int(key)
            params = params[number] if number < len(params) else None
        elif isinstance(params, Mapping):
            params = params.get(key)
        else:
            return None
    return params


def _nodes(tree: Any, parents: list[str], place: str) -> list[Any]:
    """The mappings or lists in which the last key of a place stands; missing mappings on the way are made."""
    nodes = [tree]
    for depth, key in enumerate(parents):
        inner = []
        for node in nodes:
            if key == EVERY and isinstance(node, list):
                inner += node
                continue
            at = _key(node, key, place)
            if isinstance(node, dict):
                child = node.setdefault(at, {})
                if child is None:
                    child = node[at] = {}
                if depth == 0 and key == "features" and isinstance(child, list):
                    child = node[at] = {group: group in child for group in GROUPS}
            else:
                child = node[at]
            inner.append(child)
        nodes = inner
    return nodes


def _key(node: Any, key: str, place: str) -> Any:
    if isinstance(node, dict):
        return key
    if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
        return int(key)
    what = f"a list of {len(node)}, numbered from 0" if isinstance(node, list) else f"the value {node!r}"
    raise ValueError(f"there is no place {place!r}: {key!r} is asked of {what}")
