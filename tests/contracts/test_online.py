"""The contract of experiments.online.state.Online, over every place of the catalogue, Redis by its real server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abtest.types import Exposure, Outcome
from bakeoff.catalogue import lookup
from experiments.online import ONLINE
from experiments.online.state import Decay, Online
from tests.redis import RedisServer

T = TypeVar("T")
MONDAY = datetime(2025, 1, 6, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DECAY = Decay(half_life=6 * 3_600)
numbers = count()


def click(id: str, unit: str = "u", item: str = "i", at: datetime = MONDAY, kind: str = "click") -> Outcome:
    return Outcome(id=id, unit=unit, kind=kind, at=at, item=item)


@dataclass
class Place:
    """Makes states in one event loop; each is empty unless it is made under the name of another."""

    kind: str
    url: str
    loop: asyncio.AbstractEventLoop

    def made(self, name: str = "", each: int = 5) -> Online:
        kind: Callable[..., Online] = lookup(ONLINE, self.kind, "online state")
        if self.kind == "memory":
            return kind(each=each, decay=DECAY)
        prefix = name or f"test{next(numbers)}:"
        return kind(self.url, prefix=prefix, timeout=5.0, each=each, decay=DECAY)

    def __call__(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    made = RedisServer.make()
    yield made
    made.close()


@pytest.fixture(scope="module", params=sorted(ONLINE))
def place(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Place]:
    loop = asyncio.new_event_loop()
    yield Place(request.param, server.url, loop)
    loop.close()


@pytest.fixture
def state(place: Place) -> Iterator[Online]:
    made = place.made()
    yield made
    place(made.close())


def items(place: Place, state: Online, unit: str = "u") -> list[str]:
    return [seen.item for seen in place(state.history(unit))]


def test_a_history_gives_what_was_put_in(place: Place, state: Online) -> None:
    told = click("o1\1", "user😀", 'quoted "b"\\', MONDAY + timedelta(microseconds=1), "añadir")
    place(state.add([told, click("o2", "other")]))
    (seen,) = place(state.history("user😀"))
    assert (seen.id, seen.item, seen.kind, seen.at) == (told.id, told.item, told.kind, told.at)
    assert place(state.history("nobody")) == ()


def test_only_outcomes_that_name_an_item_are_taken_up(place: Place, state: Online) -> None:
    shown = Exposure(id="e", unit="u", experiment="x", variant="v", at=MONDAY, items=("i",))
    place(state.add([shown, replace(click("o"), item="")]))
    assert place(state.history("u")) == ()
    assert place(state.trending(MONDAY, 5)) == []


def test_late_events_find_their_place_and_ties_are_ordered_by_id(place: Place, state: Online) -> None:
    place(state.add([click("b", item="2"), click("c", item="4", at=MONDAY + HOUR), click("é", item="3")]))
    place(state.add([click("a", item="1"), click("z", item="0", at=MONDAY - HOUR)]))
    assert items(place, state) == ["0", "1", "2", "3", "4"]


def test_an_event_is_taken_up_once(place: Place, state: Online) -> None:
    one = click("o")
    place(state.add([one, one]))
    place(state.add([click("p", at=MONDAY + HOUR), one]))
    assert items(place, state) == ["i", "i"]
    assert place(state.trending(MONDAY + HOUR, 5))[0][1] == pytest.approx(1 + 0.5 ** (2 / 12))


def test_a_full_history_keeps_the_newest_and_counts_nothing_older(place: Place, state: Online) -> None:
    for n in range(8):
        place(state.add([click(f"o{n}", item=f"i{n}", at=MONDAY + n * HOUR)]))
    assert items(place, state) == ["i3", "i4", "i5", "i6", "i7"]
    before = place(state.trending(MONDAY + 8 * HOUR, 20))
    place(state.add([click("o1", item="i1", at=MONDAY + HOUR), click("x", item="late", at=MONDAY)]))
    assert items(place, state) == ["i3", "i4", "i5", "i6", "i7"]
    assert place(state.trending(MONDAY + 8 * HOUR, 20)) == before


def test_a_history_that_was_given_does_not_change(place: Place, state: Online) -> None:
    place(state.add([click("a")]))
    given_before = place(state.history("u"))
    place(state.add([click("b", at=MONDAY + HOUR)]))
    assert len(given_before) == 1


def test_counts_fade_by_half_in_a_half_life_and_are_forgotten(place: Place, state: Online) -> None:
    place(state.add([click(f"a{n}", f"u{n}", "old") for n in range(8)]))
    place(state.add([click(f"b{n}", f"u{n}", "new", MONDAY + 12 * HOUR) for n in range(3)]))
    assert place(state.trending(MONDAY, 1)) == [("old", pytest.approx(8))]
    later = place(state.trending(MONDAY + 12 * HOUR, 5))
    assert later == [("new", pytest.approx(3)), ("old", pytest.approx(2))]  # 8 / 2 / 2
    assert [item for item, _ in place(state.trending(MONDAY + 12 * HOUR, 1))] == ["new"]
    assert place(state.trending(MONDAY + 12 * HOUR + 48 * HOUR, 5)) == []


def test_equal_counts_stand_in_one_order(place: Place, state: Online) -> None:
    place(state.add([click(f"o{item}", f"u{item}", item) for item in "bca"]))
    assert [item for item, _ in place(state.trending(MONDAY, 3))] == ["c", "b", "a"]


def test_sums_add_up(place: Place, state: Online) -> None:
    assert place(state.sums("bandit")) == {}
    place(state.add_to("bandit", {"ease:tries": 1, "ease:wins": 0.5}))
    place(state.add_to("bandit", {"ease:tries": 2, "knn:tries": 1}))
    assert place(state.sums("bandit")) == {"ease:tries": 3.0, "ease:wins": 0.5, "knn:tries": 1.0}
    assert place(state.sums("other")) == {}


def test_a_crowd_is_no_outage(place: Place, state: Online) -> None:
    place(state.add([click("a")]))

    async def crowd() -> list[Any]:
        return await asyncio.gather(*(state.history("u") for _ in range(500)))

    assert {len(history) for history in place(crowd())} == {1}


def test_processes_share_what_is_shared(server: RedisServer) -> None:
    loop = asyncio.new_event_loop()
    place = Place("redis", server.url, loop)
    one, other = place.made("shared:"), place.made("shared:")
    place(one.add([click("a")]))
    place(other.add([click("a"), click("b", at=MONDAY + HOUR)]))
    assert place(one.history("u")) == place(other.history("u"))
    assert len(place(one.history("u"))) == 2
    for state in (one, other):
        place(state.close())
    loop.close()


events = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("uv"), st.sampled_from("xyz"), st.integers(0, 3)),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(events)
def test_both_places_say_the_same(server: RedisServer, told: list[tuple[str, str, str, int]]) -> None:
    """Any order of events and repetitions; an id always comes with the same content."""
    content: dict[str, Any] = {}
    batch = [content.setdefault(id, click(id, unit, item, MONDAY + hour * HOUR)) for id, unit, item, hour in told]
    loop = asyncio.new_event_loop()
    said = []
    for kind in sorted(ONLINE):
        place = Place(kind, server.url, loop)
        state = place.made(each=3)
        for event in batch:
            place(state.add([event]))
        trend = [(item, round(weight, 9)) for item, weight in place(state.trending(MONDAY + 3 * HOUR, 5))]
        said.append((place(state.history("u")), place(state.history("v")), trend))
        place(state.close())
    loop.close()
    assert said[0] == said[1]
