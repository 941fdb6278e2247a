"""What networks read of items and histories: ids that features can stand in for, and what a like counts by its age."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.data.queries import Queries
from recsys.models.neural.batches import sequences


class Ids(nn.Embedding):
    """An embedding of each item's id; number n_items stands for none and is zero.

    While training, an item that is described is left without with probability `dropout`: its features learn to stand
    alone.
    """

    def __init__(self, n_items: int, width: int, dropout: float) -> None:
        super().__init__(n_items + 1, width, padding_idx=n_items)
        self.dropout = dropout
        nn.init.normal_(self.weight[:n_items], std=width**-0.5)

    @torch.no_grad()
    def forget(self, unseen: Tensor) -> None:
        """Zero the ids of items (n_items,) that training never sees; no batch holds them, so they stay."""
        self.weight[:-1][unseen] = 0.0

    def forward(self, ids: Tensor, described: Tensor) -> Tensor:  # type: ignore[override]
        """(n, width) of items (n,), each once; described (n,): whether something is left of an item without its id."""
        embedded: Tensor = super().forward(ids)
        if self.training and self.dropout:
            left_out = (torch.rand(len(ids), device=ids.device) < self.dropout) & described
            embedded = embedded * ~left_out[:, None]
        return embedded


def log_recency(length: int, half_life: float | None) -> Tensor:
    """(length,) the logarithm of 0.5 ** (places since / half_life) for each place, the latest last (None: zeros)."""
    ages = torch.arange(length - 1, -1, -1) / (math.inf if half_life is None else half_life)
    return -ages * math.log(2)


def heard(queries: Queries, scorable: NDArray[np.bool_], described: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) who liked a scorable item (n_items,) or is a user (n_users,) of whom something is described."""
    liked = sequences(queries, len(scorable), 1, scorable)[:, -1] < len(scorable)
    inside = (queries.users >= 0) & (queries.users < len(described))
    return np.asarray(liked | (inside & described[queries.users.clip(0, len(described) - 1)]))
