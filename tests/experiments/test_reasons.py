"""What speaks for an item, counted by hand in the log of six users."""

import numpy as np
import pytest

from experiments.package import Package
from experiments.reasons import history_of, is_personal, reasons
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.vocabulary import Vocabulary
from recsys.models.base import create
from recsys.models.popularity import Popularity

USERS, ITEMS = Vocabulary.of([f"u{n}" for n in range(1, 13)]), Vocabulary.of(["hit", "tent", "stove", "sock", "lamp"])
TOUCHED = {
    "hit": ["u1", *(f"u{n}" for n in range(3, 13))],
    "tent": ["u1", "u2", "u3", "u4"],
    "stove": ["u2", "u3", "u4"],
    "sock": ["u12"],
    "lamp": ["u5", "u6", "u7", "u8", "u9"],
}
"""Everybody but u2 touched the hit; those of the stove had the tent, too; the lamp is liked more than the stove."""


def package(model: str) -> Package:
    pairs = [(int(USERS.numbers([u])[0]), int(ITEMS.numbers([i])[0])) for i, users in TOUCHED.items() for u in users]
    log = Interactions.of(
        user=np.array([u for u, _ in pairs]),
        item=np.array([i for _, i in pairs]),
        time=np.datetime64("2025-01-01", "s") + np.arange(len(pairs)),
        n_users=len(USERS),
        n_items=len(ITEMS),
    )
    dataset = Dataset(name="camp", interactions=log, users=USERS, items=ITEMS)
    titles = np.array([name.capitalize() for name in ITEMS.ids])
    fallback = Popularity().fit(dataset)
    return Package(
        model=create(model).fit(dataset), fallback=fallback, users=USERS, items=ITEMS, histories=log, titles=titles
    )


def test_item_is_told_by_the_one_of_the_history_that_its_users_had() -> None:
    (why,) = reasons(package("item_knn"), "u1", ["stove"])
    assert why == "100% of its users also touched Tent"


def test_item_that_nothing_links_to_the_history_is_told_by_its_popularity() -> None:
    (why,) = reasons(package("item_knn"), "u1", ["sock"])
    assert why == "Touched by 1 user: place 5 of 5"


def test_list_that_everybody_gets_is_told_by_popularity_alone() -> None:
    made = package("popularity")
    assert not is_personal(made, "u1", 2)
    assert reasons(made, "u1", ["stove"]) == ("Touched by 3 users: place 4 of 5",)


@pytest.mark.parametrize("unit", ["nobody", ""])
def test_unknown_user_has_no_history_to_tell_from(unit: str) -> None:
    made = package("item_knn")
    assert len(history_of(made, unit)) == 0
    assert reasons(made, unit, ["hit"]) == ("Touched by 11 users: place 1 of 5",)


def test_item_the_model_never_saw_is_said_to_be_unknown() -> None:
    assert reasons(package("item_knn"), "u1", ["new"]) == ("unknown to the model that was registered",)


def test_history_is_newest_first_and_each_item_once() -> None:
    assert [str(ITEMS.ids[n]) for n in history_of(package("item_knn"), "u1")] == ["tent", "hit"]
