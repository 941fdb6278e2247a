"""The bake-off: every variant tuned, refitted, scored once on the test part, tracked, ranked and registered."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bakeoff.records import to_json
from experiments import importance, plots
from experiments.bench import Bench, workers
from experiments.board import Leaderboard, Standing
from experiments.config import CHAMPION, BakeoffConfig
from experiments.fitting import Fits, indexed, note_of
from experiments.front import Front
from experiments.home import Home
from experiments.journal import Event
from experiments.package import Package
from experiments.progress import Progress, silent
from experiments.registry import CHALLENGER, Registry
from experiments.scoring import Scored, rank, score_all
from experiments.search import value_of
from experiments.tracking import QUESTION, Run, Tracker, code, latest, save_leaderboard
from experiments.tune import Tuned, tune, tune_fusion
from recsys.data.dataset import Dataset
from recsys.data.split import Split
from recsys.metrics.definitions import DEFINITIONS
from recsys.metrics.item_vectors import ItemVectors, item_vectors
from recsys.models.base import Recommender

MAX_TRIAL_RUNS = 200
"""Above this many trials of a variant only the best become runs of their own; the table of all is always kept."""


def tune_all(config: BakeoffConfig, split: Split, home: Home, progress: Progress = silent) -> dict[str, Tuned]:
    """The best parameters of every variant on validation; the fusions last, over their tuned parts."""
    return tune_on(Bench.of(config, split), config, home, progress)


def tune_on(bench: Bench, config: BakeoffConfig, home: Home, progress: Progress = silent) -> dict[str, Tuned]:
    """The best parameters of every variant on a bench; the fusions last, over their tuned parts."""
    tuned: dict[str, Tuned] = {}
    with workers(bench, config.tuning.workers) as pool:
        for name, variant in config.variants.items():
            if not variant.parts:
                tuned[name] = tune(name, variant, config, bench, home, pool, progress)
    for name, variant in config.variants.items():
        if variant.parts:
            tuned[name] = tune_fusion(name, variant, config, bench, home, tuned, progress)
    return {name: tuned[name] for name in config.variants}


def validate_all(config: BakeoffConfig, split: Split, home: Home, progress: Progress = silent) -> Leaderboard:
    """The standing on validation of every variant with its best parameters; nothing is logged, the test not touched."""
    tuned = tune_all(config, split, home, progress)
    fits = Fits(home, config.name)
    scored = score_all(config, tuned, split.train, split.validation, item_vectors(split.train), fits, progress)
    fits.done()
    return rank(config, split, scored, run_id="", at=datetime.now(UTC), judged_on="validation")


def bake_off(
    config: BakeoffConfig, dataset: Dataset, split: Split, home: Home, progress: Progress = silent
) -> Leaderboard:
    """Tune on validation, refit on train and validation, score once on test, log everything to MLflow."""
    tracker = Tracker(home)
    with tracker.run(config.name, f"bake-off {config.name}", kind="bakeoff") as parent:
        vectors = item_vectors(split.train)
        _describe(parent, config, dataset, split, vectors)
        tuned = tune_all(config, split, home, progress)
        fits = Fits(home, config.name)
        scored = score_all(config, tuned, split.refit(), split.test, vectors, fits, progress)
        board = rank(config, split, scored, run_id=parent.id, at=datetime.now(UTC), judged_on="test")
        rows = []
        for done, row in enumerate(board.standings):
            tell = partial(progress, "fit on everything and log", done, len(board.standings))
            model = fits.fit(row.variant, row.model, row.params, dataset, tell)
            row = replace(row, note=row.note or note_of(model))
            package = _package(model, config.fallback.create().fit(dataset), dataset)
            rows.append(_log_variant(tracker, parent, config, row, scored[row.variant], package))
        progress("fit on everything and log", len(rows), len(rows), "")
        board = replace(board, standings=tuple(rows))
        _log_plots(parent, board, scored, dataset, config)
        parent.log(
            metrics={f"best_{board.metric}": board.best.cells[board.metric].mean}, tags={"best": board.best.variant}
        )
        save_leaderboard(parent, board)
    fits.done()
    return board


def finished(config: BakeoffConfig, dataset: Dataset, home: Home) -> Leaderboard | None:
    """The leaderboard of the same question, asked of the same data by the same code, if there is one."""
    return latest(home, question(config, dataset))


def question(config: BakeoffConfig, dataset: Dataset) -> str:
    """A digest of what a bake-off's outcome depends on: not the workers, and not the experiment that follows it."""
    beside: Any = {"experiment": True, "backtest": True, "data": True, "tuning": {"workers"}}
    asked = config.model_dump(mode="json", exclude=beside)
    text = json.dumps([asked, dataset.fingerprint, code()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def register(config: BakeoffConfig, board: Leaderboard, home: Home, at: datetime) -> Leaderboard:
    """Give versions to the best variant and to those an experiment needs; the best becomes challenger.

    A variant that has a version keeps it, so registering twice changes nothing.
    While the model has no champion, the experiment's incumbent becomes it (without an experiment, the best does).
    """
    registry, plan = Registry(home), config.experiment
    incumbent = board.resolve("best" if plan is None else plan.first_champion)
    needed = [] if plan is None else [board.resolve(plan.treatment)]
    if registry.alias(board.name, CHAMPION) is None or (plan is not None and plan.control != CHAMPION):
        needed.insert(0, incumbent)
    for variant in dict.fromkeys([*needed, board.best.variant]):
        board = _versioned(board, variant, registry)
    champion, challenger = registry.alias(board.name, CHAMPION), registry.alias(board.name, CHALLENGER)
    if champion is None:
        champion = board.standing(incumbent).version
        registry.move(_registered(board, CHAMPION, incumbent, None, at))
    if board.best.version not in (champion, challenger):
        registry.move(_registered(board, CHALLENGER, board.best.variant, challenger, at))
    save_leaderboard(Run(board.run_id, registry.client), board)
    return board


def _describe(run: Run, config: BakeoffConfig, dataset: Dataset, split: Split, vectors: ItemVectors) -> None:
    """What ran, on what, so that it can be run again."""
    run.text(config.model_dump_json(indent=2), "config.json")
    run.log(
        params={
            "seed": config.seed,
            "split": split.method,
            "cutoffs": ", ".join(split.cutoffs),
            "metric": config.evaluation.leading,
            "trials": config.tuning.trials,
            "variants": ", ".join(config.variants),
        },
        tags={
            "bakeoff.dataset": dataset.name,
            "bakeoff.fingerprint": dataset.fingerprint,
            QUESTION: question(config, dataset),
            "bakeoff.item_vectors": vectors.origin,
            **{f"bakeoff.definition.{name}": text for name, text in DEFINITIONS.items()},
        },
    )
    run.lineage(dataset, config.data.model_dump_json())


def _log_variant(
    tracker: Tracker, parent: Run, config: BakeoffConfig, row: Standing, scored: Scored, package: Package
) -> Standing:
    """One child run: parameters, metrics, per-user values, its trials, and the model fitted on everything."""
    with tracker.run(config.name, row.variant, kind="variant", parent=parent) as run:
        model_id, _ = run.model(package, row.variant, package.users.ids[:2].tolist())
        run.log(
            params={"model": row.model, **row.params},
            metrics={name: cell.mean for name, cell in row.cells.items()},
            tags={"bakeoff.fitted_on": "train, validation and test; the metrics are of the fit before the test"},
            model_id=model_id,
        )
        run.log(
            metrics={
                **{f"{name}_low": cell.low for name, cell in row.cells.items()},
                **{f"{name}_high": cell.high for name, cell in row.cells.items()},
                **_of_slices(row),
                **{f"index_recall/{name}": part.recall for name, part in indexed(package.model).items()},
                "validation": scored.tuned.value,
                "fit_seconds": row.fit_seconds,
                "score_seconds": row.score_seconds,
            }
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scorecard.parquet"
            pq.write_table(scored.card.table(), path)
            run.file(path)
        _log_trials(tracker, run, config, scored.tuned)
        if found := importance.importance(package.model, package.histories, config.seed):
            run.text(importance.as_csv(found.features), "features.csv")
            run.text(to_json(importance.Importance, found), "importance.json")
            run.figure(importance.plot(found), "plots/feature_importance.png")
            run.figure(importance.plot_groups(found), "plots/group_importance.png")
    return replace(row, run_id=run.id)


def _of_slices(row: Standing) -> dict[str, float]:
    """The leading metric of each slice as MLflow groups it: `slices/cold/ndcg_10`, with ends and number of users."""
    found: dict[str, float] = {}
    for part in row.slices:
        name = f"slices/{part.name.replace(' ', '_')}/{part.metric}"
        found |= {name: part.mean, f"{name}_low": part.low, f"{name}_high": part.high, f"{name}_n": part.n}
    return found


def _package(model: Recommender, fallback: Recommender, dataset: Dataset) -> Package:
    """A variant fitted on the whole log: what would be served from now on."""
    titles = dataset.item_features.get("title", dataset.items.ids)
    return Package(
        model=model,
        fallback=fallback,
        users=dataset.users,
        items=dataset.items,
        histories=dataset.interactions,
        titles=titles.astype(str),
    )


def _log_trials(tracker: Tracker, run: Run, config: BakeoffConfig, tuned: Tuned) -> None:
    if tuned.study is None:
        return
    best_first = sorted(tuned.trials, key=lambda t: (not t.values, -value_of(t) if t.values else 0.0, t.number))
    named = tuned.front.objectives if tuned.front else ()
    for trial in best_first[:MAX_TRIAL_RUNS]:
        tracker.closed_run(
            config.name,
            f"{tuned.variant} trial {trial.number}",
            parent=run,
            status={"COMPLETE": "FINISHED", "PRUNED": "KILLED"}.get(trial.state.name, "FAILED"),
            params=trial.params,
            metrics={"value": value_of(trial), **dict(zip(named, trial.values or (), strict=False))},
        )
    run.text(tuned.study.trials_dataframe().to_csv(index=False), "trials.csv")
    if tuned.front is not None:
        done = [trial for trial in tuned.trials if trial.values]
        run.figure(plots.pareto_front(tuned.front, done, tuned.variant), "plots/pareto_front.png")
        run.text(to_json(Front, tuned.front), "front.json")
    run.figure(plots.search_history(tuned.study), "plots/search_history.png")
    if (importance := plots.parameter_importance(tuned.study)) is not None:
        run.figure(importance, "plots/parameter_importance.png")


def _log_plots(
    run: Run, board: Leaderboard, scored: Mapping[str, Scored], dataset: Dataset, config: BakeoffConfig
) -> None:
    settings = config.evaluation
    run.figure(plots.metric_by_k(board, settings.metric, sorted({*settings.ks, settings.k})), "plots/metric_by_k.png")
    for name in {"diversity", "novelty"} & set(settings.metrics):
        run.figure(plots.trade_off(board, f"{name}_{settings.k}"), f"plots/accuracy_against_{name}.png")
    recommended = {name: entry.recommended for name, entry in scored.items()}
    popularity = dataset.interactions.item_users
    run.figure(plots.popularity_of_lists(recommended, popularity), "plots/popularity_of_lists.png")


def _versioned(board: Leaderboard, variant: str, registry: Registry) -> Leaderboard:
    """The board with the variant's logged model registered as the next version, unless it has one."""
    if board.standing(variant).version is not None:
        return board
    tags = {"bakeoff.variant": variant, "bakeoff.bakeoff": board.run_id, "bakeoff.revision": board.revision}
    version = registry.register(board.name, board.standing(variant).run_id, variant, tags)
    rows = [replace(row, version=version) if row.variant == variant else row for row in board.standings]
    return replace(board, standings=tuple(rows))


def _registered(board: Leaderboard, alias: str, variant: str, before: int | None, at: datetime) -> Event:
    return Event(
        at=at,
        model=board.name,
        change="register",
        alias=alias,
        version=board.standing(variant).version,
        before=before,
        reasons=(f"{variant} of the bake-off of {board.at:%Y-%m-%d %H:%M}",),
        by="bakeoff train",
    )
