from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from abtest.events.memory import MemoryLog
from abtest.types import Outcome
from experiments.bridge import extend, interactions_of
from experiments.package import Package
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.models.popularity import Popularity
from tests.worlds import dataset, numbered

KINDS = ("view", "click")


@pytest.fixture
def shop() -> Dataset:
    """Three users, three items; views weigh 1, clicks 2, 2 and 4."""
    rows = Interactions.of(
        user=np.array([0, 0, 1, 1, 2]),
        item=np.array([0, 1, 1, 2, 0]),
        time=np.datetime64("2025-01-01", "s") + np.arange(5).astype("timedelta64[D]"),
        weight=np.array([1, 2, 2, 1, 4], np.float32),
        kind=np.array([0, 1, 1, 0, 1], np.int8),
        kinds=KINDS,
        n_users=3,
        n_items=3,
    )
    return dataset([(0, 0)], n_users=3, n_items=3).keep(rows)


def packaged(data: Dataset) -> Package:
    model = Popularity().fit(data)
    return Package(
        model=model,
        fallback=model,
        users=data.users,
        items=data.items,
        histories=data.interactions,
        titles=data.items.ids.astype(str),
    )


def test_outcomes_become_rows_with_the_usual_weight_of_their_kind(shop: Dataset) -> None:
    rows = interactions_of(
        packaged(shop),
        users=np.array(["u001", "u002"]),
        items=np.array(["i002", "i001"]),
        kinds=np.array(["click", "view"]),
        times=np.array(["2025-02-02", "2025-02-01"], "datetime64[s]"),
    )
    assert rows.user.tolist() == [2, 1]  # by time
    assert rows.item.tolist() == [1, 2]
    assert rows.weight.tolist() == [1.0, 2.0]  # the median of 2, 2 and 4
    assert rows.kind.tolist() == [0, 1]


def test_unknown_users_and_items_are_left_out(shop: Dataset) -> None:
    rows = interactions_of(
        packaged(shop),
        users=np.array(["u001", "nobody", "u000"]),
        items=np.array(["i002", "i001", ""]),
        kinds=np.array(["click"] * 3),
        times=np.array(["2025-02-01"] * 3, "datetime64[s]"),
    )
    assert len(rows) == 1


def test_an_unknown_kind_counts_as_the_first(shop: Dataset) -> None:
    rows = interactions_of(
        packaged(shop),
        users=np.array(["u001"]),
        items=np.array(["i002"]),
        kinds=np.array(["purchase"]),
        times=np.array(["2025-02-01"], "datetime64[s]"),
    )
    assert (rows.kind.tolist(), rows.weight.tolist()) == ([0], [1.0])


def test_no_outcome_is_no_row(shop: Dataset) -> None:
    nothing = np.array([], dtype=np.str_)
    rows = interactions_of(
        packaged(shop), users=nothing, items=nothing, kinds=nothing, times=np.array([], "datetime64[s]")
    )
    assert len(rows) == 0
    assert rows.n_items == 3


def test_the_event_log_extends_the_data_set(shop: Dataset) -> None:
    at = datetime(2025, 3, 1, 12, tzinfo=UTC)
    log = MemoryLog()
    log.append(
        [
            Outcome(id="1", unit="u002", kind="click", at=at, item="i002"),
            Outcome(id="2", unit="u001", kind="view", at=at - timedelta(hours=1), item="i000"),
            Outcome(id="3", unit="visitor", kind="click", at=at, item="i000"),
            Outcome(id="4", unit="u001", kind="click", at=at),
        ]
    )
    longer = extend(shop, log.outcomes())
    assert len(longer.interactions) == len(shop.interactions) + 2
    assert longer.interactions.user[-2:].tolist() == [1, 2]
    assert longer.interactions.time[-1] == np.datetime64("2025-03-01T12:00:00")
    assert longer.fingerprint != shop.fingerprint
    assert len(shop.interactions) == 5


def test_extending_by_nothing_changes_nothing(shop: Dataset) -> None:
    assert extend(shop, MemoryLog().outcomes()).fingerprint == shop.fingerprint


def test_numbered_ids_are_what_the_tests_above_think() -> None:
    assert numbered("u", 3).ids.tolist() == ["u000", "u001", "u002"]
