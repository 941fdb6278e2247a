"""LightGCN's data sets (Gowalla, Yelp, Amazon-book): a line is a user and his items; the test is a file apart."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.problems import DataError, OnBadRows, Problem, settle
from recsys.data.sources.loaded import Loaded
from recsys.data.validation import validate
from recsys.data.vocabulary import Vocabulary

KINDS = ("train", "test")
"""The kind of a row says from which file it is: the split `given` cuts by it."""


def load(*, folder: str | Path, on_bad_rows: OnBadRows = "refuse") -> Loaded:
    """train.txt and test.txt of a folder as one data set without times, of which the split `given` takes the parts.

    A line without items (such are in published files) is a user without rows there. An item twice in the lists of a
    user, in one file or in both, is a bad row: a model would be asked for what it was shown.
    """
    place = Path(folder)
    lists = [_read(place / f"{kind}.txt") for kind in KINDS]
    users, items, lines = (np.concatenate(columns) for columns in zip(*lists, strict=True))
    kind = np.repeat(np.arange(len(KINDS)), [len(part[0]) for part in lists])
    user_ids, item_ids = Vocabulary.of(users), Vocabulary.of(items)
    user, item = user_ids.numbers(users), item_ids.numbers(items)
    _, first = np.unique(user.astype(np.int64) * len(item_ids) + item, return_index=True)
    again = np.setdiff1d(np.arange(len(user)), first)
    repeated = [_repeated(name, i, kind[again], lines[again], items[again]) for i, name in enumerate(KINDS)]
    problems = settle(repeated, on_bad_rows)
    dataset = Dataset(
        name=place.resolve().name,
        interactions=Interactions.of(
            user=user[first],
            item=item[first],
            time=np.zeros(len(first), "datetime64[s]"),
            kind=kind[first],
            kinds=KINDS,
            n_users=len(user_ids),
            n_items=len(item_ids),
        ),
        users=user_ids,
        items=item_ids,
    )
    return Loaded(dataset=dataset, report=validate(dataset, rows_read=len(user), problems=problems))


def _read(path: Path) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.int64]]:
    """(user, item, line) of each pair in a file."""
    try:
        lists = [line.split() for line in path.read_text().splitlines()]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a folder with train.txt and test.txt") from None
    if not any(len(words) > 1 for words in lists):
        raise DataError(f"{path} has no line with a user and an item; expected `user item item ...`")
    n_items = np.array([max(len(words) - 1, 0) for words in lists])
    users = np.repeat(np.array([words[0] if words else "" for words in lists]), n_items)
    items = np.array([item for words in lists for item in words[1:]])
    return users, items, np.repeat(np.arange(1, len(lists) + 1), n_items)


def _repeated(
    name: str, number: int, kind: NDArray[np.int64], lines: NDArray[np.int64], items: NDArray[np.str_]
) -> Problem:
    here = kind == number
    return Problem(file=f"{name}.txt", kind="duplicate", lines=lines[here], values=tuple(items[here].tolist()))
