import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.vocabulary import Vocabulary

IDS = st.text(alphabet="ab\u00e9", max_size=4)


@given(st.lists(IDS, min_size=1), st.lists(IDS))
def test_a_number_is_the_place_of_the_id_or_minus_one(known: list[str], asked: list[str]) -> None:
    """Also for ids that are longer, or shorter, than any known one, and for those that begin as a known one does."""
    vocabulary = Vocabulary.of(known)
    places = {name: number for number, name in enumerate(sorted(set(known)))}
    assert vocabulary.numbers([*known, *asked]).tolist() == [places.get(name, -1) for name in [*known, *asked]]


def test_a_long_unknown_id_costs_no_copy_of_all_ids() -> None:
    vocabulary = Vocabulary(np.array([f"u{number:06}" for number in range(100_000)]))
    tracemalloc.start()
    try:
        assert vocabulary.numbers(["u000007" + "0" * 20]).tolist() == [-1]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < vocabulary.ids.nbytes / 100


def test_ids_must_be_sorted_text() -> None:
    with pytest.raises(ValueError, match=r"sorted and unique; Vocabulary\.of\(ids\) makes them so"):
        Vocabulary(np.array(["b", "a"]))
    with pytest.raises(ValueError, match="vector of text"):
        Vocabulary(np.array([1, 2]))
