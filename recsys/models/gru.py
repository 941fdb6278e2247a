"""GRU4Rec: a recurrent network reads the session (Hidasi et al. 2016), with the losses of the attention models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from recsys.models.base import Family
from recsys.models.neural.next_item import NextItem, Reader


@dataclass
class GRU4Rec(NextItem):
    """A gated recurrent unit over item embeddings; the output embeddings are the input ones.

    Cost of a window of l steps: n_layers * l d^2, one step after the other, and what the loss asks.
    """

    name: ClassVar[str] = "gru4rec"
    family: ClassVar[Family] = "sequence"
    source: ClassVar[str] = "Hidasi et al. 2016; Hidasi & Karatzoglou 2018"

    n_layers: int = 1

    def _network(self, sizes: Mapping[str, int]) -> "_Recurrent":
        return _Recurrent(sizes["n_items"], self.factors, self.n_layers, self.dropout)


class _Recurrent(Reader):
    def __init__(self, n_items: int, factors: int, n_layers: int, dropout: float) -> None:
        super().__init__(n_items, factors)
        self.memory = nn.GRU(factors, factors, n_layers, batch_first=True, dropout=dropout if n_layers > 1 else 0.0)
        self.out = nn.Linear(factors, factors)
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        # padding goes behind the sequence while it is read: it must not move the memory
        n = steps.shape[1]
        place = torch.arange(n, device=steps.device)
        empty = (steps == self.padding).sum(dim=1, keepdim=True)
        x = self.dropout(self.items(steps.gather(1, (place + empty) % n)) * self.items.embedding_dim**0.5)
        heard, _ = self.memory(x)
        read: Tensor = self.out(self.dropout(heard.gather(1, ((place - empty) % n)[..., None].expand_as(heard))))
        return read
