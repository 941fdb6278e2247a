"""Wide & Deep: a linear model of crossed labels and a network over embeddings, trained as one (Cheng et al. 2016)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Family, State, check_choice, check_real, check_whole
from recsys.models.neural import losses
from recsys.models.neural.batches import Pairs, Pasts, sequences
from recsys.models.neural.features import Attributes
from recsys.models.neural.inputs import Ids, heard, log_recency
from recsys.models.neural.loop import Batch, Neural
from recsys.models.neural.perceptron import Pairwise

Loss = Literal["bce", "bpr"]


@dataclass
class WideDeep(Neural):
    """score = a weight of the item + crosses + network([user, item]).

    Crosses, the wide part, are a weight for each pair of a label of the item with a label of the user or of the items
    in his history (the paper's "installed app x impression app"). The network, the deep part, reads of an item an
    embedding of its id and of its labels, and its numbers; of a user the same, averaged over the latest `length` likes
    of his history, each counting 0.5 ** (likes since / half_life) (None: all the same), an embedding of his labels, and
    his numbers. `n_layers` layers of ReLU, each half as wide as the one below it, begin with `hidden` units.

    Labels are the `n_labels` most frequent ones of the categorical columns of each side; numbers are scaled robustly,
    two for a column, see `Attributes`. Columns of vectors, and texts of which most rows have their own, are not read.

    Each like is learnt from the likes before it. loss `bce` is the paper's, with `negatives` items that the user does
    not like for each; `bpr` ranks it above them. `regularization` times the mean square of the embeddings of a batch,
    and the sum of those of the crosses, is added; Adam trains both parts, where the paper has FTRL and AdaGrad.

    With probability `id_dropout` an item's id, its weight too, is left out of a batch, so that features learn to stand
    alone: an item that training never saw, and has labels or numbers, is scored from them. Nobody needs to be known: a
    history is enough, and for a number that has user features even those.

    Cost of a score: n_labels crosses for each user and item and the layers above the first, hidden^2 / 2 products and
    less; the first is computed once for each user and each item. Memory: 4 n_labels bytes a user and an item, and at
    most 2 n_labels^2 crosses.
    """

    name: ClassVar[str] = "wide_deep"
    family: ClassVar[Family] = "neural"
    source: ClassVar[str] = "Cheng et al. 2016"
    scores_new_items: ClassVar[bool] = True

    batch_size: int = 1024
    factors: int = 32
    hidden: int = 64
    n_layers: int = 2
    n_labels: int = 128
    length: int = 50
    half_life: float | None = 10.0
    loss: Loss = "bce"
    negatives: int = 4
    dropout: float = 0.0
    id_dropout: float = 0.1
    regularization: float = 0.0001

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("factors", "hidden", "n_layers", "n_labels", "length", "negatives"):
            check_whole(name, getattr(self, name), 1)
        if self.hidden < 2 ** (self.n_layers - 1):
            raise ValueError(
                f"hidden must be >= {2 ** (self.n_layers - 1)} to be halved by n_layers={self.n_layers}, "
                f"got {self.hidden}"
            )
        if self.half_life is not None:
            check_real("half_life", self.half_life, least=0, above=True)
        check_choice("loss", self.loss, Loss)
        check_real("dropout", self.dropout, least=0, most=0.99)
        check_real("id_dropout", self.id_dropout, least=0, most=1)
        check_real("regularization", self.regularization, least=0)

    def _attributes(self, dataset: Dataset) -> dict[str, Attributes]:
        sides = {"user": (dataset.user_features, dataset.users), "item": (dataset.item_features, dataset.items)}
        return {side: Attributes.of(columns, len(ids), self.n_labels) for side, (columns, ids) in sides.items()}

    def _sizes(self, dataset: Dataset) -> dict[str, int]:
        sizes = {"n_users": len(dataset.users), "n_items": len(dataset.items)}
        for side, about in self._attributes(dataset).items():
            sizes |= {f"{side}_labels": about.labels.shape[1], f"{side}_numbers": about.numbers.shape[1]}
        return sizes

    def _network(self, sizes: Mapping[str, int]) -> "_WideDeep":
        widths = [self.hidden // 2**layer for layer in range(self.n_layers)]
        recency = log_recency(self.length, self.half_life).exp()
        return _WideDeep(sizes, self.factors, widths, recency, self.dropout, self.id_dropout)

    def _corpus(self, dataset: Dataset, network: "_WideDeep") -> tuple[Pasts, Pairs]:
        pasts = Pasts(dataset, self.length)
        about = self._attributes(dataset)
        network.describe(about["user"], about["item"], np.isin(np.arange(pasts.n_items), pasts.items))
        return pasts, Pairs(dataset)

    def _epoch(self, corpus: tuple[Pasts, Pairs], rng: np.random.Generator) -> Iterator[Batch]:
        pasts, pairs = corpus
        order = rng.permutation(len(pasts))
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            users = pasts.users[places]
            items = np.column_stack([pasts.items[places], pairs.negatives(users, self.negatives, rng)])
            yield users, pasts.before(places), items

    def _loss(self, network: "_WideDeep", users: Tensor, histories: Tensor, items: Tensor) -> Tensor:  # type: ignore[override]
        scores, squares = network(users, histories, items)
        cost = losses.logistic(scores) if self.loss == "bce" else losses.bpr(scores)
        penalty: Tensor = cost + self.regularization * squares
        return penalty

    def _scores(self, network: "_WideDeep", queries: Queries) -> Tensor:
        histories = sequences(queries, network.n_items, self.length, network.scorable.cpu().numpy())
        users, device = queries.users.astype(np.int64), network.scorable.device
        return network.catalogue(*(torch.from_numpy(array).to(device) for array in (users, histories)))

    def _scorable(self, learnt: State) -> NDArray[np.bool_]:
        return np.asarray(learnt["network.scorable"])

    def _heard(self, queries: Queries, learnt: State) -> NDArray[np.bool_]:
        labels, numbers = (np.any(learnt[f"network.user_{part}"], axis=1) for part in ("labels", "numbers"))
        return heard(queries, self._scorable(learnt), np.asarray(labels | numbers))


class _WideDeep(nn.Module):
    """Both parts, and what is known of users and items beside their likes: 0 for what is not known.

    recency (length,): what each place of a history counts; user_labels, user_numbers (n_users, ...), item_labels,
    item_numbers (n_items + 1, ...): the last item is none; described (n_items + 1,): which have any of these; scorable
    (n_items,): items that were liked or are described.
    """

    recency: Tensor
    user_labels: Tensor
    user_numbers: Tensor
    item_labels: Tensor
    item_numbers: Tensor
    described: Tensor
    scorable: Tensor

    def __init__(
        self,
        sizes: Mapping[str, int],
        factors: int,
        widths: list[int],
        recency: Tensor,
        dropout: float,
        id_dropout: float,
    ) -> None:
        super().__init__()
        self.n_items = sizes["n_items"]
        for side, n in (("user", sizes["n_users"]), ("item", sizes["n_items"] + 1)):
            for part in ("labels", "numbers"):
                self.register_buffer(f"{side}_{part}", torch.zeros(n, sizes[f"{side}_{part}"]))
        self.register_buffer("described", torch.zeros(self.n_items + 1, dtype=torch.bool))
        self.register_buffer("scorable", torch.zeros(self.n_items, dtype=torch.bool))
        self.register_buffer("recency", recency, persistent=False)
        self.ids = Ids(self.n_items, 1 + factors, id_dropout)  # the first is the weight of the item
        nn.init.zeros_(self.ids.weight[:, 0])
        self.of_user_labels, self.of_item_labels = (
            nn.Parameter(torch.randn(sizes[f"{side}_labels"], factors) * factors**-0.5) for side in ("user", "item")
        )
        # the paper's start: no cross has been seen
        self.crosses = nn.Parameter(torch.zeros(sizes["user_labels"] + sizes["item_labels"], sizes["item_labels"]))
        deep = 2 * factors + sizes["item_numbers"]
        self.split = [1, deep, sizes["item_labels"]]
        self.tower = Pairwise(deep + factors + sizes["user_numbers"], deep, widths, dropout)

    @torch.no_grad()
    def describe(self, users: Attributes, items: Attributes, known: NDArray[np.bool_]) -> None:
        """Take what is known of users and items; known (n_items,): items that training sees."""
        self.user_labels.copy_(torch.from_numpy(users.labels))
        self.user_numbers.copy_(torch.from_numpy(users.numbers))
        self.item_labels[:-1] = torch.from_numpy(items.labels)
        self.item_numbers[:-1] = torch.from_numpy(items.numbers)
        self.described.copy_(self.item_labels.any(dim=1) | self.item_numbers.any(dim=1))
        self.scorable.copy_(torch.from_numpy(known) | self.described[:-1])
        self.ids.forget(torch.from_numpy(~known))

    def forward(self, users: Tensor, histories: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) scores of users (n,) with histories (n, length) for items (n, m), and the squares to be kept small."""
        ids, place = torch.unique(torch.cat([histories.flatten(), items.flatten()]), return_inverse=True)
        read = self.item(ids)
        past, asked = place.split([histories.numel(), items.numel()])
        wide, deep = self.user(users, self.pooled(histories, past.view_as(histories), read))
        weight, item, labels = torch.split(functional.embedding(asked.view_as(items), read), self.split, dim=2)
        scores = weight[:, :, 0] + (labels @ wide[:, :, None])[:, :, 0] + self.tower(deep[:, None, :], item)
        squares = read[:, : sum(self.split[:2])].pow(2).sum() / len(ids) + self.crosses.pow(2).sum()
        return scores, squares

    def catalogue(self, users: Tensor, histories: Tensor) -> Tensor:
        """(n, n_items) scores of users (n,) with histories (n, length) for all items."""
        ids, place = torch.unique(histories, return_inverse=True)
        wide, deep = self.user(users, self.pooled(histories, place, self.item(ids)))
        everything = self.item(torch.arange(self.n_items, device=ids.device))
        weight, item, labels = torch.split(everything, self.split, dim=1)
        scores = self.tower.catalogue(deep, item)
        scores += weight[:, 0]
        scores += wide @ labels.T
        return scores

    def item(self, ids: Tensor) -> Tensor:
        """(n, 1 + deep + n_labels) of items (n,), each once: the weight, the network's input and the labels."""
        labels = self.item_labels[ids]
        embedded = self.ids(ids, self.described[ids])
        return torch.cat([embedded, labels @ self.of_item_labels, self.item_numbers[ids], labels], dim=1)

    def pooled(self, histories: Tensor, place: Tensor, read: Tensor) -> Tensor:
        """(n, ...) the mean of what is read, in its rows `place`, of the items of the histories (n, length)."""
        weights = self.recency * (histories < self.n_items)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)  # the latest counts 1
        return functional.embedding_bag(place, read, mode="sum", per_sample_weights=weights)

    def user(self, users: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Of users (n,), -1 unknown: (n, n_labels) a weight for each label of an item, (n, ...) the network's input."""
        _, past, past_labels = torch.split(pooled, self.split, dim=1)
        inside = ((users >= 0) & (users < len(self.user_labels)))[:, None]
        row = users.clamp(0, len(self.user_labels) - 1)
        labels, numbers = self.user_labels[row] * inside, self.user_numbers[row] * inside
        wide = torch.cat([labels, past_labels], dim=1) @ self.crosses
        return wide, torch.cat([past, labels @ self.of_user_labels, numbers], dim=1)
