"""The novelty boost, by hand."""

import numpy as np

from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.rerank.novelty import Novelty
from tests.worlds import dataset

# item i has 4 - i of 4 users; item 4 has none
WORLD = dataset([(u, i) for i in range(4) for u in range(4 - i)], n_users=4, n_items=5)


def ranked(items: list[int], scores: list[float]) -> Recommendations:
    return Recommendations(
        queries=Queries.of(WORLD.interactions, np.array([-1])),
        items=np.array([items], np.int32),
        scores=np.array([scores], np.float32),
        model="written down",
    )


def test_bits_are_those_of_the_metric() -> None:
    bits = Novelty().fit(WORLD).state()["bits"]
    np.testing.assert_allclose(bits, -np.log2(np.array([5, 4, 3, 2, 1]) / 5))


def test_by_hand() -> None:
    # relevance 1, .5, 0; novelty 0, log2(5/3) / log2(5) = .317, 1
    before = ranked([0, 2, 4], [3.0, 2.0, 1.0])
    assert Novelty(strength=0.4).fit(WORLD).rerank(before, 3).items.tolist() == [[0, 2, 4]]  # .6, .427, .4
    assert Novelty(strength=0.5).fit(WORLD).rerank(before, 3).items.tolist() == [[0, 4, 2]]  # .5, .409, .5
    assert Novelty(strength=0.6).fit(WORLD).rerank(before, 3).items.tolist() == [[4, 0, 2]]  # .4, .390, .6
    assert Novelty(strength=1).fit(WORLD).rerank(before, 2).items.tolist() == [[4, 2]]


def test_the_measure_is_the_mean_of_the_bits() -> None:
    (value,) = Novelty().fit(WORLD).measures(ranked([0, 4, -1], [2.0, 1.0, np.nan]))["novelty"]
    np.testing.assert_allclose(value, np.log2(5) / 2)
