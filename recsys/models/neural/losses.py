"""What scores of likes beside scores of negatives cost."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def logistic(scores: Tensor) -> Tensor:
    """-log sigmoid(like) - the sum over the negatives of log(1 - sigmoid), the mean over likes.

    scores (n, 1 + m): the like first, then its negatives. Binary cross-entropy, of the NCF paper among others.
    """
    cost: Tensor = functional.softplus(-scores[:, 0]).mean() + functional.softplus(scores[:, 1:]).sum(dim=1).mean()
    return cost


def bpr(scores: Tensor) -> Tensor:
    """-log sigmoid(like - negative), the mean over pairs (Rendle et al. 2009); scores as for `logistic`."""
    cost: Tensor = functional.softplus(scores[:, 1:] - scores[:, :1]).mean()
    return cost


def in_batch_softmax(logits: Tensor, items: Tensor, log_q: Tensor | None) -> Tensor:
    """The mean cross-entropy of each row's own column among those of the batch.

    logits (b, b): row i's like stands in column i; items (b,): whose columns these are; log_q (n_items,): the logarithm
    of the share of the draws that each item has (None: uncorrected). Other columns of the row's own item are left out.

    Corrected, the others count 1 / how often they are expected, (b - 1) q, and the own column, which is always there,
    counts 1: the sum is then that over the catalogue. To correct the own one too, as Yi et al. do, is right only where
    the other columns of its item stay in (Khrylchenko et al. 2025).
    """
    own = torch.eye(len(items), dtype=torch.bool, device=items.device)
    if log_q is not None:
        expected = log_q[items] + math.log(max(len(items) - 1, 1))
        logits = torch.where(own, logits, logits - expected)
    twice = (items[:, None] == items[None, :]) & ~own
    return functional.cross_entropy(
        logits.masked_fill(twice, -torch.inf), torch.arange(len(items), device=items.device)
    )
