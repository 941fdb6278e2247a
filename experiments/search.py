"""Search: one Optuna study in a journal file that any death leaves usable and that goes on where it stopped.

Trials are drawn in batches. What a trial is drawn from depends on its number and on the finished batches alone, so a
study gives the same trials however many workers fit them, interrupted or not.
"""

import fcntl
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from experiments.config import Range, TuningConfig

optuna.logging.set_verbosity(optuna.logging.WARNING)

Space = Mapping[str, Range]
Direction = Literal["maximize", "minimize"]
REASON = "reason"
"""The attribute of a failed trial that says why."""


@dataclass(frozen=True)
class Answer:
    """What came of a trial: a value for each objective, or None and why (an empty reason: pruned)."""

    values: tuple[float, ...] | None
    reason: str = ""

    @classmethod
    def of(cls, *values: float) -> "Answer":
        """Values; what is no number is a failure: Optuna takes none, and nothing could be compared with it."""
        if any(map(math.isnan, values)):
            return cls(None, f"its value on validation is {', '.join(map(str, values))}")
        return cls(values)


Fit = Callable[[list[optuna.Trial]], list[Answer]]
"""Fits a batch of trials, which have their parameters, and answers in their order."""
Tell = Callable[[int, int, str], None]
"""Called as (trials done, trials in all, the best value so far in words)."""


def storage(journal: Path) -> JournalStorage:
    """Optuna's storage in a journal file."""
    return JournalStorage(JournalFileBackend(str(journal), lock_obj=_Lock(journal)))


@contextmanager
def open_study(journal: Path, name: str, directions: Sequence[Direction] = ("maximize",)) -> Iterator[optuna.Study]:
    """The study in the journal, begun if there is none; refused while another process has it open.

    directions: `maximize` or `minimize` for each objective, the leading one first.
    """
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"{name!r} is being tuned by another process; wait for it, or end it") from None
        _cut_torn_line(journal)
        kept = storage(journal)
        study = optuna.create_study(study_name=name, storage=kept, directions=directions, load_if_exists=True)
        if (done := over(study)) and all(trial.state is TrialState.FAIL for trial in done):
            # nothing to keep, and the reason (a package that was missing, an error in a model) may be mended by now
            optuna.delete_study(study_name=name, storage=kept)
            study = optuna.create_study(study_name=name, storage=kept, directions=directions)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # a killed process left it open: back into the queue, with its number and parameters
            kept.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        yield study


def search(
    study: optuna.Study,
    space: Space,
    first: Sequence[Mapping[str, Any]],
    tuning: TuningConfig,
    *,
    seed: int,
    fit: Fit,
    tell: Tell,
) -> None:
    """Draw and fit trials until there are as many as asked for; first: (some of the) parameters of the first ones."""
    while (done := len(over(study))) < tuning.trials:
        tell(done, tuning.trials, _best_so_far(study))
        # up to the end of its batch, when that was broken off
        n = min(tuning.batch - done % tuning.batch, tuning.trials - done)
        batch = _batch(study, space, first, n=n, n_random=min(10, tuning.trials // 3), seed=seed)
        for trial, answer in zip(batch, fit(batch), strict=True):
            if answer.values is not None:
                study.tell(trial, answer.values)
            elif answer.reason:
                trial.set_user_attr(REASON, answer.reason)
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, state=TrialState.PRUNED)
    tell(tuning.trials, tuning.trials, _best_so_far(study))


def over(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to an end, in the order they were drawn."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))


def best_of(study: optuna.Study, name: str) -> FrozenTrial:
    """The trial with the highest value of the leading objective, the first of equals."""
    done = complete(study, name)
    return max(done, key=lambda trial: (value_of(trial), -trial.number))


def complete(study: optuna.Study, name: str) -> list[FrozenTrial]:
    """The trials that have values, in the order they were drawn; there must be one."""
    done = _complete(study)
    if not done:
        reasons = [trial.user_attrs.get(REASON, "pruned") for trial in over(study)]
        raise RuntimeError(f"no trial of variant {name!r} succeeded; the first one: {reasons[0]}")
    return done


def value_of(trial: FrozenTrial) -> float:
    """The value of a trial on the leading objective, NaN when it has none."""
    return float(trial.values[0]) if trial.values else math.nan


def can_be(value: Any, axis: Range) -> bool:
    """Whether the axis can take this value."""
    if axis.choices is not None:
        return value in axis.choices
    if value is None or axis.low is None or axis.high is None or not axis.low <= value <= axis.high:
        return False
    step = 1.0 if axis.integer and axis.step is None else axis.step
    return step is None or ((value - axis.low) / step).is_integer()


def _batch(
    study: optuna.Study, space: Space, first: Sequence[Mapping[str, Any]], *, n: int, n_random: int, seed: int
) -> list[optuna.Trial]:
    """The next n trials, with their parameters.

    They are drawn in a copy of the study and enter the journal in one line each, so that none is ever half drawn, by
    samplers whose randomness depends on the trial's number alone.
    """
    known = study.get_trials(deepcopy=False)
    copy = optuna.create_study(directions=study.directions)
    copy.add_trials(known)
    for params in first[len(known) : len(known) + n]:
        copy.enqueue_trial(dict(params))
    for _ in range(n):
        trial = copy.ask()  # those that wait come first
        copy.sampler = optuna.samplers.TPESampler(
            seed=seed + trial.number, n_startup_trials=n_random, multivariate=True, constant_liar=True
        )
        _draw(trial, space)
        if trial.number >= len(known):
            study.enqueue_trial(trial.params)
    batch = [study.ask() for _ in range(n)]
    for trial in batch:
        _draw(trial, space)  # what it was put into the queue with
    return batch


def _draw(trial: optuna.Trial, space: Space) -> None:
    for name, axis in space.items():
        if axis.choices is not None:
            trial.suggest_categorical(name, axis.choices)
            continue
        assert axis.low is not None, "checked by Range"
        assert axis.high is not None, "checked by Range"
        if axis.integer:
            trial.suggest_int(name, int(axis.low), int(axis.high), step=int(axis.step or 1), log=axis.log)
        else:
            trial.suggest_float(name, axis.low, axis.high, step=axis.step, log=axis.log)


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _best_so_far(study: optuna.Study) -> str:
    done = _complete(study)
    return f"best {max(map(value_of, done)):.4f}" if done else ""


def _cut_torn_line(journal: Path) -> None:
    """Drop what a full disk or a power cut left of a last line: behind it Optuna could read nothing any more."""
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)


class _Lock(JournalFileOpenLock):
    """Held by one writer of the journal at a time, and taken back by the system when he dies.

    Optuna's own locks outlive their owner, whose successor waits half a minute, and turn Ctrl-C into another error.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._path = f"{journal}.lock"
        self._handle = -1

    def acquire(self) -> bool:
        self._handle = os.open(self._path, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        os.close(self._handle)
