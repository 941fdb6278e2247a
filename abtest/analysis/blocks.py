"""From a table of units that lies in this process to Moments: read once, in blocks that stay in a core's cache.

DuckDB and Arrow hold columns that numpy can read, and a dot product is several times faster than an engine's aggregate
of two columns. What is not plain (a hole, a negative count, a variant that nobody defined) is left to the query of
`abtest.analysis.reduction`, which says what and how much.
"""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias, TypeGuard

import ibis.expr.types as ir
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from abtest.analysis.engine import Source
from abtest.analysis.measures import ATTRIBUTE, column_of, measure_of, roles
from abtest.analysis.reduction import Reduced
from abtest.statistics.moments import Array, Moments
from abtest.types import Metric

ROWS = 122_880  # of a batch: a row group of DuckDB's
NUMBERS = 100_000  # of a block: they fit the cache
MOST = 8  # variants: each of them passes over every block
EVEN = 1e-13  # of its mean, a spread below which a column may be all the same
LOST = 1e-3  # of the spread around a first guess, what may be the guess's own error
LEFT = 1e-3  # of the spread of all variants together, the least to tell a variant's from by taking the others off

Batch: TypeAlias = tuple[NDArray[np.int8], list[NDArray[Any]]]
"""The number of each row's variant, -1 for one that nobody defined, and the columns of numbers."""


@dataclass(frozen=True)
class Column:
    """What a role of a metric reads: a column of the table, and what is done to its numbers."""

    name: str
    counted: bool = False
    cap: float | None = None
    at_least_zero: bool = False

    def plain(self, numbers: NDArray[Any]) -> bool:
        """Whether the metric can take the numbers of a batch; NaN and infinity show later, but for these."""
        fits = not self.at_least_zero or bool(numbers.min() >= 0)
        return fits and (self.cap is None or bool(numbers.max() < np.inf))

    def read(self, numbers: NDArray[Any], guess: float, out: Array) -> None:
        """The values of a block, less a guess at their mean."""
        if self.counted:
            np.subtract(numbers > 0, guess, out=out)
        elif self.cap is not None:
            np.subtract(np.minimum(numbers, self.cap), guess, out=out)
        else:
            np.subtract(numbers, guess, out=out)


def reduce_blocks(
    metrics: Sequence[Metric], source: Source, variants: Sequence[str], variant: str = "variant"
) -> Reduced | None:
    """What `reduction.reduce` gives of the same table; None where it must be asked: elsewhere, or not plain.

    source: one row per unit, with its variant in the column `variant` and the columns that the metrics name.
    Of the metrics, none is a quantile or capped at one.
    """
    places = {metric.name: [_column(metric, role) for role in roles(metric)] for metric in metrics}
    columns = list(dict.fromkeys(itertools.chain(*places.values())))
    names = list(dict.fromkeys(column.name for column in columns))
    if not 0 < len(variants) <= MOST or not _near(source, names, variant):
        return None
    sized = {m.name: columns.index(places[m.name][0]) for m in metrics if m.kind in ("mean", "ratio")}
    wanted = {
        (columns.index(one), columns.index(other))
        for group in places.values()
        for i, other in enumerate(group)
        for one in group[: i + 1]
    }
    sums = Sums.empty(columns, names, len(variants), sorted(set(sized.values())), sorted(wanted))
    with np.errstate(invalid="ignore"):  # what is infinite or NaN makes sums that are, and these are looked at
        if not all(sums.add(arm, numbers) for arm, numbers in _batches(source, names, variants, variant)):
            return None
        found = sums.moments()
    if found is None:
        return None
    there = [(arm, name) for arm, name in enumerate(variants) if found.n[arm]]
    labels = {metric.name: [str(columns.index(column)) for column in places[metric.name]] for metric in metrics}
    return Reduced(
        units={name: int(found.n[arm]) for arm, name in there},
        slates=dict.fromkeys((name for _, name in there), 0),
        moments={
            (m.name, name): replace(found.select(*labels[m.name])[arm], columns=roles(m))
            for m in metrics
            for arm, name in there
        },
        largest={(metric, name): float(sums.largest[arm, i]) for metric, i in sized.items() for arm, name in there},
    )


