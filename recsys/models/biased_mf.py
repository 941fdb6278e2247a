"""Biased matrix factorisation: what all users, the user and the item lean to, and the product of their factors."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Family, check_choice, check_real, check_whole, query_likes, training_likes
from recsys.models.neural import losses
from recsys.models.neural.batches import Pairs
from recsys.models.neural.held_out import HeldOut
from recsys.models.neural.loop import Batch, Neural
from recsys.models.ratings import query_ratings, training_ratings
from recsys.models.sparse import rows_of

Loss = Literal["squared", "logistic", "bpr"]

_RIDGE = 0.01
"""Of the fold-in map, as a share of the mean square of what it reads."""


@dataclass
class BiasedMF(Neural):
    """score = mean + bias of the user + bias of the item + factors of the user . factors of the item.

    Koren, Bell & Volinsky 2009. loss `squared`: the weights are ratings, the score is one, and early stopping goes by
    the error of held-out ratings; judge it on rated items. `logistic` and `bpr`: each like against `negatives` items
    drawn among those that the user does not like; the score ranks. The biases and factors in a batch cost
    `regularization` times their squares, so a row pays for each time it occurs.

    With `squared` every user is solved from the ratings in his query, in closed form: the ridge regression that his
    bias and factors are the answer to. With the others a user of training has what training gave him, and an unknown
    one what his history foretells: the linear map from the mean of a user's liked factors to his own that is best for
    the users of training.

    Cost of a step: batch * (1 + negatives) * factors, and the optimiser goes over all embeddings once, whatever the
    batch: take large batches.
    """

    name: ClassVar[str] = "biased_mf"
    family: ClassVar[Family] = "factorisation"
    source: ClassVar[str] = "Koren, Bell & Volinsky 2009; Rendle et al. 2009"

    learning_rate: float = 0.01
    factors: int = 64
    loss: Loss = "logistic"
    regularization: float = 0.01
    negatives: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("factors", self.factors, 1)
        check_choice("loss", self.loss, Loss)
        check_real("regularization", self.regularization, least=0)
        check_whole("negatives", self.negatives, 1)

    def _sizes(self, dataset: Dataset) -> dict[str, int]:
        return {"n_users": len(dataset.users), "n_items": len(dataset.items)}

    def _network(self, sizes: Mapping[str, int]) -> "_Biased":
        return _Biased(sizes["n_users"], sizes["n_items"], self.factors)

    def _corpus(self, dataset: Dataset, network: "_Biased") -> "csr_matrix | Pairs":
        network.connect(training_likes(dataset, "binary"), self._device())
        if self.loss == "squared":
            ratings = training_ratings(dataset)
            network.mean.fill_(float(ratings.data.mean()))
            return ratings
        network.mean.fill_(-math.log(self.negatives) if self.loss == "logistic" else 0.0)
        return Pairs(dataset)

    def _epoch(self, corpus: "csr_matrix | Pairs", rng: np.random.Generator) -> Iterator[Batch]:
        if isinstance(corpus, Pairs):
            for users, items in corpus.shuffled(rng, self.batch_size):
                yield users, np.column_stack([items, corpus.negatives(users, self.negatives, rng)])
            return
        users, items, ratings = rows_of(corpus), corpus.indices.astype(np.int64), corpus.data
        order = rng.permutation(len(users))
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            yield users[part], items[part, None], ratings[part, None]

    def _loss(self, network: "_Biased", users: Tensor, items: Tensor, *ratings: Tensor) -> Tensor:  # type: ignore[override]
        scores = network(users, items)
        if ratings:
            cost = (scores - ratings[0]).pow(2).mean()
        else:
            cost = losses.logistic(scores) if self.loss == "logistic" else losses.bpr(scores)
        penalty: Tensor = cost + self.regularization * network.squares(users, items)
        return penalty

    def _judge(self, held: HeldOut) -> float:
        if self.loss != "squared":
            return super()._judge(held)
        return -held.squared_error(self)

    def _settle(self, network: "_Biased") -> None:
        if self.loss != "squared":
            network.settle()

    def _scores(self, network: "_Biased", queries: Queries) -> Tensor:
        biases, factors = self._ridge(network, queries) if self.loss == "squared" else self._users(network, queries)
        scores: Tensor = network.mean + biases[:, None] + network.item_biases + factors @ network.item_factors.T
        return scores

    def _users(self, network: "_Biased", queries: Queries) -> tuple[Tensor, Tensor]:
        """Biases (n,) and factors (n, d): those of training, or else foretold from the history."""
        device = network.item_factors.device
        means = _means_of(query_likes(queries, len(network.item_factors), "binary"), device)
        factors = means @ network.item_factors @ network.foretell
        biases = torch.zeros(len(queries), device=device)
        trained = self.state()["known_users"]
        users = queries.users
        known = np.flatnonzero((users >= 0) & (users < len(trained)))
        known = known[trained[users[known]]]
        rows, own = (torch.from_numpy(part.astype(np.int64)).to(device) for part in (known, users[known]))
        factors[rows], biases[rows] = network.user_factors[own], network.user_biases[own]
        return biases, factors

    def _ridge(self, network: "_Biased", queries: Queries) -> tuple[Tensor, Tensor]:
        """Biases (n,) and factors (n, d) that minimise, for each query, the training's loss of the ratings in it."""
        factors = network.item_factors.double().cpu().numpy()
        inputs = np.column_stack([np.ones(len(factors)), factors])
        base = network.mean.item() + network.item_biases.double().cpu().numpy()
        ratings = query_ratings(queries, len(factors))
        solved = np.zeros((len(queries), self.factors + 1))
        for row, (start, stop) in enumerate(zip(ratings.indptr, ratings.indptr[1:], strict=False)):
            if start == stop:
                continue
            rated = ratings.indices[start:stop]
            deviations = ratings.data[start:stop] - base[rated]
            # the least is against a singular system where nothing is regularised
            ridge = max(self.regularization, 1e-9) * (stop - start) * np.eye(self.factors + 1)
            system = inputs[rated].T @ inputs[rated] + ridge
            solved[row] = np.linalg.solve(system, inputs[rated].T @ deviations)
        found = torch.from_numpy(solved.astype(np.float32)).to(network.item_factors.device)
        return found[:, 0], found[:, 1:]


