"""What users saw, by hand: four items, two variants."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from abtest.events import lake
from abtest.events.memory import MemoryLog
from abtest.types import Exposure
from experiments import slates
from experiments.package import Package
from experiments.slates import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.vocabulary import Vocabulary
from recsys.models.base import create
from recsys.models.popularity import Popularity

START = datetime(2025, 1, 6, tzinfo=UTC)
USERS, ITEMS = Vocabulary.of(["u1", "u2", "u3"]), Vocabulary.of(["a", "b", "c", "d"])
TITLES = np.array(["Apple", "Bread", "Cheese", "Dates"])


def histories() -> Interactions:
    """Everybody touched a, u1 and u2 b, u1 c; nobody d."""
    pairs = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2)]
    return Interactions.of(
        user=np.array([u for u, _ in pairs]),
        item=np.array([i for _, i in pairs]),
        time=np.datetime64("2025-01-01", "s") + np.arange(len(pairs)),
        n_users=3,
        n_items=4,
    )


def package(model: str = "popularity") -> Package:
    dataset = Dataset(name="four", interactions=histories(), users=USERS, items=ITEMS)
    return Package(
        model=create(model).fit(dataset),
        fallback=Popularity().fit(dataset),
        users=USERS,
        items=ITEMS,
        histories=histories(),
        titles=TITLES,
    )


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(
        items=ITEMS,
        titles=TITLES,
        histories=histories(),
        vectors=np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
        origin="by hand",
        categories=np.array(["fruit", "bakery", "dairy", "fruit"]),
    )


def slate(n: int, unit: str, variant: str, items: tuple[str, ...], *, day: int = 0, fallback: bool = False) -> Exposure:
    return Exposure(
        id=f"s{n}", unit=unit, experiment="e", variant=variant, at=START + timedelta(days=day, hours=n), items=items,
        scores=tuple(1.0 / (place + 1) for place in range(len(items))), context={"fallback": fallback},
    )  # fmt: skip


@pytest.fixture
def shown() -> pa.Table:
    log = MemoryLog()
    log.append(
        [
            slate(1, "u1", "x", ("a", "b")),
            slate(2, "u2", "x", ("a", "c"), fallback=True),
            slate(3, "u3", "y", ("d", "nowhere", "c")),
            slate(4, "u1", "x", ("d",)),
        ]
    )
    return log.exposures()


def test_profile_counts_places_categories_and_fallbacks(shown: pa.Table, catalogue: Catalogue) -> None:
    x, y = slates.profiles(shown, ["x", "y"], catalogue, categories=2)
    assert (x.slates, x.users, x.distinct_items, x.fallback) == (3, 2, 4, pytest.approx(1 / 3))
    assert x.categories == {"fruit": pytest.approx(3 / 5), "dairy": pytest.approx(1 / 5), "other": pytest.approx(1 / 5)}
    assert y.categories["fruit"] == y.categories["dairy"] == 0.5
    assert sum(x.tiers.values()) == pytest.approx(1.0)
    assert y.tiers["least popular half"] == 1.0


def test_novelty_and_diversity_are_those_of_the_leaderboard(shown: pa.Table, catalogue: Catalogue) -> None:
    x, y = slates.profiles(shown, ["x", "y"], catalogue)
    # (users of the item + 1) / (active users + 1): a 4/4, b 3/4, c 2/4, d 1/4
    assert x.novelty == pytest.approx((-math.log2(3 / 4) / 2, 1 / 2, 2.0))
    assert x.diversity == pytest.approx((0.0, 1.0))  # one item alone has no diversity
    # an item that the catalogue does not know has none either
    assert y.novelty == pytest.approx(((2.0 + 1.0) / 2,))


def test_variant_that_showed_nothing_has_no_shares(shown: pa.Table, catalogue: Catalogue) -> None:
    nobody = slates.profiles(shown, ["z"], catalogue)[0]
    assert nobody.slates == 0
    assert math.isnan(nobody.fallback)
    assert nobody.novelty == ()
    assert slates.profiles(shown.slice(0, 0), ["x"], catalogue) == []


def test_example_is_the_newest_slate_beside_the_other_variant(shown: pa.Table, catalogue: Catalogue) -> None:
    found = slates.example(shown, "u1", {"x": package(), "y": package()}, catalogue)
    assert (found.variant, [place.title for place in found.shown]) == ("x", ["Dates"])
    assert [place.item for place in found.others["y"]] == ["d"]  # the only item that u1 has not touched
    assert found.history == ("Cheese", "Bread", "Apple")
    with pytest.raises(LookupError, match="'u9' has none of the newest slates"):
        slates.example(shown, "u9", {"x": package()}, catalogue)


def test_item_that_the_catalogue_lost_keeps_its_id(shown: pa.Table, catalogue: Catalogue) -> None:
    found = slates.example(shown, "u3", {"x": package(), "y": package()}, catalogue)
    assert [place.title for place in found.shown] == ["Dates", "nowhere", "Cheese"]


def test_a_model_overlaps_wholly_with_itself() -> None:
    same = slates.overlap("x", "y", {"x": package(), "y": package()}, ["u2", "u3", "stranger"], k=1)
    assert same.shared == (1.0, 1.0, 1.0)
    assert same.mean == same.same_first == 1.0


def test_overlap_counts_common_items_by_their_outside_ids() -> None:
    longer = Vocabulary.of(["0", *ITEMS.ids])  # shifts every number by one
    rows = histories()
    moved = Interactions.of(user=rows.user, item=rows.item + 1, time=rows.time, n_users=3, n_items=5)
    dataset = Dataset(name="five", interactions=moved, users=USERS, items=longer)
    other = Package(
        model=create("popularity").fit(dataset), fallback=Popularity().fit(dataset), users=USERS, items=longer,
        histories=moved, titles=longer.ids,
    )  # fmt: skip
    found = slates.overlap("x", "y", {"x": package(), "y": other}, ["u3"], k=2)
    assert found.shared == (1.0,)


def test_nobody_to_ask_is_no_overlap() -> None:
    found = slates.overlap("x", "y", {"x": package(), "y": package()}, [])
    assert math.isnan(found.mean)
    assert math.isnan(found.same_first)


def test_users_come_newest_first_each_once_and_only_known_ones(shown: pa.Table) -> None:
    assert slates.users_of(shown, package(), 10) == ["u1", "u3", "u2"]
    assert slates.users_of(shown, package(), 1) == ["u1"]
    assert slates.users_of(pa.table({}), package(), 10) == []


def test_newest_slates_are_read_from_the_last_days_that_are_needed(tmp_path: Path) -> None:
    log = MemoryLog()
    log.append([slate(n, f"u{n}", "x", ("a",), day=n // 2) for n in range(6)])
    lake.export(log, tmp_path)
    assert slates.newest(tmp_path, "e", enough=3)["id"].to_pylist() == ["s3", "s4", "s5"]
    assert len(slates.newest(tmp_path, "e")) == 6
    assert len(slates.newest(tmp_path, "another")) == 0
    assert len(slates.newest(tmp_path / "none", "e")) == 0


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_fallback_is_read_in_either_spelling(separators: tuple[str, str]) -> None:
    context = [json.dumps({"fallback": value, "day": 1}, separators=separators) for value in (True, False)]
    assert slates.fallbacks(pa.table({"context": [*context, None]})).tolist() == [True, False, False]
