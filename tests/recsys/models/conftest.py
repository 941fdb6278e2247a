"""Worlds that the tests of several models share."""

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from tests.worlds import random_market


@pytest.fixture
def market(rng: np.random.Generator) -> Dataset:
    """40 users, 25 items, 300 rows with weights 1..5, a row a day."""
    return random_market(rng, 40, 25, 300, weighted=True)
