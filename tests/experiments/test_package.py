from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from experiments.home import Home
from experiments.loop import Outcome
from experiments.package import Package
from experiments.pyfunc import ids
from experiments.registry import Registry
from experiments.tracking import address
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.sources.loaded import Loaded
from recsys.data.vocabulary import Vocabulary
from recsys.models import base
from recsys.models.base import create
from recsys.models.popularity import Popularity

PARTS = [{"model": "popularity", "params": {}}, {"model": "item_knn", "params": {"neighbours": 20}}]


@pytest.fixture(scope="module")
def dataset(loaded: Loaded) -> Dataset:
    return loaded.dataset


@pytest.fixture(scope="module", params=["item_knn", "fusion"])
def package(request: pytest.FixtureRequest, dataset: Dataset) -> Package:
    params = {"parts": PARTS, "weights": [0.2, 1.0]} if request.param == "fusion" else {}
    return Package(
        model=create(request.param, **params).fit(dataset),
        fallback=Popularity().fit(dataset),
        users=dataset.users,
        items=dataset.items,
        histories=dataset.interactions,
        titles=dataset.item_features["title"].astype(str),
    )


def seen(package: Package, user: str) -> set[int]:
    number = package.users.numbers([user])[0]
    return set(package.histories.item[package.histories.user == number].tolist())


def event(package: Package, user: str, item: int) -> Interactions:
    like = package.histories
    return Interactions.of(
        user=package.users.numbers([user]),
        item=np.array([item]),
        time=like.time[-1:],
        kinds=like.kinds,
        n_users=like.n_users,
        n_items=like.n_items,
    )


def test_a_package_read_back_gives_the_same_lists(package: Package, tmp_path: Path) -> None:
    package.save(tmp_path / "p")
    again = Package.load(tmp_path / "p")
    users = [*package.users.ids.tolist(), "stranger"]
    before, after = package.recommend(users, 7), again.recommend(users, 7)
    np.testing.assert_array_equal(before.items, after.items)
    np.testing.assert_array_equal(before.scores, after.scores)
    assert again.model.params() == package.model.params()
    np.testing.assert_array_equal(again.titles, package.titles)


def test_a_package_on_disk_holds_no_pickle(package: Package, tmp_path: Path) -> None:
    package.save(tmp_path / "p")
    files = {path.name for path in (tmp_path / "p").rglob("*") if path.is_file()}
    assert files == {"package.json", "histories.npz", "model.json", "state.npz"}
    for path in (tmp_path / "p").rglob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)


def test_a_package_of_the_future_is_refused(package: Package, tmp_path: Path) -> None:
    package.save(tmp_path / "p")
    path = tmp_path / "p" / "package.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="has package format 2, this version reads 1; upgrade bakeoff"):
        Package.load(tmp_path / "p")


def test_nobody_is_shown_what_he_has_seen(package: Package) -> None:
    lists = package.recommend(package.users.ids, 10)
    for user, items in zip(package.users.ids.tolist(), lists.items, strict=True):
        assert not seen(package, user) & set(items.tolist())


def test_an_unknown_user_gets_what_is_popular(package: Package) -> None:
    popular = np.argsort(-package.histories.item_users, kind="stable")[:5]
    lists = package.recommend(["stranger", ""], 5)
    assert lists.items.tolist() == [popular.tolist()] * 2


def test_an_event_moves_into_the_history_and_out_of_the_list(package: Package) -> None:
    user = str(package.users.ids[4])
    first = int(package.recommend([user], 3).items[0, 0])
    later = package.observe(event(package, user, first))
    assert first in seen(later, user)
    assert first not in later.recommend([user], 10).items[0]
    assert first not in seen(package, user)  # the package itself stays as it was
    assert later.model is package.model


def test_a_new_user_with_a_history_is_served_by_it(package: Package) -> None:
    nobody = replace(package, histories=package.histories.where(package.histories.user != 4))
    user, item = str(package.users.ids[4]), 7
    cold, warm = nobody.recommend([user], 5), nobody.observe(event(nobody, user, item)).recommend([user], 5)
    assert item not in warm.items[0]
    assert cold.items.tolist() != warm.items.tolist()


def test_the_table_is_readable(package: Package) -> None:
    table = package.table(["stranger", str(package.users.ids[0])], 3).to_pylist()
    assert [row["rank"] for row in table] == [1, 2, 3, 1, 2, 3]
    assert [row["user"] for row in table[:3]] == ["stranger"] * 3
    number = package.items.numbers([table[3]["item"]])[0]
    assert table[3]["title"] == package.titles[number]


# --- as MLflow serves it ---


@pytest.fixture
def served(line: tuple[Home, Outcome]) -> tuple[Home, Outcome]:
    """The finished line, with MLflow looking at its home."""
    home, outcome = line
    Registry(home)  # sets the addresses
    return home, outcome


