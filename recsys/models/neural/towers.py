"""The two towers: networks that make a user's and an item's vector, and what they know beside the likes."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.models.neural.inputs import Ids

_BLOCK = 4096
"""Items whose vectors are made at a time."""


class Towers(nn.Module):
    """Both towers, and what is known of users and items beside their likes.

    recency (length,): the logit that each place of a history starts with.

    user_content (n_users, c), item_content (n_items, d): their features; known, scorable (n_items,): items that were
    liked, or these and those with features; log_q (n_items,): the logarithm of the share of the likes; vectors
    (n_items, factors): the item tower's answers, 0 for what is not scorable.
    """

    recency: Tensor
    user_content: Tensor
    item_content: Tensor
    scorable: Tensor
    log_q: Tensor
    vectors: Tensor

    def __init__(
        self, sizes: Mapping[str, int], factors: int, hidden: int, recency: Tensor, attention: bool, id_dropout: float
    ) -> None:
        super().__init__()
        self.n_items = sizes["n_items"]
        self.ids = Ids(self.n_items, factors, id_dropout)
        self.of_content = nn.Linear(sizes["item_content"], factors, bias=False) if sizes["item_content"] else None
        self.attention = nn.Parameter(torch.zeros(factors)) if attention else None
        self.user_layer = _Residual(factors, sizes["user_content"], hidden)
        self.item_layer = _Residual(factors, 0, hidden)
        self.register_buffer("recency", recency, persistent=False)
        self.register_buffer("user_content", torch.zeros(sizes["n_users"], sizes["user_content"]))
        self.register_buffer("item_content", torch.zeros(self.n_items, sizes["item_content"]))
        self.register_buffer("scorable", torch.zeros(self.n_items, dtype=torch.bool))
        self.register_buffer("log_q", torch.zeros(self.n_items))
        self.register_buffer("vectors", torch.zeros(self.n_items, factors))

    @torch.no_grad()
    def describe(self, user_content: Tensor, item_content: Tensor, counts: Tensor) -> None:
        """Take the features (n, width) and how often each item (n_items,) is liked in training."""
        self.user_content.copy_(user_content)
        self.item_content.copy_(item_content)
        self.scorable.copy_((counts > 0) | item_content.any(dim=1))
        self.log_q.copy_((counts / counts.sum()).clamp(min=torch.finfo(torch.float32).tiny).log())
        self.ids.forget(counts == 0)  # such an item is its features alone

    def inputs(self, ids: Tensor) -> Tensor:
        """(n, factors) of items (n,), each once; n_items stands for none and is zero."""
        content = self.item_content[ids.clamp(max=self.n_items - 1)] * (ids < self.n_items)[:, None]
        inputs: Tensor = self.ids(ids, content.any(dim=1))
        return inputs if self.of_content is None else inputs + self.of_content(content)

    def user(self, users: Tensor, histories: Tensor, real: Tensor) -> Tensor:
        """(n, factors) unit vectors of users (n,), -1 unknown, by their (n, length) items' inputs; real: no padding."""
        logits = self.recency.expand(real.shape)
        if self.attention is not None:
            logits = logits + histories @ self.attention
        weights = logits.masked_fill(~real, -torch.inf).softmax(dim=1)
        weights = torch.where(real, weights, 0.0)  # of an empty history they are NaN
        pooled = (weights[:, None, :] @ histories)[:, 0]
        known = (users >= 0) & (users < len(self.user_content))
        about = self.user_content[users.clamp(0, len(self.user_content) - 1)] * known[:, None]
        return functional.normalize(self.user_layer(pooled, about))

    def item(self, inputs: Tensor) -> Tensor:
        """(n, factors) unit vectors of the inputs of items (n, factors)."""
        return functional.normalize(self.item_layer(inputs, inputs[:, :0]))

    @torch.no_grad()
    def settle(self) -> None:
        """Bring `vectors` up to date."""
        was = self.training
        self.eval()
        for ids in torch.split(torch.arange(self.n_items, device=self.vectors.device), _BLOCK):
            self.vectors[ids] = self.item(self.inputs(ids)) * self.scorable[ids][:, None]
        self.train(was)


class _Residual(nn.Module):
    """main + a layer over [main, more], which starts at 0: training begins with what the plain means know."""

    def __init__(self, width: int, more: int, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layer = nn.Sequential(nn.Linear(width + more, hidden), nn.ReLU(), last)

    def forward(self, main: Tensor, more: Tensor) -> Tensor:
        both: Tensor = main + self.layer(torch.cat([main, more], dim=1))
        return both
