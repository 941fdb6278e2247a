from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.data.problems import DataError
from recsys.data.sources.loaded import Loaded
from recsys.data.sources.loader import load
from recsys.data.split import temporal

Write = Callable[..., Path]
COLUMNS = {"user": "user", "item": "item", "time": "time"}
RATED = COLUMNS | {"weight": "rating"}


def rows(loaded: Loaded) -> list[tuple[str, str, float, str, str]]:
    data, log = loaded.dataset, loaded.dataset.interactions
    return [
        (str(data.users.ids[u]), str(data.items.ids[i]), float(w), str(t), log.kinds[k])
        for u, i, w, t, k in zip(log.user, log.item, log.weight, log.time, log.kind, strict=True)
    ]


def problems(loaded: Loaded) -> dict[str, list[int]]:
    return {problem.kind: problem.lines.tolist() for problem in loaded.report.problems}


def test_a_csv_of_ratings(write: Write) -> None:
    path = write("log.csv", "user,item,rating,time", "b,10,4.5,2000", "a,9,1,1000")
    loaded = load("table", path=path, columns=RATED)
    assert rows(loaded) == [
        ("a", "9", 1.0, "1970-01-01T00:16:40", "interaction"),
        ("b", "10", 4.5, "1970-01-01T00:33:20", "interaction"),
    ]
    assert (loaded.dataset.name, loaded.report.rows_read, loaded.report.dropped) == ("log", 2, 0)
    assert loaded.truth is None


def test_parquet_gives_the_same_data_set_as_csv(write: Write, tmp_path: Path) -> None:
    csv = write("log.csv", "user,item,rating,time", "7,10,4.5,2000", "8,9,1,1000")
    frame = pl.DataFrame({"user": [7.0, 8.0], "item": [10, 9], "rating": [4.5, 1.0], "time": [2000, 1000]})
    typed = frame.with_columns(pl.from_epoch("time", time_unit="s").dt.replace_time_zone("Europe/Madrid"))
    frame.write_parquet(tmp_path / "log.parquet")
    typed.with_columns(pl.col("time").dt.convert_time_zone("UTC").dt.replace_time_zone(None)).with_columns(
        pl.col("time") + pl.duration(hours=1)  # Madrid was an hour ahead of UTC
    ).write_parquet(tmp_path / "typed.parquet")
    fingerprints = {
        load("table", path=path, columns=RATED, name="log").dataset.fingerprint
        for path in (csv, tmp_path / "log.parquet", tmp_path / "typed.parquet")
    }
    assert len(fingerprints) == 1


BAD = (
    "user,item,rating,time",
    "a,1,5,1000",
    ",1,5,1000",  # 3
    "a,,5,1000",  # 4
    "a,2,five,1000",  # 5
    "a,2,inf,1000",  # 6
    "a,2,,1000",  # 7
    "a,2,5,soon",  # 8
    "a,2,5,",  # 9
    "a,2,5,-5",  # 10
    "a,1,4,1000",  # 11: the same user, item and time as line 2
    "a,2,5",  # 12
    "",
    "b,2,3,2000",  # 14
)
FOUND = {
    "not 4 columns": [12],
    "missing user": [3],
    "missing item": [4],
    "weight is no number": [5, 6, 7],
    "unreadable time": [8],
    "missing time": [9],
    "impossible time": [10],
    "duplicate": [11],
}


def test_every_bad_row_is_dropped_and_counted_with_its_line(write: Write) -> None:
    loaded = load("table", path=write("log.csv", *BAD), columns=RATED, on_bad_rows="drop")
    assert problems(loaded) == FOUND
    assert [(user, item) for user, item, *_ in rows(loaded)] == [("a", "1"), ("b", "2")]
    assert (loaded.report.rows_read, loaded.report.rows_kept, loaded.report.dropped) == (12, 2, 10)
    assert any(line.endswith("log.csv:5: weight is no number: 'five'") for line in loaded.report.lines())


def test_bad_rows_are_refused_by_default_with_counts_lines_and_cure(write: Write) -> None:
    with pytest.raises(DataError) as refused:
        load("table", path=write("log.csv", *BAD), columns=RATED)
    assert {problem.kind: problem.lines.tolist() for problem in refused.value.problems} == FOUND
    assert "10 bad rows" in str(refused.value)
    assert "log.csv:8: unreadable time: 'soon'" in str(refused.value)
    assert "`on_bad_rows: drop`" in str(refused.value)


