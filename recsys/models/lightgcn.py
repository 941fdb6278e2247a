"""LightGCN: embeddings smoothed over the graph of users and items, with no weights between (He et al. 2020)."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix
from torch import Tensor, nn
from torch.nn import functional

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Family, check_choice, check_real, check_whole, query_likes, training_likes
from recsys.models.neural.batches import Pairs
from recsys.models.neural.loop import Batch, Neural

Loss = Literal["bpr", "softmax"]


@dataclass
class LightGCN(Neural):
    """score = final user . final item, where final = mean over layers 0..n_layers of A^layer times the embeddings.

    A is the graph's adjacency, each edge 1 / sqrt(degree of user * degree of item). loss `bpr` is the paper's: a liked
    item against one drawn uniformly, both with L2 `regularization`. `softmax` (Wu et al. 2022, SSM): a liked item
    against `negatives` liked items of other pairs, by cosine / `temperature`; it needs far fewer epochs.

    A user is his embedding and what his history's items spread to him, so a history that grew counts at once, and a
    user whom training never saw is served by the second part alone.

    Cost of a step: 2 * n_layers products of the graph with the embeddings, whatever the batch: take large batches.
    """

    name: ClassVar[str] = "lightgcn"
    family: ClassVar[Family] = "neural"
    source: ClassVar[str] = "He et al. 2020; Wu et al. 2022"

    batch_size: int = 8192
    learning_rate: float = 0.01
    factors: int = 64
    n_layers: int = 3
    loss: Loss = "softmax"
    regularization: float = 0.0001
    temperature: float = 0.1
    negatives: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("factors", self.factors, 1)
        check_whole("n_layers", self.n_layers, 1)
        check_choice("loss", self.loss, Loss)
        check_real("regularization", self.regularization, least=0)
        check_real("temperature", self.temperature, least=0, above=True)
        check_whole("negatives", self.negatives, 1)

    def _sizes(self, dataset: Dataset) -> dict[str, int]:
        return {"n_users": len(dataset.users), "n_items": len(dataset.items)}

    def _network(self, sizes: Mapping[str, int]) -> "_Graph":
        return _Graph(sizes["n_users"], sizes["n_items"], self.factors, self.n_layers)

    def _corpus(self, dataset: Dataset, network: "_Graph") -> Pairs:
        network.connect(training_likes(dataset, "binary"), self._device())
        return Pairs(dataset)

    def _epoch(self, corpus: Pairs, rng: np.random.Generator) -> Iterator[Batch]:
        for users, items in corpus.shuffled(rng, self.batch_size):
            if self.loss == "bpr":
                yield users, items, corpus.negatives(users, 1, rng)[:, 0]
            else:
                yield users, items, corpus.items[rng.integers(len(corpus), size=self.negatives)]

    def _loss(self, network: "_Graph", users: Tensor, items: Tensor, others: Tensor) -> Tensor:  # type: ignore[override]
        final_users, final_items = network()
        loss = self._ranking(final_users[users], final_items, items, others)
        own = network.users[users].pow(2).sum() + network.items[items].pow(2).sum()
        if self.loss == "bpr":
            own = own + network.items[others].pow(2).sum()
        penalty: Tensor = loss + self.regularization * own / (2 * len(users))
        return penalty

    def _ranking(self, users: Tensor, final_items: Tensor, items: Tensor, others: Tensor) -> Tensor:
        if self.loss == "bpr":
            return functional.softplus((users * (final_items[others] - final_items[items])).sum(dim=1)).mean()
        users, liked, rest = (functional.normalize(part) for part in (users, final_items[items], final_items[others]))
        alike = (users * liked).sum(dim=1, keepdim=True)
        unlike = (users @ rest.T).masked_fill(items[:, None] == others[None, :], -torch.inf)
        logits = torch.cat([alike, unlike], dim=1) / self.temperature
        return functional.cross_entropy(logits, torch.zeros_like(items))

    def _settle(self, network: "_Graph") -> None:
        network.settle()

    def _scores(self, network: "_Graph", queries: Queries) -> Tensor:
        histories = query_likes(queries, len(network.items), "binary")
        degree = np.diff(histories.indptr).clip(min=1)
        histories = csr_matrix(histories.multiply(1 / np.sqrt(degree)[:, None]), dtype=np.float32)
        users = torch.from_numpy(histories @ network.spread.cpu().numpy()).to(network.spread.device)
        known = torch.from_numpy((queries.users >= 0) & (queries.users < len(network.users)))
        users[known] += network.users[torch.from_numpy(queries.users.astype(np.int64))[known]] / (self.n_layers + 1)
        scores: Tensor = users @ network.final.T
        return scores


class _Graph(nn.Module):
    """The embeddings, and what they become over the graph.

    final (n_items, d): the items' final embeddings; spread (n_items, d): what an item passes on to a user of degree 1.
    """

    final: Tensor
    spread: Tensor

    def __init__(self, n_users: int, n_items: int, factors: int, n_layers: int) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.users = nn.Parameter(0.1 * torch.randn(n_users, factors))
        self.items = nn.Parameter(0.1 * torch.randn(n_items, factors))
        self.register_buffer("final", torch.zeros(n_items, factors))
        self.register_buffer("spread", torch.zeros(n_items, factors))

    def connect(self, likes: csr_matrix, device: torch.device) -> None:
        """Take the graph to train on; it is not saved."""
        users = np.diff(likes.indptr).clip(min=1)
        items = np.bincount(likes.indices, minlength=likes.shape[1]).clip(min=1)
        edges = likes.multiply(1 / np.sqrt(users)[:, None]).multiply(1 / np.sqrt(items)[None, :])
        graph = bmat([[None, edges], [edges.T, None]], format="csr", dtype=np.float32)
        rows, columns = (torch.from_numpy(part.astype(np.int32)) for part in (graph.indptr, graph.indices))
        values = torch.from_numpy(graph.data)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            self.graph = torch.sparse_csr_tensor(rows, columns, values, graph.shape, check_invariants=True).to(device)
        self.item_degrees = torch.from_numpy(items.astype(np.float32)).to(device)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The final embeddings of users and items."""
        final = _Smooth.apply(torch.cat([self.users, self.items]), self.graph, self.n_layers)  # type: ignore[no-untyped-call]
        users, items = final.split([len(self.users), len(self.items)])
        return users, items

    @torch.no_grad()
    def settle(self) -> None:
        """Bring `final` and `spread` up to date."""
        layer = torch.cat([self.users, self.items])
        passed = torch.zeros_like(self.items)
        for _ in range(self.n_layers):
            passed += layer[len(self.users) :]
            layer = self.graph @ layer
        self.final.copy_(self.forward()[1])
        self.spread.copy_(passed / self.item_degrees.sqrt()[:, None] / (self.n_layers + 1))


class _Smooth(torch.autograd.Function):
    """The mean of graph^layer @ embeddings. The graph is symmetric, so a gradient is smoothed by the same product."""

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, graph: Tensor, n_layers: int) -> Tensor:
        ctx.graph, ctx.n_layers = graph, n_layers
        return _smooth(embeddings, graph, n_layers)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _smooth(gradient, ctx.graph, ctx.n_layers), None, None


def _smooth(embeddings: Tensor, graph: Tensor, n_layers: int) -> Tensor:
    layer = total = embeddings
    for _ in range(n_layers):
        layer = graph @ layer
        total = total + layer
    return total / (n_layers + 1)
