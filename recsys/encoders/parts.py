"""Several encoders as a configuration names them, and those that columns suggest when it names none."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from recsys.data.dataset import Features
from recsys.encoders.base import Encoded, Encoder, create, words_of
from recsys.encoders.combine import combine

Part = Mapping[str, Any]
"""`{"encoder": a name in ENCODERS, "params": {...}}`."""


def create_part(part: Part) -> Encoder:
    """The encoder that a part describes."""
    if not isinstance(part, Mapping) or "encoder" not in part or set(part) - {"encoder", "params"}:
        raise ValueError(f"an encoder is given as {{'encoder': ..., 'params': {{...}}}}, got {part!r}")
    return create(part["encoder"], **part.get("params", {}))


def encoded(
    features: Features,
    parts: Sequence[Part] | None,
    weights: Sequence[float] | None = None,
    share: float | None = None,
) -> Encoded:
    """(n, d) vectors by all the parts, combined: see `combine`.

    parts: None for those that the columns suggest; share: instead of weights, that of the first part, while the others
    share the rest equally.
    """
    if not features:
        raise ValueError("there are no features to encode; a content model needs a data set that describes its items")
    chosen = suggested(features) if parts is None else parts
    if share is not None and len(chosen) > 1:
        weights = [share, *[(1 - share) / (len(chosen) - 1)] * (len(chosen) - 1)]
    return combine([create_part(part).encode(features) for part in chosen], weights)


def suggested(features: Features) -> list[dict[str, Any]]:
    """The parts that fit the columns by what is in them: vectors, text (most rows have their own), attributes."""
    kinds = {name: _fitting(column) for name, column in features.items()}
    found = {kind: [name for name in kinds if kinds[name] == kind] for kind in ("tfidf", "attributes", "vectors")}
    return [{"encoder": kind, "params": {"columns": names}} for kind, names in found.items() if names]


def _fitting(column: NDArray[Any]) -> str:
    if column.ndim == 2:
        return "vectors"
    if column.dtype.kind not in "OUS":
        return "attributes"
    cells = list(filter(None, words_of(column)))
    return "tfidf" if len(set(cells)) > len(cells) / 2 else "attributes"
