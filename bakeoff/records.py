"""Frozen dataclasses as JSON and back, checked, with NaN and infinity kept (as text: JSON has no word for them)."""

import json
import math
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def to_json(kind: type[T], value: T, indent: int | None = 2) -> str:
    """The JSON text of a dataclass.

    >>> to_json(tuple[float, float], (1.5, float("nan")), indent=None)
    '[1.5, "NaN"]'
    """
    tree = TypeAdapter(kind).dump_python(value, mode="json")
    return json.dumps(_spelled(tree), indent=indent, allow_nan=False, ensure_ascii=False)


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read back what `to_json` wrote; anything else is a ValueError that names the place."""
    return TypeAdapter(kind).validate_json(text)


def _spelled(value: Any) -> Any:
    """The same tree with non-finite numbers as "NaN", "Infinity", "-Infinity", which validation reads as numbers."""
    if isinstance(value, dict):
        return {key: _spelled(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
