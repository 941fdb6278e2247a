"""Files to frames: text or Parquet, each row with the place where a person finds it."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl

from recsys.data.parameters import check_keys
from recsys.data.problems import DataError, Problem
from recsys.data.sources.delimited import LINE, TextFormat, read


def read_table(path: Path, form: TextFormat) -> tuple[pl.DataFrame, list[Problem]]:
    """The columns of a file plus LINE (physical line of a text, row of a Parquet file), and the unreadable lines."""
    if path.suffix.lower() not in (".parquet", ".pq"):
        return read(path, form)
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None
    return frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE)), []


def text_format(given: Mapping[str, Any] | None) -> TextFormat:
    """The format that a configuration describes; lists become tuples."""
    check_keys(given or {}, [f.name for f in fields(TextFormat)], "`format`")
    options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in (given or {}).items()}
    return TextFormat(**options)


def check_columns(wanted: Iterable[str], frame: pl.DataFrame, path: Path) -> None:
    """Refuse a table that lacks a column, with the names it has."""
    has = [column for column in frame.columns if column != LINE]
    if missing := [column for column in wanted if column not in has]:
        raise DataError(f"{path} has no column {', '.join(map(repr, missing))}; it has: {', '.join(has)}")
