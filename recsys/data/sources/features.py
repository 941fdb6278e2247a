"""Tables of what is known of items and users: one row per id, one feature per column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.dataset import Features
from recsys.data.parameters import check_keys
from recsys.data.problems import Problem
from recsys.data.sources.columns import Check, first_of, no_number, sift, text, value
from recsys.data.sources.delimited import LINE
from recsys.data.sources.files import check_columns, read_table, text_format
from recsys.data.vocabulary import Vocabulary

Rows = Literal["one", "many"]
"""What a feature table has of each id: one row, or many that need not agree."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """What a feature table says: column `id`, unique, and one per feature, text or Float64."""

    frame: pl.DataFrame
    problems: tuple[Problem, ...] = ()

    def features(self, vocabulary: Vocabulary) -> Features:
        """Each feature in the order of the vocabulary; "" or NaN where the table has nothing."""
        ids = pl.DataFrame({"id": pl.Series(vocabulary.ids.tolist(), dtype=pl.String)})
        ordered = ids.join(self.frame, on="id", how="left", maintain_order="left").drop("id")
        return {column.name: _array(column) for column in ordered}


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """Where features are, as a configuration says it; `load` in recsys.data.sources.table explains the fields."""

    path: str | Path
    id: str
    columns: Mapping[str, str] | Sequence[str] | None = None
    types: Mapping[str, Literal["text", "number"]] | None = None
    format: Mapping[str, Any] | None = None
    rows: Rows = "one"

    @classmethod
    def of(cls, given: Mapping[str, Any], what: str) -> Self:
        """The table that a configuration describes under the key `what`."""
        check_keys(given, [f.name for f in fields(cls)], f"`{what}`")
        for needed in ("path", "id"):
            if needed not in given:
                raise ValueError(f"`{what}` needs {needed!r}; got {', '.join(given) or 'none'}")
        return cls(**given)

    def load(self) -> Known:
        """Read it; a missing id, the second row of an id, and a value not of its type are problems.

        rows `many`: the table is a log that names an id again and again; the most common value of each column holds.
        """
        if self.rows not in get_args(Rows):
            raise ValueError(f"`rows` of {self.path} must be one of {', '.join(get_args(Rows))}, got {self.rows!r}")
        path, form = Path(self.path), text_format(self.format)
        frame, problems = read_table(path, form)
        wanted, types = self._wanted(frame), dict(self.types or {})
        check_columns([self.id, *wanted.values()], frame, path)
        check_keys(types, wanted, f"`types` of {path}")
        check_keys(types.values(), ("text", "number"), f"`types` of {path}")
        written = frame.select(
            pl.col(LINE),
            text(frame[self.id], form.missing).alias("id"),
            *(value(frame[column], form.missing).alias(feature) for feature, column in wanted.items()),
        )
        numbers = [feature for feature, kind in types.items() if kind == "number"]
        checks = [Check("missing id", pl.col("id").is_null(), pl.lit(""))]
        checks += [no_number(feature, written.schema[feature]) for feature in numbers]
        good, bad = sift(written, checks, path)
        again: list[Problem] = []
        if self.rows == "many":
            good = _most_common(good, list(wanted))
        else:
            good, again = first_of(good, ["id"], "second row of an id", path)
        typed = good.select("id", *(_typed(good[feature], types.get(feature)) for feature in wanted))
        return Known(frame=typed, problems=(*problems, *bad, *again))

    def _wanted(self, frame: pl.DataFrame) -> dict[str, str]:
        """Feature -> column."""
        if isinstance(self.columns, Mapping):
            wanted = dict(self.columns)
        else:
            others = [column for column in frame.columns if column not in (self.id, LINE)]
            wanted = {column: column for column in (others if self.columns is None else self.columns)}
        if "id" in wanted:
            raise ValueError(f"a feature of {self.path} cannot be called 'id'; name it by `columns: {{name: id}}`")
        return wanted


def _most_common(rows: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
    """One row per id, with the most common value of each feature that is there; of equally common ones the least."""
    found = rows.select("id").unique(maintain_order=True)
    for feature in features:
        counts = rows.select("id", feature).drop_nulls().group_by("id", feature).len("n")
        ordered = counts.sort("id", "n", feature, descending=[False, True, False])
        found = found.join(ordered.unique("id", keep="first", maintain_order=True).drop("n"), on="id", how="left")
    return found


def _typed(column: pl.Series, kind: str | None) -> pl.Series:
    """Numbers if the configuration says so, or, when it says nothing, if everything that is there is one."""
    if column.dtype == pl.Boolean:
        column = column.cast(pl.Int8)
    numbers = column.cast(pl.Float64, strict=False) if column.dtype.is_numeric() or column.dtype == pl.String else None
    if numbers is not None and kind != "text" and (kind == "number" or _all_there(numbers, column)):
        return numbers.rename(column.name)
    return column.cast(pl.String)


def _all_there(numbers: pl.Series, column: pl.Series) -> bool:
    return 0 < len(column) - column.null_count() == len(numbers) - numbers.null_count()


def _array(column: pl.Series) -> NDArray[Any]:
    if column.dtype == pl.Float64:
        return column.fill_null(float("nan")).to_numpy().astype(np.float64)
    # objects, not fixed width: one long description would make every row of the column as wide
    return np.array(column.fill_null("").to_list(), dtype=object)
