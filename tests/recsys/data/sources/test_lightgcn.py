from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.data.problems import DataError
from recsys.data.sources.loader import load
from recsys.data.split import given

Write = Callable[..., Path]


def test_both_files_are_one_data_set_whose_kinds_tell_them_apart(write: Write) -> None:
    folder = write("train.txt", "0 5 7", "1 5", "2").parent
    write("test.txt", "0 9", "1 ")
    data = load("lightgcn", folder=folder).dataset
    rows = data.interactions
    found = {
        (str(data.users.ids[u]), str(data.items.ids[i]), rows.kinds[k])
        for u, i, k in zip(rows.user, rows.item, rows.kind, strict=True)
    }
    assert found == {("0", "5", "train"), ("0", "7", "train"), ("1", "5", "train"), ("0", "9", "test")}


def test_the_given_split_tests_on_the_test_file(write: Write) -> None:
    folder = write("train.txt", "0 " + " ".join(map(str, range(20))), "1 0 1 2 3").parent
    write("test.txt", "0 30 31", "1 30")
    data = load("lightgcn", folder=folder).dataset
    cut = given(data, validation=0.25)
    assert set(data.items.ids[cut.test.interactions.item]) == {"30", "31"}
    assert cut.validation.interactions.user.tolist().count(0) == 5
    assert cut.validation.interactions.user.tolist().count(1) == 1
    assert len(cut.train.interactions) == 18


def test_an_item_twice_for_a_user_is_a_bad_row_also_across_files(write: Write) -> None:
    folder = write("train.txt", "0 5 7 5").parent
    write("test.txt", "0 7 8")
    with pytest.raises(DataError, match=r"(?s)train.txt:1: duplicate: '5'.*test.txt:1: duplicate: '7'"):
        load("lightgcn", folder=folder)
    loaded = load("lightgcn", folder=folder, on_bad_rows="drop")
    assert len(loaded.dataset.interactions) == 3
    assert loaded.report.dropped == 2


def test_a_missing_or_empty_file_is_named(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt: No such file.*expected a folder with train\.txt and test\.txt"):
        load("lightgcn", folder=tmp_path)
    folder = write("train.txt", "0").parent
    write("test.txt", "0 1")
    with pytest.raises(DataError, match=r"train\.txt has no line with a user and an item"):
        load("lightgcn", folder=folder)
