"""What speaks for an item, in a log of twelve users."""

import numpy as np
import pytest

from experiments.package import Package
from experiments.reasons import as_dataset, explainer_of, history_of, reasons
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.vocabulary import Vocabulary
from recsys.hybrid.explain import Explainer
from recsys.hybrid.influence import shortened
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


def test_the_item_of_the_history_that_drives_the_score_is_named() -> None:
    made = package("item_knn")
    (why,) = reasons(made, "u1", ["stove"])
    assert why == "because you touched Tent"
    query = Queries.of(made.histories, made.users.numbers(["u1"]))
    stove, tent, hit = made.items.numbers(["stove", "tent", "hit"])
    whole = made.model.score(query)[0, stove]
    without_tent, without_hit = made.model.score(shortened(query, np.array([tent, hit])))[:, stove]
    assert np.nan_to_num(without_tent) < whole
    assert np.nan_to_num(without_tent) <= np.nan_to_num(without_hit)


def test_item_that_nothing_links_to_the_history_is_told_by_the_log() -> None:
    (why,) = reasons(package("item_knn"), "u2", ["lamp"])
    assert "because" not in why


def test_a_model_that_does_not_read_the_history_names_none_of_it() -> None:
    told = reasons(package("popularity"), "u1", ["stove", "lamp", "sock"])
    assert not any("because" in why or "as a whole" in why for why in told)


def test_an_item_that_the_log_says_little_of_is_told_by_how_many_touched_it() -> None:
    made = package("popularity")
    late = Explainer(verb="touched", days=1e-4, new_days=0).fit(as_dataset(made))
    nobody = Queries.of(made.histories, np.array([-1]))
    words = [reason.words for reason in late.why(made.model, nobody, made.items.numbers(["hit", "sock"]))]
    assert words == ["11 people touched it in all", "1 person touched it in all"]


def test_what_a_unit_did_a_second_ago_is_named() -> None:
    made = package("item_knn")
    stove = made.items.numbers(["stove"])
    query = Queries(
        users=np.array([-1], np.int32),
        indptr=np.array([0, 1]),
        items=stove,
        weights=np.ones(1, np.float32),
        times=np.array(["2025-02-01"], "datetime64[s]"),
    )
    assert reasons(made, "nobody", ["tent"], query=query) == ("because you touched Stove",)


@pytest.mark.parametrize("unit", ["nobody", ""])
def test_unknown_user_has_no_history_to_tell_from(unit: str) -> None:
    made = package("item_knn")
    assert len(history_of(made, unit)) == 0
    (why,) = reasons(made, unit, ["hit"])
    assert "because" not in why


def test_a_package_is_counted_through_once() -> None:
    made = package("item_knn")
    assert explainer_of(made) is explainer_of(made)


def test_item_the_model_never_saw_is_said_to_be_unknown() -> None:
    assert reasons(package("item_knn"), "u1", ["new"]) == ("unknown to the model that was registered",)


def test_history_is_newest_first_and_each_item_once() -> None:
    assert [str(ITEMS.ids[n]) for n in history_of(package("item_knn"), "u1")] == ["tent", "hit"]
