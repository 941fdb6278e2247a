"""A network over pairs of user and item that scores whole catalogues."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_CELLS = 1 << 22
"""Numbers in the widest layer of a block of pairs: 16 MiB of float32."""


class Pairwise(nn.Module):
    """Layers of ReLU over [user, item] with a number at the end.

    The first layer is linear in its input, so it is kept as the sum of a user's part and an item's part: for n users
    and m items it costs n + m rows instead of n * m.
    """

    def __init__(self, n_user: int, n_item: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        # as one layer over both would start
        first = nn.Linear(n_user + n_item, widths[0])
        self.of_user, self.of_item = nn.Linear(n_user, widths[0], bias=False), nn.Linear(n_item, widths[0])
        with torch.no_grad():
            self.of_user.weight.copy_(first.weight[:, :n_user])
            self.of_item.weight.copy_(first.weight[:, n_user:])
            self.of_item.bias.copy_(first.bias)
        layers: list[nn.Module] = [nn.ReLU(), nn.Dropout(dropout)]
        for below, width in pairwise(widths):
            layers += [nn.Linear(below, width), nn.ReLU(), nn.Dropout(dropout)]
        self.above = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.widest = max(widths)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(...,) the numbers of users (..., n_user) and items (..., n_item), which broadcast."""
        numbers: Tensor = self.above(self.of_user(users) + self.of_item(items))[..., 0]
        return numbers

    def catalogue(self, users: Tensor, items: Tensor) -> Tensor:
        """(n, m) the numbers of each of users (n, n_user) with each of items (m, n_item), in bounded memory."""
        user_part, item_part = self.of_user(users), self.of_item(items)
        numbers: Tensor = user_part.new_empty(len(users), len(items))
        # few items by all users at a time: rows of one user by the whole catalogue would be too long for a cache
        size = max(1, _CELLS // (self.widest * max(1, len(users))))
        for start in range(0, len(items), size):
            part = slice(start, start + size)
            numbers[:, part] = self.above(user_part[:, None, :] + item_part[part])[..., 0]
        return numbers
