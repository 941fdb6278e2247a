"""Quotas against every possible list."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.rerank.quotas import fill

M, G = 6, 2


@settings(max_examples=150, deadline=None)
@given(
    member=st.lists(st.lists(st.booleans(), min_size=G, max_size=G), min_size=M, max_size=M),
    least=st.lists(st.integers(0, 3), min_size=G, max_size=G),
    most=st.lists(st.integers(0, 4), min_size=G, max_size=G),
    k=st.integers(1, M),
)
def test_caps_hold_and_floors_are_met_where_any_list_meets_them(
    member: list[list[bool]], least: list[int], most: list[int], k: int
) -> None:
    groups = np.array(member)
    row = fill(np.arange(M)[None], groups[None], least, most, k)[0]
    chosen = row[row >= 0]
    assert len(set(chosen.tolist())) == len(chosen)
    shown = groups[chosen].sum(axis=0)
    assert (shown <= most).all()
    # disjoint groups without conflicting caps: what some list of k can do, this one does
    if not groups.all(axis=1).any() and all(a <= b for a, b in zip(least, most, strict=True)):
        for other in itertools.combinations(range(M), k):
            counts = groups[list(other)].sum(axis=0)
            if (counts >= least).all() and (counts <= most).all():
                assert (shown >= least).all()
                assert len(chosen) == k
                break


@settings(max_examples=100, deadline=None)
@given(
    member=st.lists(st.booleans(), min_size=M, max_size=M),
    least=st.integers(0, 3),
    k=st.integers(1, M),
)
def test_a_floor_costs_the_least_relevance(member: list[bool], least: int, k: int) -> None:
    groups = np.array(member)[:, None]
    row = fill(np.arange(M)[None], groups[None], [least], [M], k)[0]
    owed = min(least, int(groups.sum()), k)
    possible = [s for s in itertools.combinations(range(M), k) if groups[list(s)].sum() >= owed]
    # by the sum of ranks, no list that meets the floor is better
    assert int(row.sum()) == min(sum(s) for s in possible)


def test_a_floor_that_cannot_fit_takes_all_places() -> None:
    member = np.array([[[False], [True], [True], [True]]])
    assert fill(np.arange(4)[None], member, [9], [99], 2).tolist() == [[1, 2]]


def test_an_item_that_pays_two_debts_goes_first() -> None:
    member = np.array([[[False, False], [True, False], [False, True], [True, True]]])
    assert fill(np.arange(4)[None], member, [1, 1], [9, 9], 1).tolist() == [[3]]


@pytest.mark.parametrize("k", [1, 3])
def test_no_candidates_give_no_places(k: int) -> None:
    assert fill(np.full((2, 3), -1), np.zeros((2, 3, 1), bool), [1], [1], k).tolist() == [[-1] * k] * 2