def test_rows_of_a_bad_parquet_file_are_numbered_from_one(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user": [1, None, 2], "item": ["x", "x", "y"], "time": [1, 1, -1]}).write_parquet(path)
    assert problems(load("table", path=path, columns=COLUMNS, on_bad_rows="drop")) == {
        "missing user": [2],
        "impossible time": [3],
    }


def test_an_id_with_a_zero_byte_is_a_bad_row(write: Write) -> None:
    # numpy would cut the byte off the end of the id, and two ids would become one
    path = write("log.csv", "user,item,time", "a\0,1,1", "a,1,1")
    assert problems(load("table", path=path, columns=COLUMNS, on_bad_rows="drop")) == {"zero byte in user": [2]}


def test_retail_rocket(write: Write) -> None:
    path = write(
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid",
        "1433221332117,257597,view,355908,",
        "1433224214164,992329,addtocart,248676,",
        "1433222276276,111016,transaction,318965,4000",
        "1433221332118,257597,view,355908,",  # a millisecond later is another event
        "1433222276276,111016,refund,318965,4000",
    )
    loaded = load(
        "table",
        path=path,
        columns={"user": "visitorid", "item": "itemid", "time": "timestamp", "kind": "event"},
        weights={"view": 1, "addtocart": 3, "transaction": 5},
        on_bad_rows="drop",
    )
    assert rows(loaded) == [
        ("257597", "355908", 1.0, "2015-06-02T05:02:12", "view"),
        ("257597", "355908", 1.0, "2015-06-02T05:02:12", "view"),
        ("111016", "318965", 5.0, "2015-06-02T05:17:56", "transaction"),
        ("992329", "248676", 3.0, "2015-06-02T05:50:14", "addtocart"),
    ]
    assert problems(loaded) == {"unknown kind": [6]}


def test_goodbooks_has_no_times_and_says_so(write: Write) -> None:
    path = write("ratings.csv", "user_id,book_id,rating", "1,258,5", "2,4081,4", "2,258,4")
    columns: dict[str, str | None] = {"user": "user_id", "item": "book_id", "weight": "rating"}
    with pytest.raises(ValueError, match="write `time: null` if the table has none"):
        load("table", path=path, columns=columns)
    loaded = load("table", path=path, columns=columns | {"time": None})
    assert {time for _, _, _, time, _ in rows(loaded)} == {"1970-01-01T00:00:00"}
    assert "no times" in {finding.code for finding in loaded.report.findings}
    with pytest.raises(DataError, match="has no times; use random_holdout"):
        temporal(loaded.dataset)


def test_kinds_weigh_multiply_and_may_be_left_out(write: Write) -> None:
    path = write("log.csv", "user,item,time,kind,n", "a,1,1,buy,2", "a,2,2,view,3", "b,3,3,impression,1", "b,4,4,buy,1")
    params: dict[str, Any] = {"path": path, "columns": COLUMNS | {"kind": "kind", "weight": "n"}}
    loaded = load("table", **params, weights={"view": 1, "buy": 5, "impression": None})
    assert [(item, weight, kind) for _, item, weight, _, kind in rows(loaded)] == [
        ("1", 10.0, "buy"),
        ("2", 3.0, "view"),
        ("4", 5.0, "buy"),
    ]
    assert loaded.report.left_out == 1
    assert loaded.dataset.items.ids.tolist() == ["1", "2", "3", "4"]
    plain = load("table", **params)
    assert plain.dataset.interactions.kinds == ("buy", "impression", "view")


def test_a_minimum_weight_keeps_positives_and_binary_forgets_their_size(write: Write) -> None:
    path = write("log.csv", "user,item,rating,time", "a,1,5,1", "a,2,2,2", "b,1,4,3")
    loaded = load("table", path=path, columns=RATED, min_weight=4, binary=True)
    assert [(user, item, weight) for user, item, weight, *_ in rows(loaded)] == [("a", "1", 1.0), ("b", "1", 1.0)]
    assert loaded.report.left_out == 1


def test_features_follow_the_vocabulary_and_orphans_are_a_warning(write: Write) -> None:
    log = write("log.csv", "user,item,time", "a,20,1", "b,99,2")
    goods = write(
        "goods.csv", "sku;name;eur;code", "3;Lamp;12.5;1", "20;Stool;;2", "20;Stool again;1;2", encoding="cp1252"
    )
    people = write("people.csv", "id,country,age", "b,DE,30", "c,FR,x")
    loaded = load(
        "table",
        path=log,
        columns=COLUMNS,
        items={
            "path": goods,
            "id": "sku",
            "columns": {"title": "name", "price": "eur", "code": "code"},
            "types": {"code": "text"},
            "format": {"delimiter": ";", "encoding": "cp1252"},
        },
        users={"path": people, "id": "id"},
        on_bad_rows="drop",
    )
    data = loaded.dataset
    assert data.items.ids.tolist() == ["20", "3", "99"]
    assert data.item_features["title"].tolist() == ["Stool", "Lamp", ""]
    assert data.item_features["code"].tolist() == ["2", "1", ""]
    np.testing.assert_array_equal(data.item_features["price"], [np.nan, 12.5, np.nan])
    assert data.user_features["age"].tolist() == ["", "30", "x"]  # one word makes a column text
    assert data.users.ids.tolist() == ["a", "b", "c"]
    assert problems(loaded) == {"second row of an id": [4]}
    orphans = {finding.code: finding for finding in loaded.report.findings if finding.code.startswith("orphan")}
    assert orphans["orphan items"].count == 1
    assert "1 items have interactions but no row in the item table: 99" in orphans["orphan items"].message
    assert orphans["orphan users"].count == 1


def test_a_feature_that_must_be_a_number_makes_bad_rows(write: Write) -> None:
    log = write("log.csv", "user,item,time", "a,1,1", "a,2,2")
    goods = write("goods.csv", "id,price", "1,5", "2,cheap", ",4", "3,")
    params: dict[str, Any] = {"path": log, "columns": COLUMNS}
    items = {"path": goods, "id": "id", "types": {"price": "number"}}
    loaded = load("table", **params, items=items, on_bad_rows="drop")
    assert problems(loaded) == {"price is no number": [3], "missing id": [4]}
    np.testing.assert_array_equal(loaded.dataset.item_features["price"], [5, np.nan, np.nan])


def test_of_a_log_the_most_common_value_of_an_item_holds(write: Write) -> None:
    lines = ["a,1,1,Lamp,5", "b,1,2,lost?,0", "a,2,3,,7", "c,1,4,Lamp,6", "c,2,5,Stool,7", "d,3,6,b,1", "e,3,7,a,1"]
    log = write("log.csv", "user,item,time,name,eur", *lines)
    items = {"path": log, "id": "item", "columns": {"title": "name", "price": "eur"}, "rows": "many"}
    loaded = load("table", path=log, columns=COLUMNS, items=items)
    assert problems(loaded) == {}
    assert loaded.dataset.item_features["title"].tolist() == ["Lamp", "Stool", "a"]
    assert loaded.dataset.item_features["price"].tolist() == [0.0, 7.0, 1.0]
    with pytest.raises(ValueError, match=r"`rows` of .* must be one of one, many, got 'all'"):
        load("table", path=log, columns=COLUMNS, items=items | {"rows": "all"})


def test_a_million_rows_are_read_in_columns(tmp_path: Path, rng: np.random.Generator) -> None:
    n, path = 1_000_000, tmp_path / "log.csv"
    user, item = rng.integers(0, 50_000, n), rng.integers(0, 5_000, n)
    pl.DataFrame({"user": user, "item": item, "time": np.arange(n) + 10**9}).write_csv(path)
    loaded = load("table", path=path, columns=COLUMNS)
    log = loaded.dataset.interactions  # in the order of the file, as times rise
    assert (loaded.dataset.users.ids[log.user].astype(int) == user).all()
    assert (loaded.dataset.items.ids[log.item].astype(int) == item).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": COLUMNS | {"user": "uid"}}, "has no column 'uid'; it has: user, item, time, kind"),
        ({"columns": COLUMNS | {"usr": "user"}}, "`columns` has no parameter 'usr'; did you mean 'user'"),
        ({"columns": {"item": "item", "time": None}}, "`columns` must say which column is the user"),
        ({"colums": {}}, "source 'table' has no parameter 'colums'; did you mean 'columns'"),
        ({"format": {"delimter": ";"}}, "`format` has no parameter 'delimter'; did you mean 'delimiter'"),
        ({"format": {"delimiter": ";"}}, "has no column 'user', 'item', 'time'; it has: user,item,time,kind"),
        ({"time_format": "unix"}, "time_format must be auto, iso, seconds"),
        ({"weights": {"view": 1}}, "`weights` are by kind of event"),
        (
            {"columns": COLUMNS | {"kind": "kind"}, "weights": {"view": "x"}},
            "weight of 'view' must be a number, or null",
        ),
        ({"min_weight": 3}, "`min_weight` needs a weight"),
        ({"items": {"path": "goods.csv"}}, "`items` needs 'id'; got path"),
        ({"items": {"path": "goods.csv", "id": "id"}}, "goods.csv: No such file"),
        ({"not_after": "1970-01-01"}, "impossible time: 1 in"),
        ({"path": "none.parquet"}, "none.parquet cannot be read as Parquet"),
    ],
)
def test_a_mapping_that_does_not_fit_says_what_it_found(write: Write, change: dict[str, Any], message: str) -> None:
    path = write("log.csv", "user,item,time,kind", "a,1,2000000,view")
    with pytest.raises(ValueError, match=message):
        load("table", **{"path": path, "columns": COLUMNS, **change})


def test_a_log_with_nothing_left_is_refused(write: Write) -> None:
    path = write("log.csv", "user,item,rating,time", "a,1,2,1", ",1,5,1")
    with pytest.raises(DataError, match=r"of 2 rows none is left: 1 are left out by .*; 1 bad row:"):
        load("table", path=path, columns=RATED, min_weight=4, on_bad_rows="drop")
