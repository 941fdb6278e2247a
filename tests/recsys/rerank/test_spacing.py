"""Spacing, by hand and against the rule itself."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.recommendations import Recommendations
from recsys.rerank.spacing import Spacing
from tests.recsys.rerank.conftest import sampled
from tests.worlds import dataset


def labelled(**columns: str) -> Dataset:
    """Items described letter by letter: "." is no label, a digit n the two labels a|b of that number."""
    n = len(next(iter(columns.values())))
    cells = {
        name: np.array(["" if c == "." else "a|b" if c == "2" else c for c in letters], dtype=object)
        for name, letters in columns.items()
    }
    return dataclasses.replace(dataset([(0, 0)], n_users=1, n_items=n), item_features=cells)


@pytest.mark.parametrize(
    ("category", "params", "expected"),
    [
        ("aabbc", {}, [0, 2, 1, 3, 4]),
        ("aabbc", {"window": 3}, [0, 2, 4, 1, 3]),
        ("aaabb", {"window": 3, "at_most": 2}, [0, 1, 3, 2, 4]),
        ("aaab.", {}, [0, 3, 1, 4, 2]),
        ("aaaaa", {}, [0, 1, 2, 3, 4]),  # nothing else is there: the order stays
        ("2abcc", {}, [0, 3, 1, 2, 4]),  # the first is both a and b
    ],
)
def test_by_hand(
    ranked: Callable[..., Recommendations], category: str, params: dict[str, Any], expected: list[int]
) -> None:
    world = labelled(category=category)
    after = Spacing(**params).fit(world).rerank(ranked(world, [[0, 1, 2, 3, 4]]), 5)
    assert after.items[0].tolist() == expected


def test_each_column_is_a_rule(ranked: Callable[..., Recommendations]) -> None:
    world = labelled(category="aabb", brand="xyxy")
    given = ranked(world, [[0, 1, 2, 3]])
    assert Spacing().fit(world).rerank(given, 2).items[0].tolist() == [0, 2]
    both = Spacing(columns=["category", "brand"]).fit(world)
    assert both.rerank(given, 2).items[0].tolist() == [0, 3]


@pytest.mark.parametrize(("window", "at_most"), [(2, 1), (4, 1), (5, 2)])
def test_no_window_holds_too_many_when_there_is_enough_of_everything(
    rng: np.random.Generator, window: int, at_most: int
) -> None:
    world = labelled(category="".join(rng.choice(list("abcdefgh"), 200)))
    after = Spacing(window=window, at_most=at_most).fit(world).rerank(sampled(world, rng, m=150), 12)
    for row in world.item_features["category"][after.items]:
        for start in range(12 - window + 1):
            _, counts = np.unique(row[start : start + window].tolist(), return_counts=True)
            assert counts.max() <= at_most


def test_crowding_counts_items_that_break_the_rule(ranked: Callable[..., Recommendations]) -> None:
    world = labelled(category="aabba")
    measures = Spacing().fit(world).measures(ranked(world, [[0, 1, 2, 3, 4], [0, 2, 1, 3, -1], [0, 1, 4, -1, -1]]))
    np.testing.assert_allclose(measures["crowding"], [2 / 5, 0, 2 / 3])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window": 1}, "window of reranker 'spacing' must be an integer >= 2"),
        ({"window": 2, "at_most": 2}, "must be below its window"),
        ({"columns": "category"}, "must be a list of one or more names"),
        ({"columns": []}, "must be a list of one or more names"),
    ],
)
def test_what_cannot_be_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spacing(**params)


def test_a_column_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(LookupError, match="unknown item feature 'brand'; known: category"):
        Spacing(columns=["brand"]).fit(labelled(category="ab"))
