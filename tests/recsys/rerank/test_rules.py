"""Business rules, each by hand, and what their files may not say."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import load, save
from recsys.recommend import recommend
from recsys.rerank.exploration import Exploration
from recsys.rerank.rules import Rules
from tests.worlds import dataset

NAN = float("nan")
CONFIGS = Path(__file__).parents[3] / "configs" / "rules"


@pytest.fixture
def shop() -> Dataset:
    """Eight items; item 7 has no user, item 6 came on the last day, all others on the first."""
    likes = [(0, i) for i in range(6)] + [(1, i) for i in range(3)] + [(0, 6)]
    data = dataset(likes, n_users=3, n_items=8, days=[0] * 9 + [30])
    objects: Any = object
    return dataclasses.replace(
        data,
        item_features={
            "in_stock": np.array([True, False, True, None, True, True, True, True], dtype=objects),
            "price": np.array([5, 10, 15, 20, 25, NAN, 35, 40.0]),
            "category": np.array(["tea", "tea|gift", "mug", "", "mug", "tea", "gift", "wine"], dtype=objects),
            "margin": np.array([1, 2, 3, 4, 5, NAN, 0, 6.0]),
            "minimum_age": np.array([0, 0, NAN, 0, 12, 0, 0, 18.0]),
        },
        user_features={"age": np.array([30, 15, NAN])},
    )


@pytest.fixture
def apply(shop: Dataset, ranked: Callable[..., Recommendations]) -> Callable[..., list[int]]:
    """The items shown of 0..7, in this order, under the rules."""

    def make(*rules: dict[str, Any], k: int = 8, **given: Any) -> list[int]:
        after = Rules(rules=list(rules)).fit(shop).rerank(ranked(shop, [list(range(8))], **given), k)
        row: list[int] = after.items[0].tolist()
        return [item for item in row if item >= 0]

    return make


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ({"rule": "keep", "column": "in_stock"}, [0, 2, 4, 5, 6, 7]),
        ({"rule": "keep", "column": "in_stock", "missing": "yes"}, [0, 2, 3, 4, 5, 6, 7]),
        ({"rule": "keep", "column": "price", "low": 10, "high": 25}, [1, 2, 3, 4]),
        ({"rule": "drop", "column": "price", "low": 30}, [0, 1, 2, 3, 4, 5]),
        ({"rule": "keep", "column": "category", "values": ["tea", "wine"]}, [0, 1, 5, 7]),
        ({"rule": "drop", "column": "category", "values": ["gift"]}, [0, 2, 3, 4, 5, 7]),
        ({"rule": "keep", "column": "_users", "low": 2}, [0, 1, 2]),
        # tea has two users, mug two, gift (items 1 and 6) two, wine none; item 3 has no label
        ({"rule": "keep", "column": "category", "fewer_users": 1}, [7]),
        ({"rule": "keep", "column": "category", "fewer_users": 1, "missing": "yes"}, [3, 7]),
        ({"rule": "drop", "column": "category", "fewer_users": 3}, [3]),
        ({"rule": "keep", "column": "_age_days", "high": 7}, [6, 7]),
    ],
)
def test_what_is_forbidden_is_not_shown(
    apply: Callable[..., list[int]], rule: dict[str, Any], shown: list[int]
) -> None:
    assert apply(rule) == shown


def test_what_is_forbidden_goes_from_the_fallback_too(apply: Callable[..., list[int]]) -> None:
    scores = [[2.0, 1.0, *[NAN] * 6]]
    assert apply({"rule": "keep", "column": "in_stock"}, scores=scores, k=3) == [0, 2, 4]


def test_nobody_is_shown_what_is_for_older_people(shop: Dataset, ranked: Callable[..., Recommendations]) -> None:
    rule = {"rule": "age_limit", "column": "minimum_age", "user_column": "age"}
    given = ranked(shop, [[7, 4, 2]] * 4, users=[0, 1, 2, -1])
    reranker = Rules(rules=[rule]).fit(shop)
    assert [row[row >= 0].tolist() for row in reranker.rerank(given, 3).items] == [[7, 4, 2], [4, 2], [2], [2]]
    np.testing.assert_allclose(reranker.measures(given)["age_limit minimum_age"], [1, 2 / 3, 1 / 3, 1 / 3])
    # what the query says goes before what the shop knows; where it says nothing, the shop is asked
    told = dataclasses.replace(given.queries, context={"age": np.array([NAN, 40.0, 12.0, 99.0])})
    after = reranker.rerank(dataclasses.replace(given, queries=told), 3)
    assert [row[row >= 0].tolist() for row in after.items] == [[7, 4, 2], [7, 4, 2], [4, 2], [7, 4, 2]]


def test_a_boost_adds_its_share_of_the_scaled_column(shop: Dataset, ranked: Callable[..., Recommendations]) -> None:
    given = ranked(shop, [[0, 2, 7, 5]], [[1.0, 0.9, 0.5, 0.0]])
    orders = {
        strength: Rules(rules=[{"rule": "boost", "column": "margin", "strength": strength}])
        .fit(shop)
        .rerank(given, 4)
        .items[0]
        .tolist()
        for strength in (0.1, 0.4, 1.0, -1.0)
    }
    # margins are 1, 3, 6 and unknown of 0..6: with .4 the values are 1.07, 1.1, .9, 0
    assert orders == {0.1: [0, 2, 7, 5], 0.4: [2, 0, 7, 5], 1.0: [7, 2, 0, 5], -1.0: [0, 2, 5, 7]}


def test_promoted_items_rise_but_never_more_than_the_cap(apply: Callable[..., list[int]]) -> None:
    rule = {"rule": "promote", "column": "category", "values": ["tea"], "lift": 2.0}
    assert apply(rule | {"at_most": 2}) == [0, 1, 2, 3, 4, 6, 7]
    assert apply(rule | {"at_most": 9}) == [0, 1, 5, 2, 3, 4, 6, 7]
    assert apply(rule | {"at_most": 0}) == [2, 3, 4, 6, 7]
    assert apply({"rule": "promote", "column": "category", "values": ["wine"], "at_most": 1}, k=3) == [0, 7, 1]


def test_floors_are_met_at_the_end_of_the_list(apply: Callable[..., list[int]]) -> None:
    wine = {"rule": "floor", "column": "category", "values": ["wine"]}
    young = {"rule": "floor", "column": "_age_days", "high": 7, "at_least": 2}
    mugs = {"rule": "floor", "column": "category", "values": ["mug"]}
    assert apply(wine, k=4) == [0, 1, 2, 7]
    assert apply(mugs, k=4) == [0, 1, 2, 3]  # there is one anyway
    assert apply(wine, young, k=4) == [0, 1, 6, 7]
    assert apply(wine | {"at_least": 5}, k=4) == [0, 1, 2, 7]  # there is only one


def test_what_is_forbidden_cannot_fill_a_floor(apply: Callable[..., list[int]]) -> None:
    floor = {"rule": "floor", "column": "category", "values": ["wine"]}
    drop = {"rule": "drop", "column": "price", "low": 40}
    assert apply(floor, drop, k=3) == [0, 1, 2]


def test_measures_say_how_well_each_rule_is_kept(shop: Dataset, ranked: Callable[..., Recommendations]) -> None:
    rules = [
        {"rule": "keep", "column": "in_stock"},
        {"rule": "boost", "column": "margin"},
        {"rule": "floor", "column": "category", "values": ["tea"]},
        {"rule": "floor", "column": "category", "values": ["mug"]},
    ]
    measures = Rules(rules=rules).fit(shop).measures(ranked(shop, [[0, 1, 4, -1]]))
    assert {name: float(values[0]) for name, values in measures.items()} == pytest.approx(
        {"keep in_stock": 2 / 3, "boost margin": (1 + 2 + 5) / 18, "floor category": 2, "floor category (4)": 1}
    )


def test_a_file_of_rules_is_carried_by_the_parameters(tmp_path: Path, shop: Dataset) -> None:
    rules = [{"rule": "keep", "column": "price", "low": 5}]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rules))
    reranker = Rules(file=str(path))
    path.unlink()
    assert Rules(**reranker.params()).fit(shop).params() == {
        "rules": rules,
        "file": None,
        "page": None,
        "relevance": "score",
    }


def test_a_pipeline_carries_the_rules_and_not_the_file(tmp_path: Path, shop: Dataset) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("- {rule: drop, column: category, values: [mug]}")
    part: dict[str, Any] = {"name": "rules", "params": {"file": str(path)}}
    pipeline = Pipeline(candidates=[{"model": "popularity"}], ranker=None, rerankers=[part]).fit(shop)
    path.unlink()
    save(pipeline, tmp_path / "model")
    queries = Queries.of(shop.interactions, np.array([-1]))
    lists = recommend(load(tmp_path / "model"), queries, 8)
    assert set(lists.items[0].tolist()) & {2, 4} == set()
    assert np.array_equal(lists.items, recommend(pipeline, queries, 8).items)


def test_the_example_is_a_set_of_rules() -> None:
    kinds = {rule["rule"] for rule in Rules(file=str(CONFIGS / "shop.yaml")).params()["rules"]}
    assert kinds == {"keep", "drop", "age_limit", "boost", "promote", "floor"}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "one or more rules"),
        (["keep"], r"rule 1 must be a mapping such as .* got 'keep'"),
        ([{"rule": "kep", "column": "price"}], "unknown kind of rule 'kep'; did you mean 'keep'"),
        ([{"rule": "keep"}], "needs the parameter 'column'"),
        ([{"rule": "keep", "column": "price", "loww": 1}], r"rule 1 \(keep\) has no parameter 'loww'"),
        ([{"rule": "keep", "column": "price", "low": 2, "high": 1}], "low of 'price' must not be above high"),
        ([{"rule": "keep", "column": "price", "low": "a"}], "low of 'price' must be a finite number"),
        ([{"rule": "keep", "column": "price", "low": 1, "values": ["a"]}], "more than one of values, a range"),
        ([{"rule": "keep", "column": "price", "fewer_users": 0}], "fewer_users of 'price' must be an integer >= 1"),
        ([{"rule": "drop", "column": "category", "values": "tea"}], "values of 'category' must be a list"),
        ([{"rule": "keep", "column": "price", "missing": "maybe"}], "missing of 'price' must be one of"),
        ([{"rule": "promote", "column": "price", "at_most": -1}], "at_most of a promotion must be an integer >= 0"),
        ([{"rule": "floor", "column": "price", "at_least": 0}], "at_least of a floor must be an integer >= 1"),
        ([{"rule": "age_limit", "column": "a"}, {"rule": "age_limit", "column": "b"}], "one age_limit"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_when_it_is_read(rules: Any, message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        Rules(rules=rules)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"rule": "keep", "column": "stock"}, "unknown item feature 'stock'; did you mean 'in_stock'.* known: .*price"),
        ({"rule": "keep", "column": "brand", "values": ["x"]}, "unknown item feature 'brand'"),
        ({"rule": "boost", "column": "category"}, "'category' must hold numbers or truth values .* got 'tea'"),
        ({"rule": "age_limit", "column": "minimum_age", "user_column": "agee"}, "user feature 'agee'; did you mean"),
    ],
)
def test_a_rule_on_a_column_that_is_not_there_is_refused_at_fit(
    shop: Dataset, rule: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        Rules(rules=[rule]).fit(shop)


def test_rules_come_from_a_list_or_from_a_file_and_the_file_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either `rules`, a list, or `file`"):
        Rules()
    with pytest.raises(ValueError, match="there is no file of rules"):
        Rules(file=str(tmp_path / "none.yaml"))
    for text, message in (("a: 1", "must hold a list of rules, got dict"), ("a: [", "is no YAML")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            Rules(file=str(tmp_path / "bad.yaml"))


def test_quotas_hold_for_each_page(shop: Dataset, ranked: Callable[..., Recommendations]) -> None:
    given = ranked(shop, [[0, 1, 2, 4, 3, 5, 6, 7]])
    rules: list[dict[str, Any]] = [
        {"rule": "promote", "column": "category", "values": ["tea"], "lift": 2.0, "at_most": 1},
        {"rule": "floor", "column": "price", "low": 35},
    ]
    after = Rules(rules=rules, page=3).fit(shop).rerank(given, 6)
    assert after.items[0].tolist() == [0, 2, 6, 1, 4, 7]
    # as long as the page is filled, a longer list begins with the shorter one
    assert Rules(rules=rules, page=3).fit(shop).rerank(given, 3).items[0].tolist() == [0, 2, 6]
    assert Exploration(few=1, page=2).fit(shop).rerank(given, 4).items[0].tolist() == [0, 7, 1, 2]


def test_exploration_owes_a_place_to_items_of_few_users(shop: Dataset, ranked: Callable[..., Recommendations]) -> None:
    given = ranked(shop, [list(range(8)), [0, 1, 2, -1, -1, -1, -1, -1]])
    explored = Exploration(few=1).fit(shop)
    assert explored.rerank(given, 3).items.tolist() == [[0, 1, 7], [0, 1, 2]]
    assert Exploration(few=2, at_least=2).fit(shop).rerank(given, 3).items.tolist() == [[0, 3, 4], [0, 1, 2]]
    assert explored.measures(given)["new_items"].tolist() == [1, 0]


def test_a_pipeline_shows_a_new_item_on_the_page(shop: Dataset) -> None:
    parts = [{"model": "popularity"}, {"model": "content"}]
    queries = Queries.of(shop.interactions, np.array([1]))
    shown = {}
    for page in (None, 3):
        floor = {"name": "exploration", "params": {"few": 1, "page": page}}
        model = Pipeline(candidates=parts, ranker=None, rerankers=[floor]).fit(shop)
        shown[page] = recommend(model, queries, 3).items[0].tolist()
    assert 7 not in shown[None]  # the floor of the whole pool is met below the page
    assert shown[3] == [*shown[None][:2], 7]
