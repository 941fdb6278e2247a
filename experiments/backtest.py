"""Backtest: the same bake-off at several moments of the past, tuned before the first and judged at each."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bakeoff.durable import write_bytes
from experiments.bench import Bench
from experiments.config import BakeoffConfig
from experiments.fitting import Fits, note_of
from experiments.home import Home
from experiments.progress import Progress, silent
from experiments.tracking import code
from experiments.train import tune_on
from experiments.tune import Tuned
from recsys.data.dataset import Dataset
from recsys.data.windows import Rolling, Window, rolling
from recsys.evaluate import NEED_VECTORS, evaluate
from recsys.hybrid.pipeline import Pipeline
from recsys.hybrid.sharing import Shared
from recsys.metrics import METRICS
from recsys.metrics.item_vectors import item_vectors
from recsys.metrics.judged import Truth
from recsys.models.base import Recommender, create
from recsys.scorecard import Scorecard

JUDGE = "fit and judge"
NOTE = b"note"
"""The key under which a kept scorecard's file says what to know of the fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What came of a backtest: tuned and cards by variant, the cards pooled over the windows; notes on their fits."""

    rolling: Rolling
    tuned: Mapping[str, Tuned]
    cards: Mapping[str, Scorecard]
    notes: Mapping[str, str]


def cut(config: BakeoffConfig, dataset: Dataset) -> Rolling:
    """The windows that the configuration asks for."""
    return rolling(dataset, **config.backtest.model_dump())


def backtest(config: BakeoffConfig, dataset: Dataset, home: Home, progress: Progress = silent) -> Judged:
    """Tune every variant on the validation windows; then fit it at each window on all before, and judge it there.

    The trials are in studies of their own, and what was judged already is read from the home: an interrupted backtest
    goes on where it stopped.
    """
    windows = cut(config, dataset)
    relevant = [_relevant(window, number) for number, window in enumerate(windows.windows, start=1)]
    tuned = tune_on(Bench.over(config, windows.validation), config, home, progress)
    kept, fits = _Kept(config, home), Fits(home, f"{config.name}-backtest")
    cards: dict[str, list[Scorecard]] = {name: [] for name in tuned}
    notes: dict[str, list[str]] = {name: [] for name in tuned}
    for number, (window, truth) in enumerate(zip(windows.windows, relevant, strict=True)):
        moment = _Moment(config, window, truth)
        for place, (name, choice) in enumerate(tuned.items()):
            done, total = number * len(tuned) + place, len(windows.windows) * len(tuned)
            tell = partial(_tell, progress, done, total, f"window {number + 1}")
            path = kept.path(name, choice, window)
            if (found := kept.read(path)) is None:
                found = moment.judge(name, choice, fits, tell)
                kept.write(path, *found)
            cards[name].append(found[0])
            notes[name].append(found[1])
    progress(JUDGE, len(windows.windows) * len(tuned), len(windows.windows) * len(tuned), "")
    fits.done()
    return Judged(
        rolling=windows,
        tuned=tuned,
        cards={name: Scorecard.pooled(parts) for name, parts in cards.items()},
        notes={name: _noted(parts) for name, parts in notes.items()},
    )


def _tell(progress: Progress, done: int, total: int, where: str, what: str) -> None:
    progress(JUDGE, done, total, f"{where}: {what}")


def _relevant(window: Window, number: int) -> Truth:
    truth = Truth.of(window.truth.interactions, window.seen.interactions)
    if len(truth.users) == 0:
        raise ValueError(
            f"nobody in window {number} of {window.seen.name!r} ({window.start} to {window.end}) has anything new to "
            "find; choose fewer or longer windows"
        )
    return truth


class _Moment:
    """One window with what all variants share in it: the fallback, the vectors for diversity, sources of pipelines."""

    def __init__(self, config: BakeoffConfig, window: Window, truth: Truth) -> None:
        self.config, self.seen, self.truth = config, window.seen, truth
        self.shared = Shared()
        self._fallback: Recommender | None = None
        self._vectors: NDArray[np.float64] | None = None

    def judge(self, name: str, tuned: Tuned, fits: Fits, tell: Callable[[str], None]) -> tuple[Scorecard, str]:
        """The scorecard of a variant fitted on what was seen, and what to know of the fit."""
        model = self._fitted(name, tuned, fits, tell)
        metrics = _metrics(self.config)
        if self._fallback is None:
            self._fallback = self.config.fallback.create().fit(self.seen)
        if self._vectors is None and NEED_VECTORS.intersection(metrics):
            self._vectors = item_vectors(self.seen).values
        card = evaluate(
            model,
            self.seen,
            self.truth,
            ks=_cutoffs(self.config),
            metrics=metrics,
            fallback=self._fallback,
            item_vectors=self._vectors,
        )
        return replace(card, model=name), note_of(model)

    def _fitted(self, name: str, tuned: Tuned, fits: Fits, tell: Callable[[str], None]) -> Recommender:
        model = self.config.variants[name].model
        made = create(model, **tuned.params)
        if isinstance(made, Pipeline):
            tell(name)
            return made.sharing(self.shared).fit(self.seen)
        return fits.fit(name, model, tuned.params, self.seen, tell)


class _Kept:
    """The scorecards that are there already: a file for each question of parameters, data, metrics and code."""

    def __init__(self, config: BakeoffConfig, home: Home) -> None:
        self.config, self.folder = config, home.backtests / config.name

    def path(self, name: str, tuned: Tuned, window: Window) -> Path:
        """Where the scorecard of a variant in a window is, or will be."""
        asked = [
            self.config.variants[name].model,
            tuned.params,
            window.seen.fingerprint,
            window.truth.fingerprint,
            _metrics(self.config),
            _cutoffs(self.config),
            self.config.fallback.model_dump(mode="json"),
            code(),
        ]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        return self.folder / f"{name}-{str(window.start)[:10]}-{digest}.parquet"

    def read(self, path: Path) -> tuple[Scorecard, str] | None:
        """The scorecard and the note, None where there is none yet."""
        if not path.exists():
            return None
        table = pq.read_table(path)
        return Scorecard.of_table(table), (table.schema.metadata or {}).get(NOTE, b"").decode()

    def write(self, path: Path, card: Scorecard, note: str) -> None:
        """Keep both, whole or not at all."""
        table: pa.Table = card.table()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), NOTE: note.encode()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        write_bytes(path, buffer.getvalue())


def _metrics(config: BakeoffConfig) -> list[str]:
    """The metrics per user: those of whole lists cannot be pooled over moments."""
    return sorted({*config.evaluation.metrics, config.evaluation.metric} & METRICS.keys())


def _cutoffs(config: BakeoffConfig) -> list[int]:
    return sorted({*config.evaluation.ks, config.evaluation.k})


def _noted(notes: Sequence[str]) -> str:
    """What to know of the fits, with the windows it is of."""
    told: dict[str, list[int]] = {}
    for number, note in enumerate(notes, start=1):
        if note:
            told.setdefault(note, []).append(number)
    return ". ".join(f"in window {', '.join(map(str, numbers))}: {note}" for note, numbers in told.items())
