import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.problems import DataError
from recsys.data.sources.delimited import LINE, TextFormat, read

Write = Callable[..., Path]
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], include_characters='\n",'), max_size=6)


def found(path: Path, **form: object) -> tuple[list[tuple[object, ...]], list[tuple[str, list[int]]]]:
    frame, problems = read(path, TextFormat(**form))  # type: ignore[arg-type]
    return frame.rows(), [(p.kind, p.lines.tolist()) for p in problems if len(p)]


def test_lines_are_physical_and_blank_ones_count(write: Write) -> None:
    path = write("a.csv", "", "a,b", "1,2", "", "\r", "3,", "5,6\r")
    assert found(path)[0] == [("1", "2", 3), ("3", None, 6), ("5", "6", 7)]


def test_lines_may_end_in_any_way(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "a.csv").write_bytes(end.join(("a,b", "1,2", "3,4")).encode())
        assert found(tmp_path / "a.csv")[0] == [("1", "2", 2), ("3", "4", 3)]


def test_a_quoted_value_may_run_over_lines(write: Write) -> None:
    path = write("a.csv", "a,b", '1,"two', 'lines, and ""quotes"""', "3,4")
    assert found(path)[0] == [("1", 'two\nlines, and "quotes"', 2), ("3", "4", 4)]


@pytest.mark.parametrize("quoted", ["", '"'])
def test_rows_of_another_width_are_problems_with_their_line(write: Write, quoted: str) -> None:
    path = write("a.csv", "a,b", f"{quoted}1{quoted},2", "1,2,3", "", "7", "8,9")
    rows, problems = found(path)
    assert rows == [("1", "2", 2), ("8", "9", 6)]
    assert problems == [("not 2 columns", [3, 5])]


@pytest.mark.parametrize("quoted", ["", '"'])
def test_a_line_in_another_encoding_is_a_problem_with_its_line(tmp_path: Path, quoted: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"a,b\n{quoted}Zoë{quoted},1\n".encode() + "Zoë,2\n".encode("latin-1") + b"x,3\n")
    rows, problems = found(path)
    assert rows == [("Zoë", "1", 2), ("x", "3", 4)]
    assert problems == [("wrong encoding", [3])]
    assert found(path, encoding="latin-1")[0][1] == ("Zoë", "2", 3)


def test_a_whole_encoding_that_does_not_fit_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"a.csv:2: not utf-16 .* set its encoding"):
        read(write("a.csv", "a,b", "1,23"), TextFormat(encoding="utf-16"))


def test_utf_16_and_byte_order_marks_are_read(write: Write) -> None:
    assert found(write("a.csv", "a,b", "ä,2", encoding="utf-16"), encoding="utf-16")[0] == [("ä", "2", 2)]
    assert found(write("b.csv", "a,b", "ä,2", encoding="utf-8-sig"))[0] == [("ä", "2", 2)]


def test_a_quote_that_is_never_closed_is_refused_where_it_opens(write: Write) -> None:
    path = write("a.csv", "a,b", "1,2", '3,"4', "5,6")
    with pytest.raises(DataError, match=r"a.csv:3: a quote is opened and never closed.*`quote: null`"):
        read(path, TextFormat())
    assert found(path, quote=None)[0][1] == ("3", '"4', 3)


def test_text_behind_a_closing_quote_is_a_problem_of_that_line(write: Write) -> None:
    rows, problems = found(write("a.csv", "a,b", '"1"x,2', '"3",4'))
    assert rows == [("3", "4", 3)]
    assert problems == [("quoting", [2])]


def test_files_without_header_and_with_long_delimiters(write: Write) -> None:
    path = write("a.dat", "1::2", "3::4::5", "6::7")
    rows, problems = found(path, header=("a", "b"), delimiter="::", quote=None)
    assert rows == [("1", "2", 1), ("6", "7", 3)]
    assert problems == [("not 2 columns", [2])]


@pytest.mark.parametrize("rows", [(), ("1,2,3",)])
def test_a_file_without_a_readable_row_has_its_columns(write: Write, rows: tuple[str, ...]) -> None:
    frame, _ = read(write("a.csv", "a,b", *rows), TextFormat())
    assert (frame.columns, len(frame)) == (["a", "b", LINE], 0)


def test_what_is_no_table_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty; expected a header"):
        read(write("a.csv", ""), TextFormat())
    with pytest.raises(DataError, match="the column 'a' is named twice"):
        read(write("a.csv", "a,b,a"), TextFormat())
    with pytest.raises(DataError, match=r"the header .* is not utf-8; set its encoding"):
        read(write("a.csv", "ü,b", encoding="latin-1"), TextFormat())
    with pytest.raises(DataError, match="No such file"):
        read(tmp_path / "none.csv", TextFormat())


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"delimiter": ""}, "delimiter must be one or more ASCII characters"),
        ({"delimiter": "::"}, "set `quote: null`"),
        ({"encoding": "klingon"}, "unknown encoding 'klingon'"),
    ],
)
def test_a_format_that_cannot_be_is_refused(form: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextFormat(**form)  # type: ignore[arg-type]


@given(st.lists(st.tuples(VALUES.filter(bool), VALUES), min_size=1, max_size=8))
def test_what_the_standard_library_writes_is_read_back_with_its_lines(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.csv"
    text, lines = "a,b\n", []
    for row in values:
        lines.append(text.count("\n") + 1)
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        text += line.getvalue()
    path.write_text(text, encoding="utf-8", newline="")
    frame, problems = read(path, TextFormat())
    assert [(a, b or "", line) for a, b, line in frame.rows()] == [
        (*row, line) for row, line in zip(values, lines, strict=True)
    ]
    assert not any(map(len, problems))
