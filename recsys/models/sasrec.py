"""SASRec: self-attention over the latest likes (Kang & McAuley 2018), with gSASRec's loss (Petrov & Macdonald 2023)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.models.base import Family, check_whole
from recsys.models.neural.next_item import NextItem, Reader


@dataclass
class SASRec(NextItem):
    """Blocks of causal self-attention over item and position embeddings; the output embeddings are the input ones.

    Positions count from the end of the sequence. The blocks normalise before they read (pre-norm), which trains
    without a warm-up. Cost of a window of l steps: n_layers * (l^2 d + l d^2), and what the loss asks.
    """

    name: ClassVar[str] = "sasrec"
    family: ClassVar[Family] = "sequence"
    source: ClassVar[str] = "Kang & McAuley 2018; Petrov & Macdonald 2023"

    n_heads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("n_heads", self.n_heads, 1)
        if self.factors % self.n_heads:
            raise ValueError(f"factors must be a multiple of n_heads, got {self.factors} and {self.n_heads}")

    def _network(self, sizes: Mapping[str, int]) -> "_Attention":
        return _Attention(sizes["n_items"], self.length, self.factors, self.n_layers, self.n_heads, self.dropout)


class _Attention(Reader):
    def __init__(self, n_items: int, length: int, factors: int, n_layers: int, n_heads: int, dropout: float) -> None:
        super().__init__(n_items, factors)
        self.positions = nn.Parameter(0.1 * torch.randn(length, factors))
        self.blocks = nn.ModuleList(_Block(factors, n_heads, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(factors)
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        n = steps.shape[1]
        real = steps != self.padding
        causal = torch.ones(n, n, dtype=torch.bool, device=steps.device).tril()
        # padding may see itself: a row that sees nothing would be NaN
        visible = causal & real[:, None, None] | torch.eye(n, dtype=torch.bool, device=steps.device)
        x = self.dropout(self.items(steps) * self.items.embedding_dim**0.5 + self.positions[-n:])
        for block in self.blocks:
            x = block(x, visible)
        read: Tensor = self.norm(x)
        return read


class _Block(nn.Module):
    """Attention, then two layers for each step by itself, both added to what came in."""

    def __init__(self, factors: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.before, self.between = nn.LayerNorm(factors), nn.LayerNorm(factors)
        self.ask, self.out = nn.Linear(factors, 3 * factors), nn.Linear(factors, factors)
        self.steps = nn.Sequential(
            nn.Linear(factors, 4 * factors), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * factors, factors)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        query, key, value = self.ask(self.before(x)).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        heard = functional.scaled_dot_product_attention(query, key, value, visible)
        x = x + self.dropout(self.out(heard.transpose(1, 2).flatten(2)))
        changed: Tensor = x + self.dropout(self.steps(self.between(x)))
        return changed
