"""What models that read a history in its order share: windows to learn from, the losses, the answer."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import State, check_choice, check_real, check_whole
from recsys.models.neural.batches import Windows, sequences, trimmed
from recsys.models.neural.loop import Batch, Neural
from recsys.models.neural.sequence_loss import NEVER, SequenceLoss, sequence_loss


class Reader(nn.Module, ABC):
    """Embeds items and reads sequences of them; a subclass says how.

    items (n_items + 1, d): what goes in and, by a dot product, what comes out; the last row, padding, is 0.
    """

    n_known = 1
    """How many items training saw; only the losses ask."""

    def __init__(self, n_items: int, factors: int) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, factors, padding_idx=n_items)
        nn.init.normal_(self.items.weight[:n_items], std=factors**-0.5)

    @property
    def padding(self) -> int:
        """The number that stands for no item."""
        return self.items.num_embeddings - 1

    @abstractmethod
    def forward(self, steps: Tensor) -> Tensor:
        """(b, l, d) what each step and those before it say of the next, for (b, l) items padded in front."""


@dataclass
class NextItem(Neural):
    """A model that guesses each next like of a history from those before it; it answers a history with the next.

    length: the latest so many likes are read; longer histories are trained on in windows of as many. loss: what a
    guess is judged by, see `sequence_loss`, against `negatives` items drawn uniformly for each window (for `bce` one
    for each step); as many as the known items, or more, are all of them. calibration: t of `gbce`.

    Whoever has a history is served from it alone, known or not; items that training never saw are passed over.
    """

    batch_size: int = 64
    length: int = 50
    factors: int = 64
    n_layers: int = 2
    dropout: float = 0.2
    loss: SequenceLoss = "softmax"
    negatives: int = 256
    calibration: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("length", "factors", "n_layers", "negatives"):
            check_whole(name, getattr(self, name), 1)
        check_real("dropout", self.dropout, least=0, most=0.95)
        check_choice("loss", self.loss, SequenceLoss)
        check_real("calibration", self.calibration, least=0, most=1)

    @abstractmethod
    def _network(self, sizes: Mapping[str, int]) -> Reader: ...

    def _sizes(self, dataset: Dataset) -> dict[str, int]:
        return {"n_items": len(dataset.items)}

    def _corpus(self, dataset: Dataset, network: Reader) -> Windows:
        windows = Windows(dataset, self.length)
        network.n_known = len(windows.known)
        return windows

    def _epoch(self, corpus: Windows, rng: np.random.Generator) -> Iterator[Batch]:
        for steps, following in corpus.shuffled(rng, self.batch_size):
            yield steps, following, self._negatives(corpus.known, steps, rng)

    def _negatives(
        self, known: NDArray[np.int64], steps: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """(g, k) items for g groups of steps: a group for each step, each window, or the whole batch."""
        if self.loss != "bce" and self.negatives >= len(known):
            return known[None]
        shape = (steps.size, 1) if self.loss == "bce" else (len(steps), self.negatives)
        return np.asarray(known[rng.integers(len(known), size=shape)])

    def _loss(self, network: Reader, steps: Tensor, following: Tensor, negatives: Tensor) -> Tensor:  # type: ignore[override]
        groups = len(negatives)
        guess = network(steps).reshape(groups, -1, self.factors)
        following = following.reshape(groups, -1)
        liked = (guess * network.items(following)).sum(dim=-1)
        others = guess @ network.items(negatives).mT
        others = others.masked_fill(negatives[:, None] == following[:, :, None], NEVER)
        cost = sequence_loss(self.loss, liked, others, n_known=network.n_known, calibration=self.calibration)
        return cost[following != network.padding].mean()

    def _scores(self, network: Reader, queries: Queries) -> Tensor:
        steps = sequences(queries, network.padding, self.length, self.state()["known_items"])
        read = network(torch.as_tensor(trimmed(steps, network.padding), device=self._device()))
        scores: Tensor = read[:, -1] @ network.items.weight[:-1].T
        return scores

    def _heard(self, queries: Queries, learnt: State) -> NDArray[np.bool_]:
        known = learnt["known_items"]
        row = np.repeat(np.arange(len(queries)), np.diff(queries.indptr))
        return np.bincount(row[(queries.weights > 0) & known[queries.items]], minlength=len(queries)) > 0