def lists(frame: pd.DataFrame, user: str) -> NDArray[np.str_]:
    return frame.loc[frame["user"] == user, "item"].to_numpy(dtype=str)


def test_anyone_can_load_the_champion_and_ask_it(served: tuple[Home, Outcome]) -> None:
    home, outcome = served
    model = mlflow.pyfunc.load_model("models:/tiny@champion")
    users = ["u001", "u002", "stranger"]
    frame = model.predict(pd.DataFrame({"user": users}), params={"k": 3})
    assert list(frame.columns) == ["user", "rank", "item", "title", "score"]
    assert frame["user"].tolist() == [user for user in users for _ in range(3)]
    version = outcome.slots.champion
    assert version is not None
    same = Registry(home).load("tiny", version).table(users, 3).to_pandas()
    pd.testing.assert_frame_equal(frame, same)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Spark 4 on pandas 3 warns at every step
def test_spark_asks_the_champion_a_partition_at_a_time(served: tuple[Home, Outcome], spark: Any) -> None:
    there = mlflow.get_tracking_uri()

    def lists(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        mlflow.set_tracking_uri(there)
        model = mlflow.pyfunc.load_model("models:/tiny@champion")
        yield from (model.predict(frame, params={"k": 3}) for frame in frames)

    users = [f"u{number:03d}" for number in range(40)]
    table = spark.createDataFrame([(user,) for user in users], "user string").repartition(2)
    columns = "user string, rank long, item string, title string, score float"
    found = table.mapInPandas(lists, columns).toPandas()
    here = mlflow.pyfunc.load_model("models:/tiny@champion").predict(pd.DataFrame({"user": users}), params={"k": 3})
    found = found.sort_values(["user", "rank"], ignore_index=True)
    pd.testing.assert_frame_equal(found, here, check_dtype=False)


def test_ten_items_are_given_when_nobody_says_how_many(served: tuple[Home, Outcome]) -> None:
    model = mlflow.pyfunc.load_model("models:/tiny/1")
    assert len(model.predict(pd.DataFrame({"user": ["u001"]}))) == 10


@pytest.mark.parametrize("users", [[17, 3], [17.0, 3.0], ["17", "3"], ["17", 3]])
def test_ids_may_come_as_numbers(served: tuple[Home, Outcome], users: list[object]) -> None:
    frame = mlflow.pyfunc.load_model("models:/tiny/1").predict(pd.DataFrame({"user": users}), params={"k": 2})
    assert frame["user"].tolist() == ["17", "17", "3", "3"]


def test_a_missing_id_does_not_spoil_the_numbers_beside_it() -> None:
    assert ids(pd.Series([17, None])) == ["17", ""]
    assert ids(pd.Series(["ann", None, 5])) == ["ann", "", "5"]
    assert ids(pd.Series([1.5, 2.0])) == ["1.5", "2.0"]


def test_a_frame_without_users_is_refused(served: tuple[Home, Outcome]) -> None:
    with pytest.raises(MlflowException, match="user"):
        mlflow.pyfunc.load_model("models:/tiny/1").predict(pd.DataFrame({"person": ["u001"]}))


def test_the_logged_model_says_how_to_call_it(served: tuple[Home, Outcome]) -> None:
    info = mlflow.models.get_model_info("models:/tiny@champion")
    assert info.signature is not None
    assert info.signature.inputs.input_names() == ["user"]
    assert info.signature.outputs.input_names() == ["user", "rank", "item", "title", "score"]
    assert {spec.name: spec.default for spec in info.signature.params} == {"k": 10}
    assert info.saved_input_example_info is not None


def test_no_logged_model_is_a_pickle(served: tuple[Home, Outcome]) -> None:
    home, _ = served
    files = [path for path in home.artifacts.rglob("*") if path.is_file()]
    assert {"pyfunc.py", "state.npz", "MLmodel", "input_example.json"} <= {path.name for path in files}
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib")]


def test_mlflow_is_left_where_the_home_says(served: tuple[Home, Outcome]) -> None:
    assert mlflow.get_tracking_uri() == address(served[0])


def test_a_model_of_another_vocabulary_is_refused_when_it_is_loaded(
    package: Package, dataset: Dataset, tmp_path: Path
) -> None:
    package.save(tmp_path / "whole")
    rows, most = dataset.interactions, len(dataset.items) - 1
    few = replace(
        dataset,
        interactions=replace(rows.where(rows.item < most), n_items=most),
        items=Vocabulary(dataset.items.ids[:most]),
        item_features={name: values[:most] for name, values in dataset.item_features.items()},
    )
    other = replace(package, model=create("item_knn").fit(few))
    base.save(other.model, tmp_path / "whole" / "model")
    with pytest.raises(ValueError, match=f"scores {most} items, the vocabulary beside it names {most + 1}"):
        Package.load(tmp_path / "whole")
