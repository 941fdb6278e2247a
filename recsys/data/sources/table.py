"""Tables of interactions, items and users in csv or Parquet files, with a mapping of their columns."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.parameters import check_keys
from recsys.data.problems import DataError, OnBadRows, settle, summary
from recsys.data.sources.columns import (
    Check,
    check_time_format,
    first_of,
    no_number,
    sift,
    text,
    time_checks,
    times,
    value,
)
from recsys.data.sources.delimited import LINE, TextFormat
from recsys.data.sources.features import FeatureTable, Known
from recsys.data.sources.files import check_columns, read_table, text_format
from recsys.data.sources.loaded import Loaded
from recsys.data.validation import Finding, validate
from recsys.data.vocabulary import Vocabulary

ROLES = ("user", "item", "time", "weight", "kind")
Weights = Mapping[str, float | None]


def load(
    *,
    path: str | Path,
    columns: Mapping[str, str | None],
    name: str | None = None,
    format: Mapping[str, Any] | None = None,
    time_format: str = "auto",
    not_after: str | date | None = None,
    weights: Weights | None = None,
    min_weight: float | None = None,
    binary: bool = False,
    items: Mapping[str, Any] | None = None,
    users: Mapping[str, Any] | None = None,
    on_bad_rows: OnBadRows = "refuse",
) -> Loaded:
    """A data set from one table of interactions and, when given, one of items and one of users.

    path: a text file, or a Parquet file by its ending `.parquet`; format: the fields of TextFormat; columns: which
    column is the `user`, `item`, `time`, and if there are such, the `weight` (a rating, a quantity) and the `kind` of
    event. A table without times says so with `time: null`: all rows are then at 1970-01-01 and cannot be split by time.

    time_format: auto, iso, seconds, milliseconds, microseconds, or a pattern such as "%d.%m.%Y %H:%M"; times without
    zone are UTC. not_after: the last possible day or time.

    weights: what each kind of event weighs, multiplied with the weight column if there is one; null leaves the kind
    out; a kind that is not named is a bad row. min_weight: rows with a smaller weight column are left out. binary: the
    weight column counts for min_weight only, each remaining row weighs 1 (or the weight of its kind). Users and items
    of rows that are left out stay in the vocabularies.

    items, users: `path`, `id` (the column of the ids), `columns` ({feature: column} or a list; default: all others by
    their own names), `types` ({feature: text or number}; default: number if every value is one), `format`, `rows` (one;
    or many, when the table is a log that names an id again and again: then the most common value holds).

    on_bad_rows: `refuse` raises one DataError for all bad rows; `drop` leaves them out and counts them in the report.
    """
    _check_options(columns, weights, min_weight, time_format)
    table, form = Path(path), text_format(format)
    frame, unreadable = read_table(table, form)
    roles = {role: column for role, column in columns.items() if column is not None}
    check_columns(roles.values(), frame, table)
    written, checks = _written(frame, roles, form, time_format, not_after, weights)
    rows, bad = sift(written, checks, table)
    key = [column for column in ("user", "item", "kind", "at") if column in rows.columns]
    rows, again = first_of(rows, key, "duplicate", table)
    known_items = FeatureTable.of(items, "items").load() if items is not None else None
    known_users = FeatureTable.of(users, "users").load() if users is not None else None
    sides = [known.problems for known in (known_items, known_users) if known]
    problems = settle([*unreadable, *bad, *again, *(p for side in sides for p in side)], on_bad_rows)

    kept = rows.filter(_counted(rows, weights, min_weight))
    n_read = len(frame) + sum(map(len, unreadable))
    if not len(kept):
        why = f"{len(rows):,} are left out by weights or min_weight; {summary(problems)}"
        raise DataError(f"{table}: of {n_read:,} rows none is left: {why}", problems)
    user_ids, item_ids = _vocabulary(rows["user"], known_users), _vocabulary(rows["item"], known_items)
    dataset = Dataset(
        name=name or table.stem,
        interactions=_numbered(kept, user_ids, item_ids, weights, binary),
        users=user_ids,
        items=item_ids,
        item_features=known_items.features(item_ids) if known_items else {},
        user_features=known_users.features(user_ids) if known_users else {},
    )
    orphans = [*_orphans(kept["item"], known_items, "item"), *_orphans(kept["user"], known_users, "user")]
    left_out = len(rows) - len(kept)
    report = validate(dataset, rows_read=n_read, left_out=left_out, problems=problems, findings=orphans)
    return Loaded(dataset=dataset, report=report)


def _check_options(
    columns: Mapping[str, str | None], weights: Weights | None, min_weight: float | None, time_format: str
) -> None:
    check_keys(columns, ROLES, "`columns`")
    for role in ("user", "item"):
        if not columns.get(role):
            raise ValueError(f"`columns` must say which column is the {role}, got {dict(columns)!r}")
    if "time" not in columns:
        raise ValueError("`columns` must say which column is the time; write `time: null` if the table has none")
    if weights is not None and not columns.get("kind"):
        raise ValueError("`weights` are by kind of event: `columns` must say which column is the kind")
    for kind, weight in (weights or {}).items():
        if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float)):
            raise ValueError(f"the weight of {kind!r} must be a number, or null to leave the kind out, got {weight!r}")
    if min_weight is not None and not columns.get("weight"):
        raise ValueError("`min_weight` needs a weight: `columns` must say which column it is")
    check_time_format(time_format)


def _written(
    frame: pl.DataFrame,
    roles: Mapping[str, str],
    form: TextFormat,
    time_format: str,
    not_after: str | date | None,
    weights: Weights | None,
) -> tuple[pl.DataFrame, list[Check]]:
    """The roles' columns, `at` (time in microseconds), LINE; and the checks of their rows."""
    ids = {role: text(frame[roles[role]], form.missing) for role in ("user", "item", "kind") if role in roles}
    values = {role: value(frame[roles[role]], form.missing) for role in ("time", "weight") if role in roles}
    checks = [Check(f"missing {role}", pl.col(role).is_null(), pl.lit("")) for role in ids]
    checks += [
        Check(f"zero byte in {role}", pl.col(role).str.contains("\0", literal=True), pl.col(role)) for role in ids
    ]
    if weights is not None:
        checks.append(Check("unknown kind", ~pl.col("kind").is_in(list(weights)), pl.col("kind")))
    if "time" in values:
        values["at"] = times(values["time"], time_format)
        checks += time_checks(not_after)
    else:
        values["at"] = pl.repeat(0, len(frame), dtype=pl.Int64, eager=True)
    if "weight" in values:
        checks.append(no_number("weight", values["weight"].dtype, needed=True))
    return pl.DataFrame({LINE: frame[LINE], **ids, **values}), checks


