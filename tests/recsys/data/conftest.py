"""What the data tests share: files written in place, and small data sets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.vocabulary import Vocabulary

Write = Callable[..., Path]
Make = Callable[..., Dataset]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write("a.csv", "line", "line") makes the file and gives its path."""

    def lines(name: str, *rows: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(("\n".join(rows) + "\n").encode(encoding))
        return path

    return lines


@pytest.fixture(scope="session")
def make() -> Make:
    """make([(user, item, second), ...]) gives a data set; a fourth entry of a row is its kind."""

    def dataset(rows: list[tuple[int, ...]], n_users: int = 0, n_items: int = 0) -> Dataset:
        table = np.array([(*row, 0)[:4] for row in rows], np.int64).reshape(-1, 4)
        n_users = max(n_users, int(table[:, 0].max(initial=-1)) + 1)
        n_items = max(n_items, int(table[:, 1].max(initial=-1)) + 1)
        return Dataset(
            name="tiny",
            interactions=Interactions.of(
                user=table[:, 0],
                item=table[:, 1],
                time=table[:, 2].astype("datetime64[s]"),
                kind=table[:, 3],
                kinds=("view", "buy"),
                n_users=n_users,
                n_items=n_items,
            ),
            users=Vocabulary.of([f"u{i:04}" for i in range(n_users)]),
            items=Vocabulary.of([f"i{i:04}" for i in range(n_items)]),
        )

    return dataset
