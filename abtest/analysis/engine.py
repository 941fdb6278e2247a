"""Where the rows are: Arrow tables and Parquet files in DuckDB, or tables of any engine that Ibis speaks."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend


class Frame(Protocol):
    """A frame of polars, pandas or anything else that gives an Arrow stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows, as a capsule."""


Source: TypeAlias = pa.Table | ir.Table | str | Path | Frame
"""An Arrow table, a polars or pandas frame, an Ibis table, a CSV or Parquet file, a folder of Parquet (the lake)."""

UNITS = 20
"""The number of units, as a power of two, up to which DuckDB keeps their groups in an array."""
SEQUENCE = "temp.main.bakeoff_numbers"
"""Where DuckDB's `a_number` counts."""
KINDS: Mapping[str, Callable[[dt.DataType], bool]] = {
    "text": lambda kind: kind.is_string(),
    "time": lambda kind: kind.is_timestamp(),
    "list": lambda kind: kind.is_array(),
    "number": lambda kind: kind.is_numeric() or kind.is_boolean(),
    "any": lambda kind: True,
}


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def nextval(sequence: str) -> int:  # type: ignore[empty-body]
    """DuckDB's next number of a sequence."""


def a_number(rows: ir.Table) -> ir.IntegerColumn:
    """A number for every row, without gaps, and another one each time that it is asked for; of a table from `opened`.

    By a sequence in DuckDB, whose windows number the rows of all threads in one of them.
    """
    return nextval(SEQUENCE) if isinstance(rows.get_backend(), Backend) else ibis.row_number()


@contextmanager
def opened(sources: Mapping[str, Source]) -> Iterator[list[ir.Table]]:
    """The sources as Ibis tables of one engine, in order: their own, or a DuckDB in memory that ends with the block."""
    sources = {name: arrow(source) for name, source in sources.items()}
    foreign = [isinstance(source, ir.Table) for source in sources.values()]
    if all(foreign):
        tables = [_nullable(source) for source in sources.values()]
        with _advised(tables[0].get_backend()):
            yield tables
        return
    if any(foreign):
        raise ValueError(f"{' and '.join(sources)} must all be Ibis tables or none of them: one engine joins them")
    connection = ibis.duckdb.connect()
    try:
        connection.settings["enable_progress_bar"] = False  # it would write over the terminal
        with _advised(connection):
            yield [_attach(connection, name, source) for name, source in sources.items()]
    finally:
        connection.disconnect()


@contextmanager
def _advised(backend: BaseBackend) -> Iterator[None]:
    """What DuckDB cannot guess of these queries, told until the block ends, and a sequence for `a_number`; other
    engines are left alone.

    Units have numbers without gaps, so groups of them are an array, not a hash table. And joins keep the units in
    memory, as they are written, not the events: their filters make the events look fewer than they are.
    """
    if not isinstance(backend, Backend):
        yield
        return
    backend.con.execute(f"CREATE OR REPLACE TEMP SEQUENCE {SEQUENCE} MINVALUE 0 START 0")
    try:
        with _advice(backend):
            yield
    finally:
        backend.con.execute(f"DROP SEQUENCE IF EXISTS {SEQUENCE}")


@contextmanager
def _advice(backend: Backend) -> Iterator[None]:
    names = "perfect_ht_threshold", "disabled_optimizers"
    before = {name: _setting(backend, name) for name in names}
    disabled = ",".join(filter(None, [before["disabled_optimizers"], "build_side_probe_side"]))
    advice = dict(zip(names, (UNITS, disabled), strict=True))
    try:
        for name, value in advice.items():
            backend.con.execute(f"SET {name} = '{value}'")
    except duckdb.InvalidInputException:  # the settings are locked: slower, and as right
        yield
        return
    try:
        yield
    finally:
        for name, value in before.items():
            backend.con.execute(f"SET {name} = '{value}'")


def _setting(backend: Backend, name: str) -> str:
    """A setting by name, without the table of all settings, which takes milliseconds to make."""
    (value,) = backend.con.execute(f"SELECT current_setting('{name}')::VARCHAR").fetchone()
    return value or ""


def arrow(source: Source) -> Source:
    """A frame of polars or pandas as an Arrow table, without a copy where it can be; anything else as it is."""
    frame = hasattr(source, "__arrow_c_stream__") and not isinstance(source, ir.Table | pa.Table)
    return pa.table(source) if frame else source


def _attach(connection: Backend, name: str, source: Source) -> ir.Table:
    if isinstance(source, pa.Table):
        connection.con.register(name, source)  # scanned where it lies, not copied
        return connection.table(name)
    if not isinstance(source, str | Path):
        raise TypeError(
            f"{name} must be an Arrow table, a frame, an Ibis table or a path to Parquet, got {type(source).__name__}"
        )
    path = Path(source)
    files = sorted(map(str, path.rglob("*.parquet"))) if path.is_dir() else [str(path)]
    if not files or not Path(files[0]).exists():
        raise FileNotFoundError(f"{name}: no Parquet or CSV at {path}")
    if path.suffix == ".csv":
        # types from every row: a column whose first rows look like numbers may hold words further down
        return connection.read_csv(files, table_name=name, sample_size=-1)
    return connection.read_parquet(files, table_name=name)


def _nullable(table: ir.Table) -> ir.Table:
    """The table without NOT NULL promises: Ibis takes no union of columns that promise differently."""
    promised = {name: kind(nullable=True) for name, kind in table.schema().items() if not kind.nullable}
    return table.cast(promised) if promised else table


def check_columns(table: ir.Table, name: str, columns: Mapping[str, str]) -> None:
    """Refuse a table that lacks a column or holds something else in it; columns: name -> a key of KINDS."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{name} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}")
    for column, wanted in columns.items():
        found = table.schema()[column]
        if not KINDS[wanted](found):
            raise ValueError(f"{name}: column {column} must be {wanted}, got {found}")
