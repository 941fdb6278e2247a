import numpy as np
import pytest

from recsys.data.problems import DataError, Problem, settle

MISSING = Problem(file="a.csv", kind="missing user", lines=np.arange(2, 1002), values=("",) * 1000)
NOTHING = Problem(file="a.csv", kind="duplicate", lines=np.zeros(0, np.int64), values=())
LATE = Problem.at("b.csv", "impossible time", 7, "9999")


def test_refusing_lists_the_first_of_each_kind_with_counts_and_the_cure() -> None:
    with pytest.raises(DataError) as refused:
        settle([MISSING, NOTHING, LATE], "refuse")
    text = str(refused.value)
    assert text.startswith("1,001 bad rows:\n  missing user: 1,000 in a.csv\n    a.csv:2: missing user: ''\n")
    assert "b.csv:7: impossible time: '9999'" in text
    assert "a.csv:5" not in text
    assert "duplicate" not in text
    assert "`on_bad_rows: drop`" in text
    assert refused.value.problems == (MISSING, LATE)


def test_dropping_keeps_what_was_found() -> None:
    assert settle([MISSING, NOTHING, LATE], "drop") == (MISSING, LATE)
    assert settle([NOTHING], "refuse") == ()


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="on_bad_rows must be 'refuse' or 'drop', got 'ignore'"):
        settle([], "ignore")  # type: ignore[arg-type]
