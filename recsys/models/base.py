"""What every recommender is: fitted on a data set, it scores items for queries. Nothing else."""

import dataclasses
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from bakeoff import durable
from bakeoff.catalogue import lookup
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole as check_whole
from recsys.data.queries import Queries
from recsys.models import MODELS
from recsys.ranking import top_k

State = dict[str, NDArray[Any]]
Watch = Callable[[int, "Recommender"], None]
"""Called after each epoch with its number (from 1) and the model as it is; may raise to stop the fit."""
Family = Literal[
    "non-personal", "neighbourhood", "linear", "spectral", "factorisation", "neural", "sequence", "content", "ensemble"
]
Weighting = Literal["binary", "weight"]
"""What an interaction counts: 1 (each pair of user and item once), or the sum of its weights."""


@dataclasses.dataclass
class Recommender(ABC):
    """The contract of a model. A subclass is a dataclass: its fields are its parameters, checked in __post_init__.

    A model only scores. It does not mask what was seen, cut lists or fall back: `recsys.recommend` does.
    """

    name: ClassVar[str]
    """The model's name in MODELS."""
    family: ClassVar[Family]
    source: ClassVar[str]
    """Who described it, or its idea in a few words."""
    needs: ClassVar[tuple[str, ...]] = ()
    """The extras of this package without which it cannot be fitted."""
    folds_in: ClassVar[bool] = True
    """Whether a user unknown in training, but with a history in the query, gets scores of his own."""
    scores_new_items: ClassVar[bool] = False
    """Whether an item without an interaction in training is scored too, from its features, when it has any."""
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What `_fit` leaves in `_learnt`: name -> its dimensions in words; the same word is the same size."""

    _learnt: State | None = dataclasses.field(default=None, init=False, repr=False, compare=False)
    _checkpoint: Path | None = dataclasses.field(default=None, init=False, repr=False, compare=False)

    def fit(self, dataset: Dataset, *, watch: Watch | None = None, checkpoint: Path | None = None) -> Self:
        """Learn from the data set and return self; a second call forgets the first. The data set is not written to.

        `watch` is called after each epoch by models that learn in epochs, never by others. checkpoint: a folder where
        a neural model keeps its last epoch, and from which an interrupted fit goes on; other models start anew.
        """
        if len(dataset.interactions) == 0:
            raise ValueError(f"{self.name} cannot be fitted on {dataset.name!r}: it has no interactions")
        self._checkpoint = checkpoint
        self._fit(dataset, watch)
        return self

    @abstractmethod
    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        """The mathematics of `fit`; inputs are already checked. Leaves what was learnt in `_learnt`."""

    @abstractmethod
    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) scores, higher is better; NaN where this model has nothing to say.

        May be read-only; if not, it is the caller's to overwrite.
        """

    @property
    def searches(self) -> bool:
        """Whether `nearest` finds the best without scoring them all; `recommend` then asks it instead of `score`."""
        return False

    @property
    def members(self) -> "Mapping[str, Recommender]":
        """The fitted models that this one is made of, by name; none for most."""
        return {}

    @property
    def reads(self) -> frozenset[str]:
        """The columns of `Queries.context` that change what it answers; those of its members for most."""
        return frozenset[str]().union(*(member.reads for member in self.members.values()))

    def nearest(self, queries: Queries, m: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(n, m) the best items of each query, seen ones too, and their scores; -1 and NaN where there are no more."""
        return top_k(self.score(queries), m)

    def state(self) -> State:
        """What was learnt, as arrays."""
        if self._learnt is None:
            raise RuntimeError(f"model {self.name!r} is not fitted; call fit(dataset) or restore(state) first")
        return self._learnt

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        check_state(self.name, state, self.arrays)
        self._learnt = dict(state)
        return self

    def params(self) -> dict[str, Any]:
        """The parameters by which `type(self)(**params)` makes the same, unfitted, model; JSON can carry them."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def complete(self) -> dict[str, Any]:
        """The parameters with every default inside them filled in: where a search of them starts."""
        return self.params()


def save(model: Recommender, folder: Path) -> None:
    """Write a fitted model as `model.json` (name, parameters) and `state.npz` (arrays). No pickle."""
    arrays = io.BytesIO()
    np.savez(arrays, allow_pickle=False, **model.state())
    durable.write_bytes(folder / "state.npz", arrays.getvalue())
    description = {"model": model.name, "params": model.params()}
    durable.write_bytes(folder / "model.json", json.dumps(description, indent=2).encode())


def load(folder: Path) -> Recommender:
    """Read back what `save` wrote: the same parameters, the same scores."""
    description = json.loads((folder / "model.json").read_text())
    with np.load(folder / "state.npz", allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files}
    return create(description["model"], **description["params"]).restore(state)


def create(name: str, **params: Any) -> Recommender:
    """The unfitted model that MODELS registers under `name`."""
    kind: type[Recommender] = lookup(MODELS, name, "model")
    fields = [f for f in dataclasses.fields(kind) if f.init]
    allowed = [f.name for f in fields]
    if unknown := sorted(set(params) - set(allowed)):
        raise ValueError(f"model {name!r} has no parameter {unknown[0]!r}; it has: {', '.join(allowed) or 'none'}")
    needed = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    if missing := [parameter for parameter in needed if parameter not in params]:
        raise ValueError(f"model {name!r} needs the parameter {missing[0]!r}")
    return kind(**params)


def likes(matrix: csr_matrix, weighting: Weighting) -> csr_matrix:
    """The positive cells of a matrix of summed weights, as 1 or as they are. A weight <= 0 is no like and is left out.

    >>> likes(csr_matrix([[2.0, 0.0, -1.0]], dtype=np.float32), "binary").toarray().tolist()
    [[1.0, 0.0, 0.0]]
    """
    positive = matrix.data > 0
    kept = np.append(0, np.cumsum(positive))[matrix.indptr]
    data = matrix.data[positive]
    data = np.ones_like(data) if weighting == "binary" else data
    return csr_matrix((data, matrix.indices[positive], kept), shape=matrix.shape)


def training_likes(dataset: Dataset, weighting: Weighting) -> csr_matrix:
    """The (n_users, n_items) likes of a data set, at least one."""
    matrix = likes(dataset.interactions.csr(), weighting)
    if matrix.nnz == 0:
        raise ValueError(f"{dataset.name!r} has no interaction of weight > 0: nobody likes anything, nothing to learn")
    return matrix


def query_likes(
    queries: Queries,
    n_items: int,
    weighting: Weighting,
    *,
    decay: float = 1.0,
    window: int | None = None,
    half_life_days: float | None = None,
) -> csr_matrix:
    """The (n, n_items) likes in the histories of the queries, which must number the items the model knows; to be read.

    decay: a like counts decay ** age, where its age is how many other likes of the history came after it (1: order
    plays no part); window: only the latest so many likes count (None: all); half_life_days: a like counts half for
    each so many days between it and the last row of the history (None: days play no part). An item touched again is as
    young as its last touch, and ages nothing twice.
    """
    check_items(queries, n_items)
    matrix = queries.once(("likes", n_items, weighting), lambda: likes(queries.csr(n_items), weighting))
    if decay == 1 and window is None and half_life_days is None:
        return matrix
    last = _last_touches(queries, matrix)
    row = np.repeat(np.arange(len(queries)), np.diff(matrix.indptr))
    age = np.empty(len(last), np.int64)  # how many other cells of the row were touched after
    age[np.argsort(last)] = matrix.indptr[row + 1] - 1 - np.arange(len(last))
    data = matrix.data * np.power(decay, age, dtype=np.float32)
    if half_life_days is not None:
        days = (queries.times[queries.indptr[row + 1] - 1] - queries.times[last]) / np.timedelta64(1, "D")
        data *= np.power(0.5, days / half_life_days, dtype=np.float32)
    kept = age < (n_items if window is None else window)
    indptr = np.append(0, np.cumsum(kept))[matrix.indptr]
    return csr_matrix((data[kept], matrix.indices[kept], indptr), shape=matrix.shape)


def _last_touches(queries: Queries, matrix: csr_matrix) -> NDArray[np.int64]:
    """For each cell of the matrix of likes, the row of the histories in which it was touched last."""
    n_items = matrix.shape[1]
    row = np.repeat(np.arange(len(queries)), np.diff(matrix.indptr))
    cell = row * n_items + matrix.indices  # sorted: the matrix is canonical
    touched = np.repeat(np.arange(len(queries)), np.diff(queries.indptr)) * n_items + queries.items
    place = np.searchsorted(cell, touched)
    liked = np.flatnonzero(np.append(cell, -1)[place] == touched)
    last = np.full(len(cell), -1, np.int64)
    np.maximum.at(last, place[liked], liked)  # histories are oldest first
    return last


def check_items(queries: Queries, n_items: int) -> None:
    """Refuse histories that hold numbers of no item."""
    strange = queries.items[(queries.items < 0) | (queries.items >= n_items)]
    if len(strange):
        raise ValueError(
            f"a history holds item number {strange[0]}, the model knows 0..{n_items - 1}; "
            "number histories by the vocabulary that the model was fitted with"
        )


def check_state(owner: str, state: State, arrays: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a state whose arrays are not those named, or whose sizes do not agree; arrays: as `Recommender.arrays`."""
    if set(state) != set(arrays):
        raise ValueError(f"the state of {owner!r} holds {sorted(arrays)}, got {sorted(state)}")
    sizes: dict[str, int] = {}
    for name, words in arrays.items():
        shape = state[name].shape
        if len(shape) != len(words) or any(sizes.setdefault(w, n) != n for w, n in zip(words, shape, strict=True)):
            raise ValueError(f"{name} of {owner!r} must be ({', '.join(words)}) with {sizes}, got {shape}")


def check_real(name: str, value: float, *, least: float, most: float = math.inf, above: bool = False) -> None:
    """Refuse a parameter that is no finite number in least..most; `above` leaves `least` itself out."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most or (above and value == least):
        limit = "" if most == math.inf else f" and <= {most:g}"
        raise ValueError(f"{name} must be a finite number {'>' if above else '>='} {least:g}{limit}, got {value!r}")


def check_choice(name: str, value: str, choices: Any) -> None:
    """Refuse a parameter that is none of the values of the Literal `choices`."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, get_args(choices)))}, got {value!r}")