@dataclass
class Sums:
    """Counts (v,), sums (v, c) and sums of q products (v, q) of v variants, around one guess (c,) at the c means.

    columns: of the metrics, which read the columns `names` of the table; tops: of which the largest value is wanted;
    pairs: of columns, the products that the metrics need. The variant `rest`, the largest of the first block, is not
    added up: in its place all variants together are, and the others are taken off at the end. largest (v, c).
    """

    columns: Sequence[Column]
    names: Sequence[str]
    tops: Sequence[int]
    pairs: Sequence[tuple[int, int]]
    n: NDArray[np.int64]
    sums: Array
    products: Array
    largest: Array
    guess: Array | None = None
    rest: int = 0

    @classmethod
    def empty(
        cls,
        columns: Sequence[Column],
        names: Sequence[str],
        arms: int,
        tops: Sequence[int],
        pairs: Sequence[tuple[int, int]],
    ) -> Self:
        """Of no rows yet."""
        p = len(columns)
        n, sums, products = np.zeros(arms, np.int64), np.zeros((arms, p)), np.zeros((arms, len(pairs)))
        return cls(columns, names, tops, pairs, n, sums, products, np.full((arms, p), -np.inf))

    def add(self, arm: NDArray[np.int8], numbers: Sequence[NDArray[Any]]) -> bool:
        """Add the rows of a batch, of which `arm` numbers the variants; False where one of them is not plain."""
        by_name = dict(zip(self.names, numbers, strict=True))
        values = [by_name[column.name] for column in self.columns]
        if arm.min() < 0 or not all(map(Column.plain, self.columns, values)):
            return False
        self._look_for_tops(arm, values)
        p, size = len(values), max(NUMBERS // (len(values) + 1), 1000)
        if self.guess is None:
            first = np.zeros((p, min(size, len(arm))))
            for column, found, row in zip(self.columns, values, first, strict=True):
                column.read(found[:size], 0.0, row)
            self.guess, self.rest = first.mean(axis=1), int(np.bincount(arm[:size]).argmax())
            if not np.isfinite(self.guess).all():
                return False
        rows, own = np.empty((p, size)), np.empty((p, size))
        for start in range(0, len(arm), size):
            part = slice(start, min(start + size, len(arm)))
            whole, inner = rows[:, : part.stop - start], own[:, : part.stop - start]
            for column, found, guess, row in zip(self.columns, values, self.guess, whole, strict=True):
                column.read(found[part], guess, row)
            for number in range(len(self.n)):
                inside = arm[part] == number
                self.n[number] += np.count_nonzero(inside)
                mine = whole if number == self.rest else np.multiply(whole, inside, out=inner)
                self.sums[number] += mine.sum(axis=1)
                self.products[number] += [mine[i].dot(whole[j]) for i, j in self.pairs]
        return True

    def _look_for_tops(self, arm: NDArray[np.int8], values: Sequence[NDArray[Any]]) -> None:
        for i in self.tops:
            cap = self.columns[i].cap
            # few rows are above what was seen before; those of all variants at once, which is cheaper
            above = np.flatnonzero(values[i] > self.largest[:, i].min())
            for number in range(len(self.largest) if len(above) else 0):
                inside = values[i][above[arm[above] == number]]
                if len(inside):
                    top = float(inside.max())
                    self.largest[number, i] = max(self.largest[number, i], top if cap is None else min(top, cap))

    def moments(self) -> Moments | None:
        """By variant, columns named by their number, of `pairs` only; None where a spread cannot be told exactly."""
        if self.guess is None:
            return None
        p, one, other = len(self.columns), *np.transpose(self.pairs)
        total, products = self.sums.copy(), np.zeros((len(self.n), p, p))
        products[:, one, other] = products[:, other, one] = self.products
        together = products[self.rest].diagonal().copy()
        for values in (total, products):
            values[self.rest] -= np.delete(values, self.rest, axis=0).sum(axis=0)
        share = total / np.maximum(self.n, 1)[:, None]
        moved = share[:, :, None] * total[:, None, :]
        left, mean = products - moved, self.guess + share
        size, error = np.diagonal(left, axis1=1, axis2=2), np.diagonal(moved, axis1=1, axis2=2)
        unsure = (size < LOST * error) | (size < self.n[:, None] * (EVEN * mean) ** 2)
        if not np.isfinite(left).all() or unsure.any() or (size[self.rest] < LEFT * together).any():
            return None
        return Moments(tuple(map(str, range(p))), self.n, mean, left)


def _column(metric: Metric, role: str) -> Column:
    """As `reduction.value` has it."""
    measure = measure_of(metric, role)
    if measure is None:
        return Column(column_of(metric, role).removeprefix(ATTRIBUTE))
    if role == "denominator":
        return Column(measure.name, at_least_zero=True)
    counted = metric.kind == "proportion"
    return Column(measure.name, counted, None if metric.cap is None else float(metric.cap), at_least_zero=counted)


def _near(source: Source, names: Sequence[str], variant: str) -> TypeGuard[pa.Table | ir.Table]:
    """Whether the rows lie in this process, with the variant as text and plain numbers beside it."""
    if isinstance(source, pa.Table):
        kinds = dict(zip(source.schema.names, source.schema.types, strict=True))
        tests = pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean
        text = variant in kinds and "string" in str(kinds[variant])
        plain = all(name in kinds and any(test(kinds[name]) for test in tests) for name in names)
        return text and plain and not any(source[name].null_count for name in names)
    if not isinstance(source, ir.Table) or source.get_backend().name != "duckdb":
        return False
    types = dict(source.schema())
    plain = all(
        name in types and (types[name].is_integer() or types[name].is_floating() or types[name].is_boolean())
        for name in names
    )
    return plain and variant in types and bool(types[variant].is_string())


def _batches(
    source: pa.Table | ir.Table, names: Sequence[str], variants: Sequence[str], variant: str
) -> Iterator[Batch]:
    """The batches of a table that is `_near`."""
    if isinstance(source, pa.Table):
        text = pl.Series(pl.from_arrow(source[variant]))
        arm = np.full(source.num_rows, -1, np.int8)
        for number, name in enumerate(variants):
            arm += (text == name).fill_null(False).to_numpy().view(np.int8) * np.int8(number + 1)
        start = 0
        for batch in source.select(names).to_batches(ROWS):
            yield arm[start : start + batch.num_rows], [_numpy(column) for column in batch.columns]
            start += batch.num_rows
        return
    yield from _ahead(_fetched(source, names, variants, variant))


def _fetched(source: ir.Table, names: Sequence[str], variants: Sequence[str], variant: str) -> Iterator[Batch]:
    arm = source[variant].cases(*((name, number) for number, name in enumerate(variants)), else_=-1).cast("int8")
    # floats, as the engine makes them of integers while another thread adds them up
    columns = {f"column {i}": source[name].cast("float64") for i, name in enumerate(names)}
    engine = source.get_backend()
    for batch in engine.raw_sql(engine.compile(source.select(arm=arm, **columns))).to_arrow_reader(ROWS):
        yield _numpy(batch.column(0)), [_numpy(column) for column in batch.columns[1:]]


def _numpy(column: pa.Array) -> NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, the next of which is read by another thread while one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming: Future[Batch | None] = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch
