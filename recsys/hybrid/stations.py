"""The stations of a pipeline as a configuration names them, checked before anything is fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from recsys.data.parameters import check_keys, check_parameters, check_whole
from recsys.hybrid.candidates import origin_names
from recsys.hybrid.ranker import Ranker
from recsys.hybrid.slices import Slice
from recsys.models.base import Recommender, create
from recsys.rerank.base import Reranker
from recsys.rerank.base import create as create_reranker

DEPTH = 100
"""How many items a source names when its part does not say."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A candidate source: a model of MODELS, its parameters, and how many unseen items it names (0: it is off)."""

    model: str
    params: dict[str, Any]
    m: int

    @classmethod
    def of(cls, part: Any) -> Self:
        """A source from `{"model": ..., "params": {...}, "m": ...}`."""
        if not isinstance(part, Mapping) or "model" not in part:
            raise ValueError(f"a candidate source is {{'model': ..., 'params': {{...}}, 'm': ...}}, got {part!r}")
        check_keys(part, ("model", "params", "m"), f"candidate source {part['model']!r}")
        if part["model"] == "pipeline":
            raise ValueError("a pipeline cannot be a candidate source of a pipeline; name its sources")
        m = part.get("m", DEPTH)
        check_whole(f"m of candidate source {part['model']!r}", m, 0)
        source = cls(model=part["model"], params=dict(part.get("params") or {}), m=m)
        source.create()
        return source

    def create(self) -> Recommender:
        """The model, not fitted."""
        return create(self.model, **self.params)


def sources_of(parts: Sequence[Any]) -> tuple[list[Source], tuple[str, ...]]:
    """The sources that are on, and their names."""
    if isinstance(parts, str | Mapping) or not parts:
        raise ValueError(f"a pipeline needs a list of one or more candidate sources, got {parts!r}")
    every = [Source.of(part) for part in parts]
    named = [
        (source, name) for source, name in zip(every, origin_names([s.model for s in every]), strict=True) if source.m
    ]
    if not named:
        raise ValueError("every candidate source has m = 0: there is nothing to rank; give one of them an m >= 1")
    return [source for source, _ in named], tuple(name for _, name in named)


def ranker_of(params: Mapping[str, Any] | None) -> Ranker | None:
    """The ranker with these parameters, not fitted; None for None."""
    if params is None:
        return None
    check_parameters(Ranker, _mapping(params, "ranker"), "the ranker")
    return Ranker(**params)


def slice_of(params: Mapping[str, Any]) -> Slice:
    """The slice that a ranker learns from."""
    check_parameters(Slice, _mapping(params, "learn_from"), "`learn_from`")
    return Slice(**params)


def rerankers_of(parts: Sequence[Any]) -> list[Reranker]:
    """The rerankers, in their order, not fitted."""
    if isinstance(parts, str | Mapping):
        raise ValueError(f"rerankers must be a list, got {parts!r}")
    rerankers = []
    for part in parts:
        if not isinstance(part, Mapping) or "name" not in part:
            raise ValueError(f"a reranker is {{'name': ..., 'params': {{...}}}}, got {part!r}")
        check_keys(part, ("name", "params"), f"reranker {part['name']!r}")
        rerankers.append(create_reranker(part["name"], **(part.get("params") or {})))
    return rerankers


def parameters(station: Any) -> dict[str, Any]:
    """The parameters of a station that is a dataclass, by name."""
    return {f.name: getattr(station, f.name) for f in fields(station) if f.init}


def _mapping(params: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(params, Mapping):
        raise ValueError(f"{name} must be a mapping of parameters, got {params!r}")
    return params
