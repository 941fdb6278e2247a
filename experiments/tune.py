"""Tuning: the best parameters of each variant on the validation part; resumable, the same for any workers."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from experiments.bench import Bench, Task, fit_trial
from experiments.config import BakeoffConfig, Range, TuningConfig, VariantConfig
from experiments.front import Front, directions, front_of
from experiments.home import Home
from experiments.places import placed, value_at
from experiments.progress import Progress
from experiments.search import REASON, Answer, Direction, best_of, can_be, complete, open_study, over, search, value_of
from recsys.data.recommendations import Recommendations
from recsys.hybrid.fusion import Fusion, fuse
from recsys.models.base import create
from recsys.recommend import recommend


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A variant after its search: the parameters to use, their value on validation, and every trial.

    value: of the leading metric; front: of a search of several objectives.
    """

    variant: str
    params: dict[str, Any]
    value: float
    study: optuna.Study | None
    front: Front | None = None

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that are over, in the order they were drawn."""
        return [] if self.study is None else over(self.study)

    @property
    def failures(self) -> list[str]:
        """Why trials failed, in the order they were drawn."""
        return [trial.user_attrs[REASON] for trial in self.trials if REASON in trial.user_attrs]


def tune(
    name: str,
    variant: VariantConfig,
    config: BakeoffConfig,
    bench: Bench,
    home: Home,
    pool: ProcessPoolExecutor,
    progress: Progress,
) -> Tuned:
    """Search the parameters of one variant (not a fusion); continues where an earlier call stopped."""
    fixed = seeded(variant.model, variant.params, bench.seed)
    if not variant.search:
        return Tuned(variant=name, params=fixed, value=float("nan"), study=None)
    usual = create(variant.model, **fixed).complete()
    # what the model would be without a search is the first thing to beat
    first = {key: value_at(usual, key) for key, axis in variant.search.items() if can_be(value_at(usual, key), axis)}
    journal = _journal(name, variant, config, bench, home)

    def task(trial: optuna.Trial) -> Task:
        return Task(
            model=variant.model,
            params=placed(fixed, trial.params),
            journal=journal,
            study=trial.study.study_name,
            trial=trial._trial_id,
            pruning=config.tuning.pruning and not bench.objectives,
        )

    with open_study(journal, f"{config.name}/{name}", _directions(bench)) as study:
        search(
            study,
            variant.search,
            [first],
            config.tuning.model_copy(update={"trials": variant.trials or config.tuning.trials}),
            seed=bench.seed,
            fit=lambda batch: list(pool.map(fit_trial, map(task, batch))),
            tell=lambda *state: progress(f"tune {name}", *state),
        )
    best, front = _chosen(study, name, bench, config.tuning, journal)
    return Tuned(variant=name, params=placed(fixed, best.params), value=value_of(best), study=study, front=front)


def tune_fusion(
    name: str,
    variant: VariantConfig,
    config: BakeoffConfig,
    bench: Bench,
    home: Home,
    parts: Mapping[str, Tuned],
    progress: Progress,
) -> Tuned:
    """Search the weights of a fusion over its tuned parts: their lists are made once, a trial only merges them.

    The first trials are equal weights and each part alone, so on validation the fusion is never below its best part.
    """
    chosen: list[dict[str, Any]] = [
        {"model": config.variants[part].model, "params": parts[part].params} for part in variant.parts
    ]
    named = [f"weight_{part}" for part in variant.parts]
    first = [dict(zip(named, map(float, row), strict=True)) for row in (np.ones(len(named)), *np.eye(len(named)))]
    space = {**dict.fromkeys(named, Range(low=0.0, high=1.0)), **variant.search}
    rule = {key: value for key, value in variant.params.items() if key in ("rule", "smoothing", "sharpness")}
    depth = int(variant.params.get("depth", Fusion.depth))
    lists = [
        [recommend(create(c["model"], **c["params"]).fit(moment.train), moment.queries, depth) for c in chosen]
        for moment in bench.moments
    ]
    popular = [recommend(moment.fallback, moment.queries, moment.k) for moment in bench.moments]

    def merge(trial: optuna.Trial) -> Answer:
        weights = [trial.params[weight] for weight in named]
        if not any(weights):
            return Answer(None, "every weight is 0")
        drawn = {key: trial.params[key] for key in variant.search}
        merged = [fuse(parts, weights, k=bench.k, **{**rule, **drawn}) for parts in lists]
        judged = [moment.values_of(filled(*both)) for moment, *both in zip(bench.moments, merged, popular, strict=True)]
        return Answer.of(*bench.mean(judged))

    # merging costs little: never so few trials that a part alone is not tried
    tuning = config.tuning.model_copy(update={"trials": max(variant.trials or config.tuning.trials, len(first))})
    journal = _journal(name, variant, config, bench, home, chosen)
    with open_study(journal, f"{config.name}/{name}", _directions(bench)) as study:
        search(
            study,
            space,
            first,
            tuning,
            seed=bench.seed,
            fit=lambda batch: [merge(trial) for trial in batch],
            tell=lambda *state: progress(f"tune {name}", *state),
        )
    best, front = _chosen(study, name, bench, config.tuning, journal)
    weights = [best.params[weight] for weight in named]
    drawn = {key: best.params[key] for key in variant.search}
    params = {**variant.params, **drawn, "parts": chosen, "weights": weights}
    return Tuned(variant=name, params=params, value=value_of(best), study=study, front=front)


def filled(lists: Recommendations, popular: Recommendations) -> Recommendations:
    """The lists with the items of `popular` (as long, for the same queries) in their empty places, as `recommend` does.

    Without them a fusion would be judged on shorter lists than its parts, which are filled up.
    """
    twice = (popular.items[:, :, None] == lists.items[:, None, :]).any(axis=2)
    items = np.hstack([lists.items, np.where(twice, np.int32(-1), popular.items)])
    scores = np.hstack([lists.scores, np.full(popular.items.shape, np.nan, np.float32)])
    kept = np.argsort(items < 0, axis=1, kind="stable")[:, : lists.k]
    return replace(
        lists, items=np.take_along_axis(items, kept, axis=1), scores=np.take_along_axis(scores, kept, axis=1)
    )


def seeded(model: str, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The parameters with the bake-off's seed, if the model takes one and none is given."""
    takes_seed = "seed" in create(model, **params).params()
    return {"seed": seed, **params} if takes_seed else dict(params)


