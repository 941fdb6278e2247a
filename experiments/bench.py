"""The bench: what every trial is fitted and judged on, and the processes that do it."""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from experiments.config import BakeoffConfig, FallbackConfig
from experiments.search import Answer, storage
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.data.split import Split
from recsys.data.windows import Window
from recsys.evaluate import NEED_VECTORS, metric_key, score_recommendations
from recsys.hybrid.pipeline import Pipeline
from recsys.hybrid.sharing import Shared
from recsys.metrics.item_vectors import item_vectors
from recsys.metrics.judged import Truth
from recsys.models.base import Recommender, Watch, create
from recsys.recommend import recommend

WATCH_EVERY = 5
"""Epochs between two looks at the validation part: a look costs about as much as a few epochs of ALS."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The train and validation parts of a bake-off, and the metric that leads.

    objectives: the metrics that a search weighs against each other, the leading one first; none: that one alone.
    others: further moments with a train and validation part each, where one has too few users to choose by.
    """

    train: Dataset
    validation: Dataset
    metric: str
    k: int
    seed: int
    stand_in: FallbackConfig = field(default_factory=FallbackConfig)
    objectives: tuple[str, ...] = ()
    others: tuple["Bench", ...] = ()

    @classmethod
    def of(cls, config: BakeoffConfig, split: Split) -> "Bench":
        """The bench of a bake-off; somebody must have something new to find in its validation part."""
        return cls._at(config, split.train, split.validation)

    @classmethod
    def over(cls, config: BakeoffConfig, windows: Sequence[Window]) -> "Bench":
        """The bench of several windows: a trial is fitted at each, its value is the mean over the users of all."""
        *others, latest = (cls._at(config, window.seen, window.truth) for window in windows)
        return replace(latest, others=tuple(others))

    @classmethod
    def _at(cls, config: BakeoffConfig, train: Dataset, validation: Dataset) -> "Bench":
        bench = cls(
            train=train,
            validation=validation,
            metric=config.evaluation.metric,
            k=config.evaluation.k,
            seed=config.seed,
            stand_in=config.fallback,
            objectives=config.tuning.objectives,
        )
        if len(bench.truth.users) == 0:
            raise ValueError(
                f"nobody in the validation part of {train.name!r} has anything new to find; choose another split"
            )
        return bench

    @cached_property
    def truth(self) -> Truth:
        """What is relevant to whom on the validation part, joined once for all trials."""
        return Truth.of(self.validation.interactions, self.train.interactions)

    @cached_property
    def queries(self) -> Queries:
        """The users of the validation part, with their histories in train."""
        return Queries.of(self.train.interactions, self.truth.users)

    @cached_property
    def fallback(self) -> Recommender:
        """What fills the places a model leaves empty, in tuning as in the final score."""
        return self.stand_in.create().fit(self.train)

    def value(self, model: Recommender) -> float:
        """The mean of the leading metric of a model's lists on the validation part."""
        return self._means(self._lists(model), (self.metric,))[0]

    def values(self, model: Recommender) -> tuple[float, ...]:
        """The value of a model's lists on each objective."""
        return self.values_of(self._lists(model))

    def values_of(self, lists: Recommendations) -> tuple[float, ...]:
        """The value on each objective of lists that answer `queries`."""
        return self._means(lists, self.objectives or (self.metric,))

    @property
    def moments(self) -> tuple["Bench", ...]:
        """This one and the others."""
        return (self, *self.others)

    def mean(self, values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        """The values at each of the moments as one: each user there counts the same."""
        if not self.others:
            return values[0]
        users = [len(moment.truth.users) for moment in self.moments]
        return tuple(float(np.average(column, weights=users)) for column in zip(*values, strict=True))

    def _lists(self, model: Recommender) -> Recommendations:
        return recommend(model, self.queries, self.k, fallback=self.fallback)

    def _means(self, lists: Recommendations, metrics: tuple[str, ...]) -> tuple[float, ...]:
        card = score_recommendations(
            lists,
            self.truth,
            seen=self.train,
            ks=(self.k,),
            metrics=metrics,
            item_vectors=self._vectors if NEED_VECTORS.intersection(metrics) else None,
        )
        return tuple(card.mean(metric_key(metric, self.k)) for metric in metrics)

    @cached_property
    def _vectors(self) -> NDArray[np.float64]:
        return item_vectors(self.train).values


@contextmanager
def workers(bench: Bench, n: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes hold the bench; on leaving with an error they are ended, whatever they are fitting."""
    spawn = multiprocessing.get_context("spawn")  # a fork would copy OpenMP runtimes in an unknown state
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(n, mp_context=spawn, initializer=_start, initargs=(bench, n))
    try:
        yield pool
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()  # a trial of minutes would hold up Ctrl-C, and its batch is fitted again anyway
        pool.shutdown(cancel_futures=True)  # waits for the pool's thread: at exit it would close what exit writes to
        raise
    pool.shutdown()


@dataclass(frozen=True, kw_only=True)
class Task:
    """A trial as it is sent to a worker: the model with its parameters, and the trial's place in its study."""

    model: str
    params: dict[str, Any]
    journal: Path
    study: str
    trial: int
    pruning: bool


def fit_trial(task: Task) -> Answer:
    """Fit and judge one trial, in a worker; a failure is an answer with its reason, not the end of the study."""
    assert _bench is not None, "the pool's initializer has run"
    assert _shared is not None, "the pool's initializer has run"
    bench, shared = _bench, _shared
    watch = _watch(task, bench) if task.pruning else None
    try:
        values = []
        for moment in bench.moments:
            model = create(task.model, **task.params)
            if isinstance(model, Pipeline):
                model.sharing(shared)  # what its stations have alike with those of the trials before
            seen_by = watch if moment is bench else None  # epochs are compared at one moment
            values.append(moment.values(model.fit(moment.train, watch=seen_by)))
        return Answer.of(*bench.mean(values))
    except optuna.TrialPruned:
        return Answer(None)
    except Exception as error:  # of whatever kind: the libraries behind the models have errors of their own
        return Answer(None, f"{type(error).__name__}: {error}")


def _watch(task: Task, bench: Bench) -> Watch:
    """Stops a trial that stands below the median of the finished ones at the same epoch."""
    pruner = optuna.pruners.MedianPruner(n_warmup_steps=WATCH_EVERY)
    study = optuna.load_study(study_name=task.study, storage=storage(task.journal), pruner=pruner)
    trial = optuna.Trial(study, task.trial)

    def watch(epoch: int, unfinished: Recommender) -> None:
        if epoch % WATCH_EVERY == 0:
            trial.report(bench.value(unfinished), epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    return watch


# --- the state of a worker process ---

_bench: Bench | None = None
_limit: Any = None
_shared: Shared | None = None


def _start(bench: Bench, n_workers: int) -> None:
    global _bench, _limit, _shared
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # a trial that was broken off reports again what it has reported
    warnings.filterwarnings("ignore", message="The reported value is ignored")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _bench, _shared = bench, Shared()
    _limit = threadpool_limits(max(1, multiprocessing.cpu_count() // n_workers))


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next trial for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)
