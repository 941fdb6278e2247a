"""NeuMF: a product of embeddings and a network over others, fused: neural collaborative filtering (He et al. 2017)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Family, check_choice, check_real, check_whole
from recsys.models.neural import losses
from recsys.models.neural.batches import Pairs
from recsys.models.neural.loop import Batch, Neural
from recsys.models.neural.perceptron import Pairwise

Loss = Literal["bce", "bpr"]


@dataclass
class NeuMF(Neural):
    """score = weights . [user * item, network([user', item'])], with embeddings of their own for both parts.

    The product (GMF) has `factors` dimensions; the network (MLP) is a tower of `n_layers` layers, each half as wide as
    the one below it, the last of `factors`. loss `bce` is the paper's: likes against `negatives` items each, drawn
    among those that the user does not like; `bpr` ranks the like above them. Embeddings in a batch cost
    `regularization` times their squares.

    Users and items are embeddings, nothing is solved from a history: a user or an item that training never saw is NaN.
    The iALS papers find a well tuned dot product better than this; see also `ials` and `biased_mf`.

    Cost of a score: the layers above the first run for every pair of user and item, factors^2 * 4^n_layers / 6 products
    each. The first, three quarters of the network, is computed once for each user and each item, and added.
    """

    name: ClassVar[str] = "neumf"
    family: ClassVar[Family] = "neural"
    source: ClassVar[str] = "He et al. 2017"
    folds_in: ClassVar[bool] = False

    factors: int = 16
    n_layers: int = 2
    loss: Loss = "bce"
    negatives: int = 4
    dropout: float = 0.0
    regularization: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("factors", self.factors, 1)
        check_whole("n_layers", self.n_layers, 1)
        check_choice("loss", self.loss, Loss)
        check_whole("negatives", self.negatives, 1)
        check_real("dropout", self.dropout, least=0, most=0.99)
        check_real("regularization", self.regularization, least=0)

    def _sizes(self, dataset: Dataset) -> dict[str, int]:
        return {"n_users": len(dataset.users), "n_items": len(dataset.items)}

    def _network(self, sizes: Mapping[str, int]) -> "_Fused":
        return _Fused(sizes["n_users"], sizes["n_items"], self.factors, self.n_layers, self.dropout)

    def _corpus(self, dataset: Dataset, network: "_Fused") -> Pairs:
        return Pairs(dataset)

    def _epoch(self, corpus: Pairs, rng: np.random.Generator) -> Iterator[Batch]:
        for users, items in corpus.shuffled(rng, self.batch_size):
            yield users, np.column_stack([items, corpus.negatives(users, self.negatives, rng)])

    def _loss(self, network: "_Fused", users: Tensor, items: Tensor) -> Tensor:  # type: ignore[override]
        scores = network(users, items)
        cost = losses.logistic(scores) if self.loss == "bce" else losses.bpr(scores)
        penalty: Tensor = cost + self.regularization * network.squares(users, items)
        return penalty

    def _scores(self, network: "_Fused", queries: Queries) -> Tensor:
        # a number that training does not know stands for anyone: the caller masks his scores
        users = torch.from_numpy(queries.users.astype(np.int64).clip(0, len(network.users.weight) - 1))
        return network.catalogue(users.to(network.users.weight.device))


class _Fused(nn.Module):
    """Embeddings (n, factors + width): the first `factors` are for the product, the others for the network."""

    def __init__(self, n_users: int, n_items: int, factors: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        width = factors * 2 ** (n_layers - 1)
        self.split = [factors, width]
        self.users = nn.Embedding(n_users, factors + width)
        self.items = nn.Embedding(n_items, factors + width)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)
        self.tower = Pairwise(width, width, [factors * 2**layer for layer in reversed(range(n_layers))], dropout)
        self.product = nn.Linear(factors, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(n, m) scores of users (n,) for items (n, m)."""
        user, user_deep = self.users(users)[:, None, :].split(self.split, dim=2)
        item, item_deep = self.items(items).split(self.split, dim=2)
        scores: Tensor = self.product(user * item)[:, :, 0] + self.tower(user_deep, item_deep)
        return scores

    def catalogue(self, users: Tensor) -> Tensor:
        """(n, n_items) scores of users (n,) for all items."""
        user, user_deep = self.users(users).split(self.split, dim=1)
        item, item_deep = torch.split(self.items.weight, self.split, dim=1)
        scores: Tensor = (user * self.product.weight) @ item.T + self.product.bias
        scores += self.tower.catalogue(user_deep, item_deep)
        return scores

    def squares(self, users: Tensor, items: Tensor) -> Tensor:
        """The squares of the embeddings of a batch, a mean over its rows."""
        total: Tensor = (self.users(users).pow(2).sum() + self.items(items).pow(2).sum()) / len(users)
        return total
