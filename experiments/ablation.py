"""Ablation: what each station of a pipeline contributes, by leaving it out, paired user by user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from bakeoff.bootstrap import Paired, mean_interval
from experiments.bench import Bench, workers
from experiments.config import BakeoffConfig
from experiments.fitting import note_of
from experiments.home import Home
from experiments.places import placed
from experiments.progress import Progress, silent
from experiments.tune import seeded, tune
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.split import Split
from recsys.evaluate import score_recommendations
from recsys.hybrid.candidates import origin_names
from recsys.hybrid.pipeline import Pipeline
from recsys.hybrid.sharing import Shared
from recsys.hybrid.stations import Source
from recsys.metrics.judged import Truth
from recsys.models.base import Recommender, create
from recsys.recommend import recommend
from recsys.scorecard import Scorecard, compare

Part = Literal["validation", "test"]
WHOLE = "the whole pipeline"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to do without something: a model with its parameters, and what it is, in words."""

    name: str
    model: str
    params: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An arm on the leading metric, over n users; gain: the whole pipeline minus the arm, None for that itself.

    note: what to know of its fit.
    """

    arm: str
    mean: float
    low: float
    high: float
    n: int
    gain: Paired | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What became of a pipeline without its stations. parameters: those of the whole one."""

    variant: str
    metric: str
    judged_on: Part
    level: float
    parameters: dict[str, Any]
    rows: tuple[Measured, ...]


def ablate(
    config: BakeoffConfig,
    name: str,
    split: Split,
    home: Home,
    *,
    on: Part = "validation",
    progress: Progress = silent,
) -> Ablation:
    """Tune the variant if it is not tuned yet, then fit and judge it whole and without each of its stations.

    on: the part that judges; the arms are fitted on all that lies before it, as a bake-off does.
    """
    variant = config.variants.get(name)
    if variant is None or variant.model != "pipeline":
        pipelines = [other for other, each in config.variants.items() if each.model == "pipeline"]
        raise ValueError(
            f"{name!r} is no pipeline of {config.name!r}, only a pipeline has stations; "
            f"its pipelines: {', '.join(pipelines) or 'none'}"
        )
    params = seeded(variant.model, variant.params, config.seed)
    if variant.search:
        bench = Bench.of(config, split)
        with workers(bench, config.tuning.workers) as pool:
            params = tune(name, variant, config, bench, home, pool, progress).params
    seen, truth = (split.train, split.validation) if on == "validation" else (split.refit(), split.test)
    relevant = Truth.of(truth.interactions, seen.interactions)
    if len(relevant.users) == 0:
        raise ValueError(f"nobody in the {on} part of {seen.name!r} has anything new to find; choose another split")
    queries, fallback = Queries.of(seen.interactions, relevant.users), config.fallback.create().fit(seen)
    settings = config.evaluation

    def judged(model: Recommender) -> Scorecard:
        lists = recommend(model, queries, settings.k, fallback=fallback)
        return score_recommendations(lists, relevant, seen=seen, ks=(settings.k,), metrics=(settings.metric,))

    progress("fit and score", 0, 1, WHOLE)
    whole = create("pipeline", **params)
    assert isinstance(whole, Pipeline), "that is what it is registered as"
    shared = Shared()
    card = judged(whole.sharing(shared).fit(seen))
    rows, every = [_measured(config, WHOLE, card, None, note_of(whole))], arms(whole)
    for done, arm in enumerate(every):
        progress("fit and score", done + 1, len(every) + 1, arm.name)
        model = _fitted(arm, seen, shared)
        rows.append(_measured(config, arm.name, judged(model), card, note_of(model)))
    progress("fit and score", len(every) + 1, len(every) + 1, "")
    return Ablation(
        variant=name,
        metric=settings.leading,
        judged_on=on,
        level=settings.level,
        parameters=params,
        rows=tuple(rows),
    )


def part(name: str) -> Part:
    """The part that judges, by its name; another name is refused."""
    for known in get_args(Part):
        if name == known:
            found: Part = known
            return found
    raise ValueError(f"the part that judges is validation or test, got {name!r}")


def arms(whole: Pipeline) -> list[Arm]:
    """Each source of a fitted pipeline alone; and the pipeline without each source, group, ranker and reranker.

    Groups for which the data set has nothing are no arms.
    """
    params, sources = whole.params(), whole.candidates
    names = origin_names([source["model"] for source in sources])
    on = [place for place in range(len(sources)) if names[place] in whole.origins]
    found = [
        Arm(name=f"{names[place]} alone", model=sources[place]["model"], params=sources[place].get("params") or {})
        for place in on
    ]

    def without(what: str, changes: Mapping[str, Any]) -> None:
        found.append(Arm(name=f"without {what}", model="pipeline", params=placed(params, changes)))

    for place in on if len(on) > 1 else ():
        without(f"candidates of {names[place]}", {f"candidates.{place}.m": 0})
    groups = list(dict.fromkeys(group for group, _ in whole.feature_table().values()))
    for group in groups if len(groups) > 1 else ():
        without(f"features {group}", {f"features.{group}": False})
    if whole.trees is not None:
        without("ranker", {"ranker": None})
    for place, reranker in enumerate(whole.rerankers):
        rest = [*whole.rerankers[:place], *whole.rerankers[place + 1 :]]
        without(f"reranker {reranker['name']}", {"rerankers": rest})
    return found


def _fitted(arm: Arm, seen: Dataset, shared: Shared) -> Recommender:
    """The arm, of which little is its own."""
    model = create(arm.model, **arm.params)
    if isinstance(model, Pipeline):
        return model.sharing(shared).fit(seen)
    return shared.source(Source.of({"model": arm.model, "params": arm.params}), seen)


def _measured(config: BakeoffConfig, name: str, card: Scorecard, whole: Scorecard | None, note: str) -> Measured:
    settings = config.evaluation

    def rng() -> np.random.Generator:
        return np.random.default_rng(config.seed)

    values = card.values[settings.leading]
    own = mean_interval(values, level=settings.level, rng=rng())
    gain = None if whole is None else compare(whole, card, settings.leading, level=settings.level, rng=rng())
    return Measured(arm=name, mean=own.mean, low=own.low, high=own.high, n=own.n, gain=gain, note=note)
