"""An audience says the same of one unit and of many, and never takes what it does not know for a yes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abtest.assignment.audience import Audience, problems


@pytest.mark.parametrize(
    ("condition", "inside", "outside"),
    [
        ("CA", ["CA"], ["US", "ca", "", 1, None, ["CA"]]),
        (["CA", "US"], ["CA", "US"], ["GB", None]),
        (1, [1, 1.0], [True, "1", 2]),
        (True, [True], [1, "true", False]),
        ({"min": 18}, [18, 18.5, 99], [17.99, "18", True, None, float("nan")]),
        ({"min": 18, "max": 30}, [18, 30], [17, 31]),
        ({"max": 0}, [-1, 0], [0.1]),
        ({"not": "CA"}, ["US", 1, False], ["CA", None, float("nan"), {}]),
        ({"not": ["CA", "US"], "max": 3}, [3, -1], [4, "GB"]),
    ],
)
def test_a_condition_holds_for_what_it_names(condition: Any, inside: list[Any], outside: list[Any]) -> None:
    audience = Audience({"a": condition})
    assert [value for value in inside if not audience.has({"a": value})] == []
    assert [value for value in outside if audience.has({"a": value})] == []
    assert not audience.has({})
    assert not audience.has({"b": inside[0]})


def test_all_conditions_must_hold() -> None:
    audience = Audience({"country": ["CA"], "age": {"min": 18}})
    assert audience.has({"country": "CA", "age": 18, "page": "home"})
    assert not audience.has({"country": "CA", "age": 17})
    assert not audience.has({"country": "CA"})


values = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 3) | st.sampled_from(["a", "b", "1", ""])
conditions = st.one_of(
    st.sampled_from(["a", 1, True, 0.5]),
    st.lists(st.sampled_from(["a", "b", 1, False]), min_size=1, max_size=3),
    st.fixed_dictionaries({"min": st.integers(-2, 0)}, optional={"max": st.integers(0, 2), "not": st.just("a")}),
)


@given(st.dictionaries(st.sampled_from("xy"), conditions, max_size=2), st.lists(st.tuples(values, values), max_size=8))
def test_many_are_each_alone(tree: dict[str, Any], rows: list[tuple[Any, Any]]) -> None:
    audience = Audience(tree)
    columns = {"x": [row[0] for row in rows], "y": np.array([row[1] for row in rows], object)}
    alone = [audience.has({"x": x, "y": y}) for x, y in rows]
    assert audience.mask(columns, len(rows)).tolist() == alone


@given(st.lists(st.sampled_from(["CA", "US", "", "josé"]), max_size=8), st.sampled_from(["CA", ["US", "josé"]]))
def test_typed_columns_are_asked_alike(texts: list[str], condition: Any) -> None:
    audience = Audience({"a": condition, "n": {"min": 2}})
    columns = {"a": np.array(texts, dtype=np.str_), "n": np.arange(len(texts))}
    alone = [audience.has({"a": text, "n": row}) for row, text in enumerate(texts)]
    assert audience.mask(columns, len(texts)).tolist() == alone


def test_a_missing_column_has_nobody_and_a_short_one_is_refused() -> None:
    audience = Audience({"a": "x"})
    assert audience.mask({}, 3).tolist() == [False] * 3
    with pytest.raises(ValueError, match="'a' has 2 values for 3 units"):
        audience.mask({"a": ["x", "x"]}, 3)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a": []}, "may be none of"),
        ({"a": None}, "is compared with None"),
        ({"a": [["x"]]}, r"is compared with \['x'\]"),
        ({"a": {}}, "expected some of min, max, not"),
        ({"a": {"above": 3}}, "'above'"),
        ({"a": {"min": "3"}}, "expected numbers"),
        ({"a": {"min": 3, "max": 2}}, "where nothing is"),
        ({"": 3}, "expected a name"),
        ("CA", "expected attribute: condition"),
    ],
)
def test_what_means_nothing_is_refused(tree: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Audience(tree)
    assert len(problems(tree)) == 1
