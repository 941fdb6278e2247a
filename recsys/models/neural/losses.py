"""What scores of likes beside scores of negatives cost."""

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
    of how likely a batch draws each item (None: uncorrected). Other columns of the row's own item are left out.
    """
    if log_q is not None:
        logits = logits - log_q[items]
    twice = items[:, None] == items[None, :]
    twice.fill_diagonal_(False)
    return functional.cross_entropy(
        logits.masked_fill(twice, -torch.inf), torch.arange(len(items), device=items.device)
    )
