"""BPR: what it knows and whom it does not."""

from typing import Any

import numpy as np
import pytest

from recsys.data.queries import Queries
from recsys.models.bpr import BPR
from tests.worlds import dataset

# user 2 and item 3 have no like
DATA = dataset([(0, 0), (0, 1), (1, 1), (1, 2), (3, 0)], n_users=4, n_items=4)


def test_scores_are_products_of_factors_and_the_item_bias() -> None:
    model = BPR(factors=3, iterations=5).fit(DATA)
    users, items = (model.state()[name] for name in ("user_factors", "item_factors"))
    assert (users[[0, 1, 3], -1] == 1).all()
    scores = model.score(Queries.of(DATA.interactions, np.array([1])))
    np.testing.assert_allclose(scores[0, :3], users[1, :3] @ items[:3, :3].T + items[:3, 3], rtol=1e-5)


def test_users_and_items_without_likes_are_nan() -> None:
    scores = BPR(factors=3, iterations=5).fit(DATA).score(Queries.of(DATA.interactions, np.array([0, 2, -1])))
    assert np.isnan(scores).tolist() == [[False, False, False, True], [True] * 4, [True] * 4]


def test_known_user_is_served_without_a_history_in_the_query() -> None:
    model = BPR(factors=3, iterations=5).fit(DATA)
    nothing = DATA.interactions.where(np.zeros(5, dtype=bool))
    assert np.isfinite(model.score(Queries.of(nothing, np.array([0])))[0, :3]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"factors": True}, "factors must be an integer >= 1, got True"),
        ({"learning_rate": 0}, "learning_rate must be a finite number > 0, got 0"),
        ({"regularization": -0.1}, "regularization must be a finite number >= 0, got -0.1"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BPR(**params)
