"""Pipeline: candidates of several models, described by features, put in order by a ranker, rearranged by rules."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.hybrid.candidates import Candidates, check_sources, gather
from recsys.hybrid.features import GROUPS
from recsys.hybrid.features.base import Floats, Past, Rows
from recsys.hybrid.features.builder import Features
from recsys.hybrid.learning import learn
from recsys.hybrid.looks import Described, Looks
from recsys.hybrid.ranker import Ranker
from recsys.hybrid.sharing import Shared
from recsys.hybrid.slices import moments_of
from recsys.hybrid.stations import Source, parameters, ranker_of, rerankers_of, slice_of, sources_of
from recsys.models.base import Family, Recommender, State, Watch, check_items, training_likes
from recsys.rerank.base import Reranker

SAMPLE = 300
"""Users of the data set, at most, for whom every source must name something, all in all."""
AT_ONCE = 2**15
"""Candidates that are described at once, about: their features are read by the trees before they leave the cache."""
SECOND = np.timedelta64(1, "s")


@dataclass
class Pipeline(Recommender):
    """score(query, item) = ranker(features of the pair), for the items that some source names; NaN for all others.

    candidates: the sources, `{"model": name in MODELS, "params": {...}, "m": 100}`, whose m best unseen items are
    united; m 0 switches one off. features: the groups of recsys.hybrid.features, as a list, or as group -> true or
    false where those not named are on (None: all for which the data set has columns). ranker: parameters of `Ranker`,
    None for the sum of reciprocal ranks instead. learn_from: parameters of `Slice`: which later rows the ranker learns
    from. rerankers: `{"name": name in RERANKERS, "params": {...}}`, applied in their order to the `pool` best, which
    are then all that is shown. queries: users of the slice, at most, that the ranker learns from (drawn by the seed).

    Fitting: the sources and features are fitted on everything, and again on the rows before the slice; there the ranker
    learns from the likes in the slice that were new to their users, the heavier ones first. An epoch is ten trees: who
    watches is shown the pipeline with the trees that there are. What a query's history holds is read when it is asked,
    so it may have grown since; so may `context`, whose column `time` is the moment of the request.

    A data set so small that its slice has nothing to learn from leaves the order to the reciprocal ranks; `unranked`
    then says why. Cost of a query: the lists of the sources, some 100 features and all trees for each candidate.
    """

    name: ClassVar[str] = "pipeline"
    family: ClassVar[Family] = "ensemble"
    source: ClassVar[str] = "Covington, Adams & Sargin 2016; Burges 2010"
    needs: ClassVar[tuple[str, ...]] = ("train",)

    candidates: list[dict[str, Any]]
    features: list[str] | dict[str, bool] | None = None
    ranker: dict[str, Any] | None = field(default_factory=dict)
    learn_from: dict[str, Any] = field(default_factory=dict)
    rerankers: list[dict[str, Any]] = field(default_factory=list)
    pool: int = 50
    queries: int = 2_000
    seed: int = 0

    _models: list[Recommender] = field(default_factory=list, init=False, repr=False, compare=False)
    _built: Features | None = field(default=None, init=False, repr=False, compare=False)
    _ranker: Ranker | None = field(default=None, init=False, repr=False, compare=False)
    _rerankers: list[Reranker] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._shared = Shared(most_bytes=0)
        self._looks: Looks | None = None
        self._sources, self.origins = sources_of(self.candidates)
        self._slice = slice_of(self.learn_from)
        ranker_of(self.ranker)
        # in full: a file of rules is read here, so that a saved pipeline does not look for it again
        self.rerankers = [{"name": r.name, "params": r.params()} for r in rerankers_of(self.rerankers)]
        if not Features(self.features).groups and self.ranker is not None:
            raise ValueError("every group of features is off: the ranker has nothing to read; set `ranker: null`")
        check_whole("pool", self.pool, 1)
        check_whole("queries", self.queries, 1)
        check_whole("seed", self.seed, 0)

    def sharing(self, shared: Shared) -> Self:
        """Take what `shared` has of its sources and features when it is fitted, leave the rest there; returns self."""
        self._shared = shared
        return self

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        training_likes(dataset, "binary")
        self._models = [self._shared.source(source, dataset) for source in self._sources]
        self._check_sources(dataset)
        cutoff = dataset.interactions.time[-1].astype("datetime64[s]") + SECOND
        self._ranker, self._built, ranker = None, None, ranker_of(self.ranker)
        self._rerankers = [reranker.fit(dataset) for reranker in rerankers_of(self.rerankers)]
        self._learnt = {
            "cutoff": np.array([cutoff.astype(np.int64)]),
            "touched": dataset.interactions.item_users > 0,
            "unranked": np.array([""], np.str_),
        }
        if ranker is not None:
            past = Past(dataset=dataset, cutoff=cutoff, origins=self.origins)
            self._built = Features(self.features).fit(past, self._shared.group)
            self._learn(ranker, dataset, watch)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) the ranker's scores; NaN for what is seen or named by no source."""
        if len(queries) == 0:
            return np.zeros((0, self._n_items), np.float32)
        items, scores = self._lists(queries, self._n_items)
        dense = np.full((len(queries), self._n_items), np.nan, np.float32)
        row, place = np.nonzero(items >= 0)
        dense[row, items[row, place]] = scores[row, place]
        return dense

    @property
    def searches(self) -> bool:
        """True: nothing is computed for items that no source names."""
        return True

    @property
    def members(self) -> dict[str, Recommender]:
        """The sources, by origin."""
        return dict(zip(self.origins, self._models, strict=False))

    @property
    def reads(self) -> frozenset[str]:
        """What its sources read, and the features of the request."""
        return super().reads | (frozenset() if self._built is None else self._built.reads)

    def nearest(self, queries: Queries, m: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(n, m) the best unseen items, best first, and their scores; -1 and NaN where there are no more."""
        items, scores = self._lists(queries, m)
        if (missing := m - items.shape[1]) > 0:
            items = np.pad(items, ((0, 0), (0, missing)), constant_values=-1)
            scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=np.nan)
        return items[:, :m], scores[:, :m]

    def named(self, queries: Queries) -> Candidates:
        """The candidates of the queries, with their origins."""
        self.state()
        check_items(queries, self._n_items)
        depths = [source.m for source in self._sources]
        return gather(self._models, depths, queries, origins=self.origins, touched=self._own["touched"])

    def described(self, queries: Queries, candidates: Candidates) -> Floats:
        """(c, n_features) what the ranker reads of the candidates; the names are those of `feature_table`."""
        if self._built is None:
            raise ValueError(f"this pipeline has no ranker: {self.unranked or 'it was made without one'}")
        return self._built.compute(Rows(queries=queries, candidates=candidates, moments=self._moments(queries)))

    def feature_table(self) -> dict[str, tuple[str, str]]:
        """Feature -> (its group, what it says), in the order of the columns; empty without a ranker."""
        self.state()
        return {} if self._built is None else self._built.table()

    @property
    def trees(self) -> Ranker | None:
        """The fitted ranker, None without one."""
        return self._ranker

    @property
    def unranked(self) -> str:
        """Why there is no ranker although one was asked for; "" when there is one, or none was asked for."""
        return str(self.state()["unranked"][0])

    def complete(self) -> dict[str, Any]:
        """The parameters with the defaults of all stations."""
        every = [Source.of(part) for part in self.candidates]
        stations = {
            "candidates": [{"model": s.model, "params": s.create().complete(), "m": s.m} for s in every],
            "features": {group: group in Features(self.features).groups for group in GROUPS},
            "ranker": None if self.ranker is None else parameters(ranker_of(self.ranker)),
            "learn_from": parameters(self._slice),
            "rerankers": [{"name": r.name, "params": r.params()} for r in rerankers_of(self.rerankers)],
        }
        return self.params() | stations

    def state(self) -> State:
        """The states of the stations; names begin with the station, and its number where there are several."""
        found = dict(self._own)
        stations = {f"candidates.{number}": model.state() for number, model in enumerate(self._models)}
        stations |= {f"rerankers.{number}": reranker.state() for number, reranker in enumerate(self._rerankers)}
        if self._ranker is not None and self._built is not None:
            stations |= {"features": self._built.state(), "ranker": self._ranker.state()}
        for station, state in stations.items():
            found |= {f"{station}.{name}": array for name, array in state.items()}
        return found

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        parts = self._parts(state)
        own = parts[""]
        shapes = {name: array.ndim for name, array in own.items()}
        if shapes != {"cutoff": 1, "touched": 1, "unranked": 1}:
            raise ValueError(f"the state of {self.name!r} holds the vectors cutoff, touched and unranked, got {shapes}")
        self._models = [s.create().restore(parts[f"candidates.{i}"]) for i, s in enumerate(self._sources)]
        rerankers = rerankers_of(self.rerankers)
        self._rerankers = [r.restore(parts[f"rerankers.{i}"]) for i, r in enumerate(rerankers)]
        self._ranker, self._built = None, None
        if self.ranker is not None and not str(own["unranked"][0]):
            ranker = ranker_of(self.ranker)
            assert ranker is not None, "there are parameters for one"
            self._ranker = ranker.restore(parts["ranker"])
            self._built = Features(self.features).restore(parts["features"])
            self._check_features()
        self._learnt = own
        return self

    def _parts(self, state: State) -> dict[str, State]:
        """The state cut by station; a name that belongs to none is refused."""
        names = ["", "features", "ranker"]
        for station, n in (("candidates", len(self._sources)), ("rerankers", len(self.rerankers))):
            names += [f"{station}.{number}" for number in range(n)]
        parts: dict[str, State] = {name: {} for name in names}
        for key, array in state.items():
            station = next((name for name in names[1:] if key.startswith(f"{name}.")), "")
            if not station and "." in key:
                raise ValueError(f"{key!r} names no array of a station of this pipeline: {', '.join(names[1:])}")
            parts[station][key.removeprefix(f"{station}.") if station else key] = array
        return parts

    @property
    def _own(self) -> State:
        return Recommender.state(self)

    @property
    def _n_items(self) -> int:
        return len(self._own["touched"])

    def _learn(self, ranker: Ranker, dataset: Dataset, watch: Watch | None) -> None:
        """Everything else is fitted: whoever watches sees the whole pipeline with the trees that there are."""

        def tell(epoch: int, unfinished: Ranker) -> None:
            assert watch is not None, "only then there is somebody to tell"
            self._ranker = unfinished
            watch(epoch, self)

        self._looks = None if watch is None else Looks()
        try:
            lesson = learn(
                ranker,
                dataset,
                sources=self._sources,
                origins=self.origins,
                features=Features(self.features),
                cut=self._slice,
                queries=self.queries,
                seed=self.seed,
                shared=self._shared,
                watch=None if watch is None else tell,
            )
        finally:
            self._looks = None
        self._ranker = lesson.ranker
        self._learnt = self._own | {"unranked": np.array([lesson.unranked], np.str_)}
        if self._ranker is None:
            self._built = None
        else:
            self._check_features()

    def _check_sources(self, dataset: Dataset) -> None:
        """Refuse a source that is silent for a sample of users who have something left to see."""
        rows = dataset.interactions
        users = np.flatnonzero(np.diff(rows.csr().indptr) < rows.n_items)
        drawn = np.random.default_rng(self.seed).permutation(users)[:SAMPLE]
        queries = Queries.of(rows, np.sort(drawn))
        depths = [source.m for source in self._sources]
        named = gather(self._models, depths, queries, origins=self.origins, touched=rows.item_users > 0)
        check_sources(named, dataset.name)

    def _check_features(self) -> None:
        """Refuse a ranker that was fitted on other features than those that are computed."""
        assert self._ranker is not None, "asked only with a ranker"
        assert self._built is not None, "asked only with features"
        learnt, computed = self._ranker.names, self._built.names
        if learnt != computed:
            strange = sorted(set(learnt) ^ set(computed)) or [
                a for a, b in zip(learnt, computed, strict=True) if a != b
            ]
            raise ValueError(
                f"the ranker was fitted on {len(learnt)} features, {len(computed)} are computed, and they differ in "
                f"{', '.join(strange[:5])}; fit the pipeline again with these sources and groups of features"
            )

    def _moments(self, queries: Queries) -> NDArray[np.datetime64]:
        """(n,) when each query is asked: its context's `time`, or else just after all that is known."""
        cutoff = self._own["cutoff"][0].astype("datetime64[s]")
        usual = moments_of(cutoff, queries.indptr, queries.times, by=self._slice.by)
        if "time" not in queries.context:
            return usual
        asked = np.asarray(queries.context["time"]).astype("datetime64[s]")
        ended = moments_of(np.datetime64(0, "s"), queries.indptr, queries.times, by="last")
        # an event of the very second of the request has been seen by whoever sends it along
        return np.where(np.isnat(asked), usual, np.where(asked + SECOND == ended, ended, asked))

    def _scored(self, queries: Queries) -> tuple[Candidates, NDArray[np.float32]]:
        """The candidates and (c,) their scores."""
        if self._ranker is None:
            candidates = self.named(queries)
            return candidates, candidates.fused

        def described() -> Described:
            candidates = self.named(queries)
            return candidates, self.described(queries, candidates)

        if self._looks is not None:
            candidates, rows = self._looks.of(queries, described)
            return candidates, self._ranker.score(rows)
        candidates = self.named(queries)
        scores = np.empty(len(candidates.items), np.float32)
        step = max(1, len(queries) * AT_ONCE // max(1, len(scores)))
        for start in range(0, len(queries), step):
            stop = min(start + step, len(queries))
            part = slice(candidates.indptr[start], candidates.indptr[stop])
            rows = self.described(queries.block(start, stop), candidates.block(start, stop))
            scores[part] = self._ranker.score(rows)
        return candidates, scores

    def _lists(self, queries: Queries, most: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(n, at most `most`, or the pool) items and scores, best first, -1 and NaN at the end."""
        candidates, scores = self._scored(queries)
        most = self.pool if self._rerankers else most
        items, best = compiled(_ordered)(
            candidates.indptr, candidates.items, scores, candidates.fused, _least(scores, candidates.indptr, most), most
        )
        if not self._rerankers:
            return items, best
        lists = Recommendations(queries=queries, items=items, scores=best, model=self.name)
        for reranker in self._rerankers:
            lists = reranker.rerank(lists, self.pool)
        return lists.items, lists.scores


def _least(scores: NDArray[np.float32], indptr: NDArray[np.int64], most: int) -> NDArray[np.float32]:
    """(n,) the worst of the `most` best scores of each query, -inf where there are no more than these."""
    least = np.full(len(indptr) - 1, -np.inf, np.float32)
    for query in np.flatnonzero(np.diff(indptr) > most).tolist():
        own = scores[indptr[query] : indptr[query + 1]]
        least[query] = np.partition(own, len(own) - most)[len(own) - most]
    return least


def _ordered(
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    agreed: NDArray[np.float32],
    least: NDArray[np.float32],
    most: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(n, at most `most`) items and scores of each query, best first: of those whose score is not below the least.

    Calibrated chances tie: what the sources agree on goes first, then the lower number, as they come.
    """
    n, width = len(least), 1
    for query in range(n):
        width = max(width, indptr[query + 1] - indptr[query])
    width = min(width, most)
    listed, best = np.full((n, width), -1, np.int32), np.full((n, width), np.nan, np.float32)
    for query in range(n):
        start, stop = indptr[query], indptr[query + 1]
        near = start + np.flatnonzero(scores[start:stop] >= least[query])
        near = near[np.argsort(-agreed[near], kind="mergesort")]
        near = near[np.argsort(-scores[near], kind="mergesort")]
        for place in range(min(width, len(near))):
            listed[query, place], best[query, place] = items[near[place]], scores[near[place]]
    return listed, best
