"""What a wrong guess of the next item costs: the losses of models that read a sequence."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

SequenceLoss = Literal["softmax", "gbce", "bce"]
NEVER = -1e9
"""The score of a negative that is none, because it is what came next: finite, or its gradient would be NaN."""


def sequence_loss(loss: SequenceLoss, liked: Tensor, others: Tensor, *, n_known: int, calibration: float) -> Tensor:
    """(...) the cost of each guess, from the scores `liked` (...) of what came next and `others` (..., k) of negatives.

    `bce` is SASRec's, -log sigmoid(liked) - sum log(1 - sigmoid(others)), here as a mean over the k + 1 terms; `gbce`
    raises sigmoid(liked) to the power beta; `softmax` is the cross-entropy among all `n_known` items, for which each
    of the k stands for (n_known - 1) / k. A negative of score NEVER is none.
    """
    k = others.shape[-1]
    if loss == "softmax":
        share = math.log(max(n_known - 1, 1) / k) if k < n_known else 0.0
        return torch.logaddexp(liked, others.logsumexp(dim=-1) + share) - liked
    power = beta(k, n_known, calibration) if loss == "gbce" else 1.0
    return (power * functional.softplus(-liked) + functional.softplus(others).sum(dim=-1)) / (k + 1)


def beta(negatives: int, n_known: int, calibration: float) -> float:
    """The power of gBCE: alpha (t (1 - 1/alpha) + 1/alpha) with alpha the share of the negatives that are drawn.

    Few negatives make a model overconfident: t = 1 undoes it, t = 0 is plain BCE (Petrov & Macdonald 2023).
    """
    alpha = min(negatives / max(n_known - 1, 1), 1.0)
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
