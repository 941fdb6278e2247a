"""The bench: what every trial is fitted and judged on, and the processes that do it."""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna

from experiments.config import BakeoffConfig, FallbackConfig
from experiments.search import Answer, storage
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.data.split import Split
from recsys.evaluate import score_recommendations
from recsys.hybrid.pipeline import Pipeline
from recsys.hybrid.sharing import Shared
from recsys.metrics.judged import Truth
from recsys.models.base import Recommender, create
from recsys.recommend import recommend

WATCH_EVERY = 5
"""Epochs between two looks at the validation part: a look costs about as much as a few epochs of ALS."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The train and validation parts of a bake-off, and the metric that leads."""

    train: Dataset
    validation: Dataset
    metric: str
    k: int
    seed: int
    stand_in: FallbackConfig = field(default_factory=FallbackConfig)

    @classmethod
    def of(cls, config: BakeoffConfig, split: Split) -> "Bench":
        """The bench of a bake-off; somebody must have something new to find in its validation part."""
        bench = cls(
            train=split.train,
            validation=split.validation,
            metric=config.evaluation.metric,
            k=config.evaluation.k,
            seed=config.seed,
            stand_in=config.fallback,
        )
        if len(bench.truth.users) == 0:
            raise ValueError(
                f"nobody in the validation part of {split.train.name!r} has anything new to find; choose another split"
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
        return self.value_of(recommend(model, self.queries, self.k, fallback=self.fallback))

    def value_of(self, lists: Recommendations) -> float:
        """The mean of the leading metric of lists that answer `queries`."""
        card = score_recommendations(lists, self.truth, seen=self.train, ks=(self.k,), metrics=(self.metric,))
        return card.mean(f"{self.metric}_{self.k}")


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
    study = optuna.load_study(study_name=task.study, storage=storage(task.journal), pruner=_pruner(task.pruning))
    trial = optuna.Trial(study, task.trial)

    def watch(epoch: int, unfinished: Recommender) -> None:
        if epoch % WATCH_EVERY == 0:
            trial.report(bench.value(unfinished), epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        model = create(task.model, **task.params)
        if isinstance(model, Pipeline):
            model.sharing(shared)  # what its stations have alike with those of the trials before
        return Answer.of(bench.value(model.fit(bench.train, watch=watch)))
    except optuna.TrialPruned:
        return Answer(None)
    except Exception as error:  # of whatever kind: the libraries behind the models have errors of their own
        return Answer(None, f"{type(error).__name__}: {error}")


def _pruner(enabled: bool) -> optuna.pruners.BasePruner:
    """Stops a trial that stands below the median of the finished ones at the same epoch."""
    return optuna.pruners.MedianPruner(n_warmup_steps=WATCH_EVERY) if enabled else optuna.pruners.NopPruner()


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
