"""The ranker: gradient-boosted trees over features, learnt from what came later. LightGBM, saved as its own text."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from recsys.hybrid.features.base import Floats, texts
from recsys.hybrid.trees import Trees
from recsys.models.base import State, check_choice, check_real, check_whole

Objective = Literal["lambdarank", "click"]
Relevance = Literal["graded", "binary"]
Calibration = Literal["isotonic", "platt", "none"]
BINS = 63
"""Of each feature: shares, places and logs need no finer ones, and trees grow faster than with LightGBM's 255."""
EPOCH = 10
"""Trees between two calls of who watches a fit."""
MOST_GRADES = 31
"""LightGBM's limit for grades of relevance; more distinct weights are binned."""
KEPT = 20_000
"""Rows, about, of what was learnt from that a ranker keeps until it is saved."""


class NothingToLearnError(ValueError):
    """The judgements prefer nothing to anything."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgements:
    """What a ranker learns from: features (c, n_features), and of each row the worth (0: not relevant) and the query.

    indptr (n + 1,): rows indptr[i]:indptr[i+1] are the candidates of query i.
    """

    names: tuple[str, ...]
    features: Floats
    worth: NDArray[np.float64]
    indptr: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.features.shape != (len(self.worth), len(self.names)) or self.indptr[-1] != len(self.worth):
            raise ValueError(
                f"{len(self.worth)} judgements of {len(self.names)} features and {self.indptr[-1]} candidates do not "
                f"match features of shape {self.features.shape}"
            )

    def sample(self, n_rows: int, *, seed: int) -> "Judgements":
        """Whole queries with a relevant candidate, drawn at random, of about so many rows; at least one."""
        size = np.diff(self.indptr)
        useful = np.flatnonzero(_counted(self.worth > 0, self.indptr) > 0)
        order = np.random.default_rng(seed).permutation(useful)
        drawn = np.sort(order[: max(1, int((np.cumsum(size[order]) <= n_rows).sum()))])
        rows, sizes = self.rows(drawn)
        indptr = np.append(0, np.cumsum(sizes)).astype(np.int64)
        return Judgements(names=self.names, features=self.features[rows], worth=self.worth[rows], indptr=indptr)

    def rows(self, queries: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(the rows of these queries, how many each has)."""
        size = np.diff(self.indptr)[queries]
        first = np.repeat(self.indptr[queries] - np.append(0, np.cumsum(size)[:-1]), size)
        return np.arange(int(size.sum())) + first, size


