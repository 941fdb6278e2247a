"""MovieLens folders: ml-latest, ml-latest-small, ml-25m, ml-32m (csv) and ml-1m, ml-10m (`::` between values)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset, Features
from recsys.data.problems import DataError, OnBadRows
from recsys.data.sources import table
from recsys.data.sources.loaded import Loaded

COLUMNS = {"user": "userId", "item": "movieId", "weight": "rating", "time": "timestamp"}
MISSING = ("",)
"""Here "None" or "NA" would be a title."""
NO_GENRES = "(no genres listed)"


def load(
    *,
    folder: str | Path,
    min_rating: float | None = None,
    binary: bool = False,
    not_after: str | date | None = None,
    on_bad_rows: OnBadRows = "refuse",
) -> Loaded:
    """Ratings with times; movies with `title`, `category` (genres by `|`), `year` and `text`; users where known.

    min_rating: only ratings from here on are kept, as positives; binary: each kept rating weighs 1 instead of its
    value. Tags are not read: they have their own times, so a split could not keep the later ones from a model.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(f"{place} is no folder; expected one with ratings.csv and movies.csv, or ratings.dat")
    loaded = table.load(
        **(_dat(place) if (place / "ratings.dat").exists() else _csv(place)),
        columns=COLUMNS,
        name=place.resolve().name,
        time_format="seconds",
        not_after=not_after,
        min_weight=min_rating,
        binary=binary,
        on_bad_rows=on_bad_rows,
    )
    return replace(loaded, dataset=_described(loaded.dataset))


def _csv(folder: Path) -> dict[str, Any]:
    items = {"path": folder / "movies.csv", "id": "movieId", "columns": {"title": "title", "category": "genres"}}
    items |= {"types": {"title": "text", "category": "text"}, "format": {"missing": MISSING}}
    return {"path": folder / "ratings.csv", "items": items}


def _dat(folder: Path) -> dict[str, Any]:
    has_users = (folder / "users.dat").exists()
    # only ml-1m has users, and only ml-1m is in latin-1; ml-10m is in UTF-8
    form = {"delimiter": "::", "quote": None, "encoding": "latin-1" if has_users else "utf-8", "missing": MISSING}

    def dat(name: str, header: tuple[str, ...], types: Mapping[str, str]) -> dict[str, Any]:
        return {"path": folder / name, "id": header[0], "types": types, "format": form | {"header": header}}

    found = {
        "path": folder / "ratings.dat",
        "format": form | {"header": tuple(COLUMNS.values())},
        "items": dat("movies.dat", ("movieId", "title", "category"), {"title": "text", "category": "text"}),
    }
    if has_users:
        people = ("userId", "gender", "age", "occupation", "zip")
        found["users"] = dat("users.dat", people, {"age": "number", "occupation": "text", "zip": "text"})
    return found


def _described(dataset: Dataset) -> Dataset:
    """The data set with what can be derived from titles and genres."""
    titles = [str(title) for title in dataset.item_features["title"]]
    genres = [str(genre).replace(NO_GENRES, "") for genre in dataset.item_features["category"]]
    features: Features = {
        "title": _objects(titles),
        "category": _objects(genres),
        "year": np.array([_year(title) for title in titles], np.float64),
        "text": _objects(
            [f"{title} {genre.replace('|', ' ')}".strip() for title, genre in zip(titles, genres, strict=True)]
        ),
    }
    return replace(dataset, item_features=features)


def _year(title: str) -> float:
    """The year that ends a title such as "Toy Story (1995)"; NaN without one.

    >>> _year("Toy Story (1995)"), _year("Babylon 5")
    (1995.0, nan)
    """
    digits = title.strip()[-5:-1]
    return float(digits) if title.strip().endswith(")") and len(digits) == 4 and digits.isdecimal() else float("nan")


def _objects(values: list[str]) -> NDArray[Any]:
    return np.array(values, dtype=object)
