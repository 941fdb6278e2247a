"""Delimited text to columns of text, every row with its physical line; lines that cannot be read become problems."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.problems import DataError, Problem

LINE = "\0line"
"""The column that holds the line number; no header can have this name."""
CHUNK = 100_000
"""Quoted rows that are Python objects at a time."""
NEWLINE, RETURN = 10, 13
SHOWN = 80
"""Characters of an unreadable line that are kept to show."""

Lines = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How a text file is written.

    quote: the character around values that hold a delimiter or a line break, None if there is none; header: the names
    of the columns for a file whose first line is data; missing: values that mean nothing is there (white space around
    a value never counts).
    """

    delimiter: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"
    header: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ("", "NA", "NaN", "nan", "NULL", "null", "None", "\\N")

    def __post_init__(self) -> None:
        if not self.delimiter or not self.delimiter.isascii() or "\n" in self.delimiter:
            raise ValueError(f"delimiter must be one or more ASCII characters, got {self.delimiter!r}")
        if self.quote is not None and (len(self.quote) != 1 or len(self.delimiter) != 1):
            raise ValueError(
                f"quote must be one character beside a delimiter of one character, got {self.quote!r} and "
                f"{self.delimiter!r}; set `quote: null` for a file without quotes"
            )
        try:
            codecs.lookup(self.encoding)
        except (LookupError, TypeError):
            raise ValueError(f"unknown encoding {self.encoding!r}; such as utf-8, latin-1, cp1252, utf-16") from None


def read(path: Path, form: TextFormat) -> tuple[pl.DataFrame, list[Problem]]:
    """The readable rows of a text file as columns of text plus LINE, and the problems of the other lines."""
    data = _utf8(path, form)
    header, start, line = _header(path, data, form)
    body = memoryview(data)[start:]
    undecodable = _undecodable(body)
    if form.quote is not None and form.quote.encode() in data:
        return _quoted(path, bytes(body), header, line, undecodable, form)
    return _plain(path, body, header, line, undecodable, form)


