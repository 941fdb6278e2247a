from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys.data.problems import DataError
from recsys.data.sources.loader import load

Write = Callable[..., Path]


def test_ml_latest(write: Write) -> None:
    folder = write("ratings.csv", "userId,movieId,rating,timestamp", "1,1,4.0,964982703", "2,3,2.5,964981247").parent
    titles = ("1,Toy Story (1995),Adventure|Animation", '2,"Hour, The (2011)",(no genres listed)', "3,Babylon 5,Sci-Fi")
    write("movies.csv", "movieId,title,genres", *titles)
    loaded = load("movielens", folder=folder)
    data = loaded.dataset
    assert data.items.ids.tolist() == ["1", "2", "3"]
    assert data.interactions.weight.tolist() == [2.5, 4.0]
    assert str(data.interactions.time[1]) == "2000-07-30T18:45:03"
    assert data.item_features["title"].tolist() == ["Toy Story (1995)", "Hour, The (2011)", "Babylon 5"]
    assert data.item_features["category"].tolist() == ["Adventure|Animation", "", "Sci-Fi"]
    assert data.item_features["text"][0] == "Toy Story (1995) Adventure Animation"
    np.testing.assert_array_equal(data.item_features["year"], [1995, 2011, np.nan])
    assert load("movielens", folder=folder, min_rating=3, binary=True).dataset.interactions.weight.tolist() == [1.0]


def test_ml_1m(write: Write) -> None:
    folder = write("ratings.dat", "1::73::5::978300760", "2::1::3::978302109").parent
    write("movies.dat", "1::Toy Story (1995)::Animation", "73::Misérables, Les (1995)::Drama", encoding="latin-1")
    write("users.dat", "1::F::1::10::48067", "2::M::56::16::07072")
    data = load("movielens", folder=folder).dataset
    assert data.item_features["title"].tolist() == ["Toy Story (1995)", "Misérables, Les (1995)"]
    assert data.user_features["gender"].tolist() == ["F", "M"]
    assert data.user_features["age"].tolist() == [1.0, 56.0]
    assert data.user_features["zip"].tolist() == ["48067", "07072"]


def test_a_bad_rating_is_named_with_its_line(write: Write) -> None:
    folder = write("ratings.dat", "1::73::5::978300760", "1::1::3::yesterday").parent
    write("movies.dat", "1::Toy Story (1995)::Animation")
    with pytest.raises(DataError, match=r"ratings.dat:2: unreadable time: 'yesterday'"):
        load("movielens", folder=folder)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected one with ratings\.csv and movies\.csv, or ratings\.dat"):
        load("movielens", folder=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"ratings\.csv: No such file"):
        load("movielens", folder=tmp_path)


@pytest.mark.real_data
def test_ml_latest_small_is_what_its_readme_says(data_folder: Path) -> None:
    loaded = load("movielens", folder=data_folder / "ml-latest-small")
    log = loaded.dataset.interactions
    assert (len(log), log.n_users, log.n_items) == (100_836, 610, 9_742)
    assert (log.item_users > 0).sum() == 9_724
    assert (str(log.time[0])[:10], str(log.time[-1])[:10]) == ("1996-03-29", "2018-09-24")
    assert loaded.report.dropped == 0
    assert set(np.unique(log.weight)) == {x / 2 for x in range(1, 11)}
    places = loaded.dataset.items.numbers([1, 260])
    assert loaded.dataset.item_features["title"][places].tolist() == [
        "Toy Story (1995)",
        "Star Wars: Episode IV - A New Hope (1977)",
    ]
