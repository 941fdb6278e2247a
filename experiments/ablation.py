"""Ablation: what each station of a pipeline contributes, by leaving it out, paired user by user."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from recsys.data.windows import rolling
from recsys.evaluate import score_recommendations
from recsys.hybrid.candidates import origin_names
from recsys.hybrid.pipeline import Pipeline
from recsys.hybrid.sharing import Shared
from recsys.hybrid.stations import Source
from recsys.metrics.judged import Truth
from recsys.models.base import Recommender, create
from recsys.recommend import recommend
from recsys.scorecard import Scorecard, compare

Part = Literal["validation", "test", "windows"]
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

    on: the part of the split that judges; the arms are fitted on all that lies before it, as a bake-off does.
    """
    params = _tuned(config, name, lambda: Bench.of(config, split), home, progress)
    sides = (split.train, split.validation) if on == "validation" else (split.refit(), split.test)
    return _ablated(config, name, params, [sides], on, progress)


def ablate_windows(
    config: BakeoffConfig, name: str, dataset: Dataset, home: Home, *, progress: Progress = silent
) -> Ablation:
    """The same over the windows of a backtest, tuned as there: on the windows before the first one that judges."""
    windows = rolling(dataset, **config.backtest.model_dump())
    params = _tuned(config, name, lambda: Bench.over(config, windows.validation), home, progress)
    sides = [(window.seen, window.truth) for window in windows.windows]
    return _ablated(config, name, params, sides, "windows", progress)


def _tuned(
    config: BakeoffConfig, name: str, bench: Callable[[], Bench], home: Home, progress: Progress
) -> dict[str, Any]:
    """The parameters of a variant, which must be a pipeline; `bench` is asked for where they are searched."""
    variant = config.variants.get(name)
    if variant is None or variant.model != "pipeline":
        pipelines = [other for other, each in config.variants.items() if each.model == "pipeline"]
        raise ValueError(
            f"{name!r} is no pipeline of {config.name!r}, only a pipeline has stations; "
            f"its pipelines: {', '.join(pipelines) or 'none'}"
        )
    if not variant.search:
        return seeded(variant.model, variant.params, config.seed)
    made = bench()
    with workers(made, config.tuning.workers) as pool:
        return tune(name, variant, config, made, home, pool, progress).params


def _ablated(
    config: BakeoffConfig,
    name: str,
    params: Mapping[str, Any],
    sides: Sequence[tuple[Dataset, Dataset]],
    on: Part,
    progress: Progress,
) -> Ablation:
    """The whole pipeline and its arms on each of the (seen, truth), as one."""
    judged: list[dict[str, tuple[Scorecard, str]]] = []
    for number, (seen, truth) in enumerate(sides):

        def tell(done: int, total: int, arm: str, number: int = number) -> None:
            progress("fit and score", number * total + done, len(sides) * total, arm)

        judged.append(_judged(config, params, seen, truth, on, tell))
    cards, notes = {}, {}
    # a station that is empty at one of the moments is no arm there
    for arm in (arm for arm in judged[0] if all(arm in moment for moment in judged)):
        parts = [replace(moment[arm][0], model=arm) for moment in judged]
        cards[arm] = parts[0] if len(parts) == 1 else Scorecard.pooled(parts)
        notes[arm] = ". ".join(dict.fromkeys(moment[arm][1] for moment in judged if moment[arm][1]))
    rows = [
        _measured(config, arm, card, None if arm == WHOLE else cards[WHOLE], notes[arm]) for arm, card in cards.items()
    ]
    return Ablation(
        variant=name,
        metric=config.evaluation.leading,
        judged_on=on,
        level=config.evaluation.level,
        parameters=dict(params),
        rows=tuple(rows),
    )


def _judged(
    config: BakeoffConfig,
    params: Mapping[str, Any],
    seen: Dataset,
    truth: Dataset,
    on: Part,
    tell: Callable[[int, int, str], None],
) -> dict[str, tuple[Scorecard, str]]:
    """The scorecard of each arm on one truth, the whole pipeline first, and what to know of its fit."""
    relevant = Truth.of(truth.interactions, seen.interactions)
    if len(relevant.users) == 0:
        raise ValueError(f"nobody in the {on} part of {seen.name!r} has anything new to find; choose another split")
    queries, fallback = Queries.of(seen.interactions, relevant.users), config.fallback.create().fit(seen)
    settings = config.evaluation

    def judged(model: Recommender) -> tuple[Scorecard, str]:
        lists = recommend(model, queries, settings.k, fallback=fallback)
        card = score_recommendations(lists, relevant, seen=seen, ks=(settings.k,), metrics=(settings.metric,))
        return card, note_of(model)

    tell(0, 1, WHOLE)
    whole = create("pipeline", **params)
    assert isinstance(whole, Pipeline), "that is what it is registered as"
    shared = Shared()
    found, every = {WHOLE: judged(whole.sharing(shared).fit(seen))}, arms(whole)
    for done, arm in enumerate(every, start=1):
        tell(done, len(every) + 1, arm.name)
        found[arm.name] = judged(_fitted(arm, seen, shared))
    tell(len(every) + 1, len(every) + 1, "")
    return found


def part(name: str) -> Part:
    """The part that judges, by its name; another name is refused."""
    for known in get_args(Part):
        if name == known:
            found: Part = known
            return found
    raise ValueError(f"the part that judges is validation, test or windows, got {name!r}")


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
    own = mean_interval(values, level=settings.level, rng=rng(), clusters=card.clusters)
    gain = None if whole is None else compare(whole, card, settings.leading, level=settings.level, rng=rng())
    return Measured(arm=name, mean=own.mean, low=own.low, high=own.high, n=own.n, gain=gain, note=note)