def _utf8(path: Path, form: TextFormat) -> bytes:
    """The file's bytes in UTF-8; lines that are not valid UTF-8 are found later, one by one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; check the path") from None
    if form.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "ascii"):
        data = data.removeprefix(b"\xef\xbb\xbf")  # the byte-order mark that spreadsheets write
        return data if b"\n" in data else data.replace(b"\r", b"\n")  # lines as on very old Macs
    try:
        return data.decode(form.encoding).encode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem.at(str(path), "wrong encoding", line, repr(data[error.start : error.end]))
        raise DataError(f"{path}:{line}: not {form.encoding} ({error.reason}); set its encoding", [problem]) from None


def _header(path: Path, data: bytes, form: TextFormat) -> tuple[tuple[str, ...], int, int]:
    """The names of the columns, where the rows start, and the line number of the first row."""
    if form.header is not None:
        names, end, line = form.header, 0, 1
    else:
        start = len(data) - len(data.lstrip(b"\r\n"))
        end = data.find(b"\n", start) + 1 or len(data)
        if not _decodes(memoryview(data)[start:end]):
            raise DataError(f"{path}: the header {data[start:end][:SHOWN]!r} is not {form.encoding}; set its encoding")
        text = data[start:end].decode().strip("\r\n")
        if not text:
            raise DataError(f"{path} is empty; expected a header line and rows")
        values = text.split(form.delimiter) if form.quote is None else _fields(text, form)
        names, line = tuple(name.strip() for name in values), data.count(b"\n", 0, end) + 1
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: the column {twice[0]!r} is named twice in the header {', '.join(names)}")
    return names, end, line


def _undecodable(body: memoryview) -> Lines:
    """Places (0 = first line of the body) of lines that are not UTF-8; only lines beyond ASCII are looked at."""
    buffer = np.frombuffer(body, np.uint8)
    high = np.flatnonzero(buffer >= 0x80)
    if not len(high):
        return np.zeros(0, np.int64)
    starts, ends = _bounds(buffer)
    suspects = np.unique(np.searchsorted(ends, high))
    bad = [place for place in suspects.tolist() if not _decodes(body[starts[place] : ends[place]])]
    return np.array(bad, np.int64)


def _decodes(line: memoryview) -> bool:
    try:
        str(line, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _bounds(buffer: NDArray[np.uint8]) -> tuple[Lines, Lines]:
    """Where each line starts, and where its newline is (the end of the data for an unfinished last line)."""
    ends = np.flatnonzero(buffer == NEWLINE)
    if len(buffer) and buffer[-1] != NEWLINE:
        ends = np.append(ends, len(buffer))
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1] + 1
    return starts, ends


def _plain(
    path: Path, body: memoryview, header: tuple[str, ...], first: int, undecodable: Lines, form: TextFormat
) -> tuple[pl.DataFrame, list[Problem]]:
    """A body without quotes: a line is a row, so widths are counted and rows cut without a Python loop."""
    if len(form.delimiter) > 1:
        body, delimiter = memoryview(bytes(body).replace(form.delimiter.encode(), b"\x1f")), "\x1f"
    else:
        delimiter = form.delimiter
    buffer = np.frombuffer(body, np.uint8)
    starts, ends = _bounds(buffer)
    if not len(starts):
        return _frame([], header, starts), []
    blank = (ends == starts) | ((ends == starts + 1) & (buffer[starts] == RETURN))
    widths = 1 + np.diff(np.searchsorted(np.flatnonzero(buffer == ord(delimiter)), ends), prepend=0)
    unreadable = np.zeros(len(starts), bool)
    unreadable[undecodable] = True
    ragged = ~blank & ~unreadable & (widths != len(header))
    keep = ~blank & ~unreadable & ~ragged
    if not keep.all():
        lengths = np.diff(starts, append=len(buffer))
        buffer = buffer[np.repeat(keep, lengths)]

    def shown(places: Lines) -> tuple[str, ...]:
        return tuple(str(body[starts[p] : ends[p]], "utf-8", "backslashreplace")[:SHOWN] for p in places.tolist())

    wrong = np.flatnonzero(ragged)
    problems = [
        Problem(file=str(path), kind="wrong encoding", lines=undecodable + first, values=shown(undecodable)),
        Problem(file=str(path), kind=f"not {len(header)} columns", lines=wrong + first, values=shown(wrong)),
    ]
    lines = np.flatnonzero(keep) + first
    if not len(lines):
        return _frame([], header, lines), problems
    frame = pl.read_csv(
        io.BytesIO(buffer.tobytes()),
        has_header=False,
        schema=dict.fromkeys(header, pl.String),
        separator=delimiter,
        quote_char=None,
    )
    assert len(frame) == len(lines), f"{path}: {len(frame)} rows from {len(lines)} lines"
    return frame.with_columns(pl.Series(LINE, lines)), problems


def _quoted(
    path: Path, body: bytes, header: tuple[str, ...], first: int, undecodable: Lines, form: TextFormat
) -> tuple[pl.DataFrame, list[Problem]]:
    """A body with quotes: a value may run over several lines, so the reader that knows its line numbers is asked."""
    frames: list[pl.DataFrame] = []
    broken: dict[str, list[tuple[int, str]]] = {"wrong encoding": [], f"not {len(header)} columns": [], "quoting": []}
    unreadable = set((undecodable + first).tolist())
    records = _records(path, body.decode("utf-8", errors="backslashreplace"), first, form)
    while chunk := list(islice(records, CHUNK)):
        good: list[list[str]] = []
        lines: list[int] = []
        for line, last, values in chunk:
            if isinstance(values, str):
                broken["quoting"].append((line, values))
            elif unreadable and not unreadable.isdisjoint(range(line, last + 1)):
                broken["wrong encoding"].append((line, form.delimiter.join(values)[:SHOWN]))
            elif len(values) != len(header):
                broken[f"not {len(header)} columns"].append((line, form.delimiter.join(values)[:SHOWN]))
            else:
                good.append(values)
                lines.append(line)
        frames.append(_frame(good, header, np.array(lines, np.int64)))
    problems = [
        Problem(
            file=str(path),
            kind=kind,
            lines=np.array([line for line, _ in rows], np.int64),
            values=tuple(value for _, value in rows),
        )
        for kind, rows in broken.items()
    ]
    return pl.concat([_frame([], header, np.zeros(0, np.int64)), *frames]), problems


def _records(path: Path, text: str, first: int, form: TextFormat) -> Iterator[tuple[int, int, list[str] | str]]:
    """(first line, last line, values) of each row; instead of values the message where the quoting is broken."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=form.delimiter, quotechar=form.quote, strict=True)
    done = 0
    while True:
        start = first + done
        values: list[str] | str
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error) or "field limit" in str(error):
                problem = Problem.at(str(path), "quoting", start, str(error))
                raise DataError(
                    f"{path}:{start}: a quote is opened and never closed, so the rest of the file would be one value; "
                    f"correct the line, or set `quote: null` in the format if quotes mean nothing in this file",
                    [problem],
                ) from None
            values = str(error)
        done = reader.line_num
        if values:  # an empty line has no values
            yield start, first + done - 1, values


def _fields(text: str, form: TextFormat) -> list[str]:
    return next(csv.reader([text], delimiter=form.delimiter, quotechar=form.quote))


def _frame(rows: list[list[str]], header: tuple[str, ...], lines: Lines) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    data = {name: pl.Series(name, values, dtype=pl.String) for name, values in zip(header, columns, strict=True)}
    return pl.DataFrame({**data, LINE: pl.Series(LINE, lines, dtype=pl.Int64)})