@dataclass
class Ranker:
    """score(query, item) = sum of trees over the features of the pair.

    objective: `lambdarank` (Burges 2010) puts the relevant candidates of each query first, one of more worth before
    one of less when relevance is `graded`; `click` learns the chance that a candidate is relevant at all, calibrated
    on held-out queries by `isotonic` or `platt` regression, or not (`none`). A score of `click` is that chance among
    the candidates, in 0..1; one of lambdarank has no unit.

    n_trees at most: a share `held_out` of the queries decides when to stop, after `patience` trees without a gain of
    nDCG@10 (of the logarithmic loss for `click`). 0 or fewer than 20 queries: all trees are grown. negatives: so many
    candidates that are not relevant are kept of each query that is learnt from (None: all). The other parameters are
    LightGBM's. threads: of LightGBM; the trees are the same for any number.
    """

    objective: Objective = "lambdarank"
    relevance: Relevance = "graded"
    n_trees: int = 300
    learning_rate: float = 0.05
    num_leaves: int = 8
    min_leaf: int = 100
    feature_share: float = 0.7
    row_share: float = 0.8
    l2: float = 1.0
    truncation: int = 100
    negatives: int | None = 100
    held_out: float = 0.2
    patience: int = 60
    calibration: Calibration = "isotonic"
    threads: int = 1

    _learnt: State | None = field(default=None, init=False, repr=False, compare=False)
    taught: Judgements | None = field(default=None, init=False, repr=False, compare=False)
    """Some of what the trees were grown on, for a second opinion; None once the ranker was saved and loaded."""

    def __post_init__(self) -> None:
        check_choice("objective of the ranker", self.objective, Objective)
        check_choice("relevance of the ranker", self.relevance, Relevance)
        check_choice("calibration of the ranker", self.calibration, Calibration)
        for name in ("n_trees", "min_leaf", "truncation", "patience", "threads"):
            check_whole(f"{name} of the ranker", getattr(self, name), 1)
        check_whole("num_leaves of the ranker", self.num_leaves, 2)
        if self.negatives is not None:
            check_whole("negatives of the ranker", self.negatives, 1)
        check_real("learning_rate of the ranker", self.learning_rate, least=0, above=True)
        check_real("l2 of the ranker", self.l2, least=0)
        check_real("held_out of the ranker", self.held_out, least=0, most=0.9)
        for name in ("feature_share", "row_share"):
            check_real(f"{name} of the ranker", getattr(self, name), least=0, most=1, above=True)

    @property
    def fitted(self) -> bool:
        """Whether there is anything to score by."""
        return self._learnt is not None

    def fit(self, judged: Judgements, *, seed: int, watch: "Callable[[int, Ranker], None] | None" = None) -> Self:
        """Grow the trees; returns self. Some candidate must be relevant and some must not.

        watch: called after every EPOCH trees with their count in epochs and a ranker of these trees, uncalibrated; may
        raise to stop.
        """
        lightgbm = _lightgbm()
        rng = np.random.default_rng(seed)
        learning, watching = self._queries(judged, rng)
        grades, gains = self._grades(judged.worth)
        rows, sizes = self._sampled(judged, learning, rng)
        held, calls = self._held(judged, watching, grades)
        if watch is not None:
            calls.append(self._telling(watch, judged.names))
        booster = lightgbm.train(
            self._params(gains, seed),
            _data(judged, rows, sizes, grades),
            num_boost_round=self.n_trees,
            valid_sets=held,
            callbacks=calls,
        )
        best = booster.best_iteration if len(watching) else -1
        self._learnt = _learnt(booster.model_to_string(num_iteration=best), judged.names)
        self._forget()
        self.taught = judged.sample(KEPT, seed=seed)
        if self.objective == "click" and self.calibration != "none":
            rows, _ = judged.rows(watching if len(watching) else learning)
            self._learnt["curve"] = self._curve(self._raw(judged.features[rows]), judged.worth[rows] > 0)
        return self

    def score(self, features: Floats) -> NDArray[np.float32]:
        """(c,) the higher, the better; for `click` a calibrated chance."""
        raw, curve = self._raw(features), self.state()["curve"]
        if curve.shape[1] == 0:
            return raw.astype(np.float32)
        return np.asarray(np.interp(raw, curve[0], curve[1]), np.float32)

    def contributions(self, features: Floats) -> NDArray[np.float64]:
        """(c, n_features + 1) what each feature adds to the sum of trees, and what all rows start from: SHAP values.

        They sum to the score of lambdarank, and for `click` to the log odds before calibration (Lundberg et al. 2020).
        """
        found: NDArray[np.float64] = self._booster.predict(features, pred_contrib=True, num_threads=self.threads)
        return found

    def importance(self) -> dict[str, float]:
        """Feature -> its share of all gains of the trees, largest first."""
        gain = self._booster.feature_importance("gain").astype(np.float64)
        share = gain / max(gain.sum(), np.finfo(np.float64).tiny)
        names = self.names
        return {names[place]: float(share[place]) for place in np.argsort(-share, kind="stable")}

    @property
    def names(self) -> list[str]:
        """The features that the trees were grown on, in their order."""
        names: list[str] = self.state()["features"].tolist()
        return names

    @property
    def n_grown(self) -> int:
        """How many trees there are."""
        return int(self._booster.num_trees())

    def state(self) -> State:
        """What was learnt, as arrays: LightGBM's text as bytes, the names of the features, the calibration curve."""
        if self._learnt is None:
            raise RuntimeError("the ranker is not fitted; call fit(judgements) or restore(state) first")
        return self._learnt

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        if set(state) != {"trees", "features", "curve"}:
            raise ValueError(f"the state of a ranker holds curve, features and trees, got {sorted(state)}")
        if state["trees"].ndim != 1 or state["features"].ndim != 1 or state["curve"].ndim != 2:
            raise ValueError("the trees and features of a ranker must be vectors, its curve must be (2, n)")
        self._learnt, self.taught = dict(state), None
        self._forget()
        return self

    def _forget(self) -> None:
        for made in ("_booster", "_trees"):
            self.__dict__.pop(made, None)

    @cached_property
    def _booster(self) -> Any:
        return _lightgbm().Booster(model_str=self.state()["trees"].tobytes().decode())

    @cached_property
    def _trees(self) -> Trees:
        return Trees.of(self.state()["trees"].tobytes().decode())

    def _raw(self, features: Floats) -> NDArray[np.float64]:
        if len(features) == 0:
            return np.zeros(0)
        if self.threads == 1:
            return self._trees.sums(features)
        raw: NDArray[np.float64] = self._booster.predict(features, raw_score=True, num_threads=self.threads)
        return raw

    def _queries(self, judged: Judgements, rng: np.random.Generator) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """(those that trees are grown on, those that say when to stop)."""
        good, size = _counted(judged.worth > 0, judged.indptr), np.diff(judged.indptr)
        useful = np.flatnonzero((good > 0) & (good < size))
        if len(useful) == 0:
            raise NothingToLearnError(
                "no query has both a relevant candidate and another one: there is nothing to learn an order from"
            )
        if self.objective == "click":
            useful = np.flatnonzero(size > 0)
        if self.held_out == 0 or len(useful) < 20:
            return useful, useful[:0]
        order = rng.permutation(useful)
        n_watching = max(5, round(len(useful) * self.held_out))
        learning, watching = np.sort(order[n_watching:]), np.sort(order[:n_watching])
        both = all((good[part] > 0).any() for part in (learning, watching))
        return (learning, watching) if both else (useful, useful[:0])

    def _grades(self, worth: NDArray[np.float64]) -> tuple[NDArray[np.int32], list[float]]:
        """Grades 0, 1, ... of the rows and the gain of each: the mean worth of its rows, in units of the least."""
        relevant = worth > 0
        if self.relevance == "binary" or self.objective == "click":
            return relevant.astype(np.int32), [0.0, 1.0]
        levels = np.unique(worth[relevant])
        if len(levels) >= MOST_GRADES:
            levels = np.unique(np.quantile(worth[relevant], np.linspace(0, 1, 9)[:-1]))
        grades = np.where(relevant, np.searchsorted(levels, worth, side="right"), 0).astype(np.int32)
        counts = np.bincount(grades, minlength=len(levels) + 1)
        means = np.bincount(grades, worth, minlength=len(levels) + 1) / counts.clip(min=1)
        return grades, [0.0, *(means[1:] / levels[0]).tolist()]

    def _sampled(
        self, judged: Judgements, queries: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of these queries with at most `negatives` irrelevant ones each, drawn at random."""
        rows, size = judged.rows(queries)
        if self.negatives is None:
            return rows, size
        query = np.repeat(np.arange(len(queries)), size)
        relevant = judged.worth[rows] > 0
        order = np.lexsort((rng.random(len(rows)), relevant, query))
        place = np.arange(len(rows)) - np.append(0, np.cumsum(size)[:-1])[query]
        kept = np.zeros(len(rows), np.bool_)
        kept[order] = place < self.negatives  # the irrelevant ones of a query come first in this order
        kept |= relevant
        return rows[kept], np.bincount(query[kept], minlength=len(queries))

    def _params(self, gains: list[float], seed: int) -> dict[str, Any]:
        params = {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_leaf,
            "feature_fraction": self.feature_share,
            "bagging_fraction": self.row_share,
            "bagging_freq": int(self.row_share < 1),
            "lambda_l2": self.l2,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbosity": -1,
        }
        if self.objective == "click":
            return params | {"objective": "binary", "metric": "binary_logloss"}
        ranking = {"objective": "lambdarank", "metric": "ndcg", "eval_at": [10], "label_gain": gains}
        return params | ranking | {"lambdarank_truncation_level": self.truncation}

    def _held(
        self, judged: Judgements, watching: NDArray[np.integer], grades: NDArray[np.int32]
    ) -> tuple[list[Any], list[Any]]:
        """LightGBM's data of the queries that say when to stop, and what stops; both empty without such queries."""
        if len(watching) == 0:
            return [], []
        rows, sizes = judged.rows(watching)
        return [_data(judged, rows, sizes, grades)], [_lightgbm().early_stopping(self.patience, verbose=False)]

    def _telling(self, watch: "Callable[[int, Ranker], None]", names: tuple[str, ...]) -> Callable[[Any], None]:
        def tell(grown: Any) -> None:
            epoch, rest = divmod(grown.iteration + 1, EPOCH)
            if rest == 0:
                watch(epoch, replace(self).restore(_learnt(grown.model.model_to_string(), names)))

        return tell

    def _curve(self, raw: NDArray[np.float64], relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(2, n_knots) log odds -> chance, never falling."""
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LogisticRegression

        if not relevant.any() or relevant.all():
            return np.zeros((2, 0))
        if self.calibration == "platt":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = LogisticRegression(C=1e6).fit(raw[:, None], relevant)
            knots = np.linspace(raw.min() - 5, raw.max() + 5, 200)
            return np.vstack([knots, fit.predict_proba(knots[:, None])[:, 1]])
        isotonic = IsotonicRegression(out_of_bounds="clip").fit(raw, relevant.astype(np.float64))
        return np.vstack([isotonic.X_thresholds_, isotonic.y_thresholds_])


def _data(judged: Judgements, rows: NDArray[np.int64], sizes: NDArray[np.integer], grades: NDArray[np.int32]) -> Any:
    return _lightgbm().Dataset(
        judged.features[rows],
        label=grades[rows],
        group=sizes,
        feature_name=[f"f{place}" for place in range(len(judged.names))],  # names may hold what LightGBM refuses
        params={"verbosity": -1, "min_data_in_bin": 1, "feature_pre_filter": False, "max_bin": BINS},
    )


def _learnt(trees: str, names: tuple[str, ...]) -> State:
    return {
        "trees": np.frombuffer(trees.encode(), np.uint8),
        "features": texts(list(names)),
        "curve": np.zeros((2, 0)),
    }


def _counted(flags: NDArray[np.bool_], indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(np.append(0, np.cumsum(flags))[indptr])


def worth_of(keys: NDArray[np.int64], judged: NDArray[np.int64], worth: NDArray[np.floating]) -> NDArray[np.float64]:
    """(c,) the worth of each key (user * n_items + item) by the sorted `judged` ones, 0 where it is not among them."""
    if len(judged) == 0:
        return np.zeros(len(keys))
    place = np.searchsorted(judged, keys).clip(max=len(judged) - 1)
    return np.where(judged[place] == keys, worth[place], 0.0)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as missing:
        raise ImportError("the ranker of a pipeline needs lightgbm: pip install 'bakeoff[train]'") from missing
    return lightgbm
