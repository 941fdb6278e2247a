"""Two towers: a user made of his history and features, an item made of its id and features; their product."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Family, State, Watch, check_choice, check_real, check_whole
from recsys.models.indexed import Indexed
from recsys.models.neural.batches import Pasts, sequences
from recsys.models.neural.features import content
from recsys.models.neural.inputs import heard, log_recency
from recsys.models.neural.loop import Batch, Neural
from recsys.models.neural.losses import in_batch_softmax
from recsys.models.neural.towers import Towers

Pooling = Literal["mean", "attention"]


@dataclass
class TwoTower(Indexed, Neural):
    """score = cosine of the user's and the item's vector / temperature.

    An item is the sum of an embedding of its id and a linear map of its features; a user's history is the mean of those
    of his latest `length` likes, each counting 0.5 ** (likes since / half_life) (None: all the same), with `attention`
    also times exp(a learnt product). Each tower adds a layer of `hidden` units over its input, the user's over history
    and features (Covington, Adams & Sargin 2016). Features are all columns, each by the encoder that fits it, reduced
    to `dimensions`.

    Each like is learnt from the likes before it, against the other likes of its batch: the softmax of cosine /
    temperature, for the others - log q, with q the share of an item among the likes (log-Q correction, Yi et al. 2019;
    see `in_batch_softmax`). An item is drawn as often as it is liked: uncorrected (`log_q` false), that counts against
    it.

    With probability `id_dropout` an id's embedding is left out of a batch, so that features learn to stand alone: an
    item that training never saw, and has features, is scored from them. Nobody needs to be known: a history is enough,
    and for a number that has user features even those. index, index_params: see `Indexed`.

    Cost of a step: batch * length * factors for the histories and batch^2 * factors for the softmax; of a score: a user
    vector and n_items * factors.
    """

    name: ClassVar[str] = "two_tower"
    family: ClassVar[Family] = "neural"
    source: ClassVar[str] = "Covington et al. 2016; Yi et al. 2019"
    scores_new_items: ClassVar[bool] = True

    batch_size: int = 1024
    factors: int = 64
    hidden: int = 128
    dimensions: int = 64
    length: int = 50
    pooling: Pooling = "mean"
    half_life: float | None = 10.0
    temperature: float = 0.1
    log_q: bool = True
    id_dropout: float = 0.1
    regularization: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("factors", "hidden", "dimensions", "length"):
            check_whole(name, getattr(self, name), 1)
        check_choice("pooling", self.pooling, Pooling)
        if self.half_life is not None:
            check_real("half_life", self.half_life, least=0, above=True)
        check_real("temperature", self.temperature, least=0, above=True)
        if not isinstance(self.log_q, bool):
            raise ValueError(f"log_q must be true or false, got {self.log_q!r}")
        check_real("id_dropout", self.id_dropout, least=0, most=1)
        check_real("regularization", self.regularization, least=0)
        self._check_index()

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        self._index = None
        super()._fit(dataset, watch)
        self._build_index(dataset)

    def _sizes(self, dataset: Dataset) -> dict[str, int]:
        return {
            "n_users": len(dataset.users),
            "n_items": len(dataset.items),
            "user_content": self.dimensions if dataset.user_features else 0,
            "item_content": self.dimensions if dataset.item_features else 0,
        }

    def _network(self, sizes: Mapping[str, int]) -> "Towers":
        recency = log_recency(self.length, self.half_life)
        return Towers(sizes, self.factors, self.hidden, recency, self.pooling == "attention", self.id_dropout)

    def _corpus(self, dataset: Dataset, network: "Towers") -> Pasts:
        pasts = Pasts(dataset, self.length)
        counts = np.bincount(pasts.items, minlength=pasts.n_items)
        users = content(dataset.user_features, len(dataset.users), self.dimensions)
        items = content(dataset.item_features, len(dataset.items), self.dimensions)
        network.describe(*(torch.from_numpy(part) for part in (users, items, counts)))
        return pasts

    def _epoch(self, corpus: Pasts, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(len(corpus))
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            yield corpus.users[places], corpus.before(places), corpus.items[places]

    def _loss(self, network: "Towers", users: Tensor, histories: Tensor, items: Tensor) -> Tensor:  # type: ignore[override]
        ids, place = torch.unique(torch.cat([histories.flatten(), items]), return_inverse=True)
        inputs = network.inputs(ids)
        past, liked = place.split([histories.numel(), len(items)])
        user = network.user(users, functional.embedding(past.view_as(histories), inputs), histories < network.n_items)
        item = network.item(functional.embedding(liked, inputs))
        cost = in_batch_softmax(user @ item.T / self.temperature, items, network.log_q if self.log_q else None)
        penalty: Tensor = cost + self.regularization * inputs.pow(2).sum() / len(ids)
        return penalty

    def _settle(self, network: "Towers") -> None:
        network.settle()

    def _scores(self, network: "Towers", queries: Queries) -> Tensor:
        scores: Tensor = self._users(network, queries) @ network.vectors.T / self.temperature
        return scores

    def _users(self, network: "Towers", queries: Queries) -> Tensor:
        scorable = network.scorable.cpu().numpy()
        histories = torch.from_numpy(sequences(queries, network.n_items, self.length, scorable))
        ids, place = torch.unique(histories.flatten().to(network.vectors.device), return_inverse=True)
        inputs = functional.embedding(place.view_as(histories), network.inputs(ids))
        users = torch.from_numpy(queries.users.astype(np.int64)).to(inputs.device)
        return network.user(users, inputs, histories.to(inputs.device) < network.n_items)

    def _scorable(self, learnt: State) -> NDArray[np.bool_]:
        return np.asarray(learnt["network.scorable"])

    def _heard(self, queries: Queries, learnt: State) -> NDArray[np.bool_]:
        return heard(queries, self._scorable(learnt), np.any(learnt["network.user_content"], axis=1))

    def _item_vectors(self) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self.state()["network.vectors"]
        return vectors

    def _user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        with torch.inference_mode():
            users: NDArray[np.float32] = (self._users(self._alive(), queries) / self.temperature).cpu().numpy()  # type: ignore[arg-type]
        users[~self._heard(queries, self.state())] = np.nan
        return users