def _counted(rows: pl.DataFrame, weights: Weights | None, min_weight: float | None) -> pl.Series:
    """Which good rows the options do not leave out."""
    counted = pl.repeat(True, len(rows), dtype=pl.Boolean, eager=True)
    if weights is not None:
        counted &= rows["kind"].is_in([kind for kind, weight in weights.items() if weight is not None])
    if min_weight is not None:
        counted &= rows["weight"].cast(pl.Float64) >= min_weight
    return counted


def _vocabulary(ids: pl.Series, known: Known | None) -> Vocabulary:
    every = ids if known is None else pl.concat([ids, known.frame["id"].alias(ids.name)])
    return Vocabulary.of(every.unique().to_list())


def _numbered(
    rows: pl.DataFrame, users: Vocabulary, items: Vocabulary, weights: Weights | None, binary: bool
) -> Interactions:
    weight = np.ones(len(rows)) if binary or "weight" not in rows.columns else _float(rows["weight"])
    kinds, kind = _kinds(rows, weights)
    if weights is not None:
        weight = weight * np.array([weights[name] for name in kinds], np.float64)[kind]
    return Interactions.of(
        user=_numbers(rows["user"], users),
        item=_numbers(rows["item"], items),
        time=rows["at"].to_numpy().astype("datetime64[us]").astype("datetime64[s]"),
        weight=weight,
        kind=kind,
        kinds=kinds,
        n_users=len(users),
        n_items=len(items),
    )


def _kinds(rows: pl.DataFrame, weights: Weights | None) -> tuple[tuple[str, ...], NDArray[np.int8]]:
    """The names of the kinds (in the order of `weights`, else sorted), and each row's place in them."""
    if "kind" not in rows.columns:
        return ("interaction",), np.zeros(len(rows), np.int8)
    if weights is not None:
        names = [kind for kind, weight in weights.items() if weight is not None]
    else:
        names = rows["kind"].unique().sort().to_list()
    if len(names) > np.iinfo(np.int8).max:
        raise DataError(f"{len(names)} kinds of event, at most 127 are possible; is {names[0]!r} really a kind?")
    return tuple(names), rows["kind"].cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int8)


def _numbers(ids: pl.Series, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """As `vocabulary.numbers`, for columns of millions of rows."""
    return ids.cast(pl.Enum(vocabulary.ids.tolist())).to_physical().to_numpy().astype(np.int32)


def _float(column: pl.Series) -> NDArray[np.float64]:
    return column.cast(pl.Float64).to_numpy()


def _orphans(ids: pl.Series, known: Known | None, side: str) -> list[Finding]:
    """A warning for ids with interactions that the feature table does not have."""
    if known is None:
        return []
    orphan = ids.filter(~ids.is_in(known.frame["id"].to_list())).unique().sort()
    if not len(orphan):
        return []
    some = ", ".join(orphan.head(3).to_list())
    message = (
        f"{len(orphan):,} {side}s have interactions but no row in the {side} table: {some}{', ...' * (len(orphan) > 3)}"
    )
    return [Finding(code=f"orphan {side}s", count=len(orphan), total=ids.n_unique(), message=message)]