def _directions(bench: Bench) -> tuple[Direction, ...]:
    return directions(bench.objectives or (bench.metric,))


def _chosen(
    study: optuna.Study, name: str, bench: Bench, tuning: TuningConfig, journal: Path
) -> tuple[FrozenTrial, Front | None]:
    """The trial whose parameters are taken; of several objectives the front too, drawn beside the journal."""
    if not bench.objectives:
        return best_of(study, name), None
    from experiments import plots

    done = complete(study, name)
    front = front_of(done, bench.objectives, bench.k, tuning.within)
    plots.pareto_front(front, done, name).savefig(journal.with_suffix(".png"))
    return next(trial for trial in done if trial.number == front.chosen), front


def _journal(
    name: str, variant: VariantConfig, config: BakeoffConfig, bench: Bench, home: Home, parts: Any = None
) -> Path:
    """The journal of exactly this question: another space, data, seed or metric is another file."""
    question = [
        variant.model_dump(mode="json", exclude={"trials"}),  # more of them go on where the others ended
        parts,
        bench.train.fingerprint,
        bench.validation.fingerprint,
        f"{bench.metric}_{bench.k}",
        bench.seed,
        config.tuning.batch,
        config.tuning.pruning,
        config.fallback.model_dump(mode="json"),
        *bench.objectives,  # what is chosen of them is no part of the search
        *([moment.train.fingerprint, moment.validation.fingerprint] for moment in bench.others),
    ]
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:12]
    return home.studies / config.name / f"{name}-{digest}.journal"