class _Biased(nn.Module):
    """mean (), biases and factors of users and items; foretell (d, d): from the mean of liked factors to a user's."""

    mean: Tensor
    foretell: Tensor

    def __init__(self, n_users: int, n_items: int, factors: int) -> None:
        super().__init__()
        self.user_factors = nn.Parameter(0.1 * torch.randn(n_users, factors))
        self.item_factors = nn.Parameter(0.1 * torch.randn(n_items, factors))
        self.user_biases = nn.Parameter(torch.zeros(n_users))
        self.item_biases = nn.Parameter(torch.zeros(n_items))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("foretell", torch.zeros(factors, factors))

    @torch.no_grad()
    def connect(self, likes: csr_matrix, device: torch.device) -> None:
        """Take the likes to learn the map from; they are not saved."""
        # an item that training never sees must not speak in the histories of later: its factors stay where they start
        unknown = np.bincount(likes.indices, minlength=likes.shape[1]) == 0
        self.item_factors[torch.from_numpy(unknown)] = 0.0
        self.means, self.active = _means_of(likes, device), torch.from_numpy(np.diff(likes.indptr) > 0).to(device)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(n, m) scores of users (n,) for items (n, m)."""
        products = (self.item_factors[items] @ self.user_factors[users][:, :, None])[:, :, 0]
        scores: Tensor = self.mean + self.user_biases[users][:, None] + self.item_biases[items] + products
        return scores

    def squares(self, users: Tensor, items: Tensor) -> Tensor:
        """The squares of the biases and factors of a batch, a mean over its rows."""
        parts = (self.user_factors[users], self.user_biases[users], self.item_factors[items], self.item_biases[items])
        total: Tensor = torch.stack([part.pow(2).sum() for part in parts]).sum() / len(users)
        return total

    @torch.no_grad()
    def settle(self) -> None:
        """Bring `foretell` up to date."""
        read = self.means @ self.item_factors
        square = read.T @ read
        ridge = _RIDGE * square.diagonal().mean() + torch.finfo(square.dtype).tiny
        system = square + ridge * torch.eye(len(square), device=square.device)
        self.foretell.copy_(torch.linalg.solve(system, read[self.active].T @ self.user_factors[self.active]))


def _means_of(likes: csr_matrix, device: torch.device) -> Tensor:
    """(n, n_items) sparse rows that sum to 1: times the items' factors they are the mean of what each row likes."""
    counts = np.diff(likes.indptr)
    values = np.repeat(1 / counts.clip(min=1), counts).astype(np.float32)
    cells = torch.from_numpy(np.stack([rows_of(likes), likes.indices.astype(np.int64)]))
    return torch.sparse_coo_tensor(cells, torch.from_numpy(values), likes.shape, check_invariants=True).to(device)
