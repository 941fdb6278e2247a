"""What scores of likes beside scores of negatives cost."""

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
