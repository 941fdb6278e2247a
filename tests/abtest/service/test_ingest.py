"""Group commit: shared, fair, bounded; and what happens when the log fails, hangs or comes back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from abtest.events.memory import MemoryLog
from abtest.service.ingest import Ingest
from abtest.service.ports import Limits
from abtest.service.problems import Problem
from abtest.types import Exposure, Outcome
from tests.abtest.service.worlds import service

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)


class Disk(MemoryLog):
    """A log that can be made to fail or to wait, and that remembers how large its batches were."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.full = False
        self.free = threading.Event()
        self.free.set()

    def append_each(self, events: Sequence[Exposure | Outcome]) -> list[bool]:
        assert self.free.wait(30)
        if self.full:
            raise OSError("disk is full")
        new = super().append_each(events)
        self.batches.append(len(events))
        return new


def outcome(id: str, **fields: Any) -> Outcome:
    return Outcome(**{"id": id, "unit": "u", "kind": "click", "at": MONDAY, **fields})


def run(disk: Disk, work: Callable[[Ingest], Awaitable[Any]], most: int = 1_000, patience: float = 20.0) -> Any:
    async def scene() -> Any:
        ingest = Ingest(disk, most=most, patience=patience)
        try:
            return await work(ingest)
        finally:
            await ingest.close()

    return asyncio.run(scene())


def test_those_who_come_during_a_commit_share_the_next_one() -> None:
    disk = Disk()

    async def crowd(ingest: Ingest) -> list[list[bool]]:
        disk.free.clear()
        asks = [asyncio.create_task(ingest.keep([outcome(f"{n}"), outcome("shared")])) for n in range(50)]
        while ingest.waiting < 100:
            await asyncio.sleep(0)
        disk.free.set()
        return await asyncio.gather(*asks)

    told = run(disk, crowd)
    assert disk.batches[0] <= 100
    assert sum(disk.batches) == 100
    assert len(disk.batches) <= 2
    assert [new[0] for new in told] == [True] * 50
    assert [new[1] for new in told] == [True] + [False] * 49  # the first one's event was the new one


def test_one_sender_waits_for_nobody() -> None:
    disk = Disk()

    async def alone(ingest: Ingest) -> None:
        for n in range(5):
            assert await ingest.keep([outcome(f"{n}")]) == [True]
        assert await ingest.keep([]) == []

    run(disk, alone)
    assert disk.batches == [1] * 5


def test_a_bad_event_hurts_its_own_sender_only() -> None:
    disk = Disk()

    async def mixed(ingest: Ingest) -> list[Any]:
        disk.free.clear()
        batches = [[outcome("a")], [outcome("b"), outcome("", value=1)], [outcome("c")]]
        asks = [asyncio.create_task(ingest.keep(batch)) for batch in batches]
        await asyncio.sleep(0)
        disk.free.set()
        return [*await asyncio.gather(*asks, return_exceptions=True), ingest.waiting]

    first, second, third, waiting = run(disk, mixed)
    assert (first, third, waiting) == ([True], [True], 0)
    assert isinstance(second, Problem)
    assert second.status == 422
    assert disk.outcomes()["id"].to_pylist() == ["a", "c"]


def test_a_full_disk_is_503_and_the_next_request_tries_again() -> None:
    disk = Disk()

    async def full(ingest: Ingest) -> None:
        disk.full = True
        for _ in range(2):
            with pytest.raises(Problem, match="disk is full") as refused:
                await ingest.keep([outcome("a")])
            assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
        assert ingest.failing == "disk is full"
        disk.full = False
        assert await ingest.keep([outcome("a")]) == [True]
        assert (ingest.failing, ingest.waiting) == ("", 0)

    run(disk, full)


def test_a_disk_that_hangs_is_503_for_all_and_what_it_keeps_later_is_not_kept_twice() -> None:
    disk = Disk()

    async def hangs(ingest: Ingest) -> None:
        disk.free.clear()
        asks = [asyncio.create_task(ingest.keep([outcome(f"{n}")])) for n in range(3)]
        told = await asyncio.gather(*asks, return_exceptions=True)
        assert all(isinstance(problem, Problem) and problem.status == 503 for problem in told)
        with pytest.raises(Problem, match="has not answered"):
            await ingest.keep([outcome("later")])
        disk.free.set()
        while ingest.waiting:
            await asyncio.sleep(0.01)
        assert await ingest.keep([outcome("0"), outcome("later")]) == [False, True]

    run(disk, hangs, patience=0.05)
    assert disk.outcomes().num_rows == 4


def test_more_than_may_wait_are_sent_away() -> None:
    disk = Disk()

    async def crowd(ingest: Ingest) -> list[Any]:
        disk.free.clear()
        asks = [asyncio.create_task(ingest.keep([outcome(f"{n}-{i}") for i in range(4)])) for n in range(5)]
        await asyncio.sleep(0.05)
        disk.free.set()
        return list(await asyncio.gather(*asks, return_exceptions=True))

    told = run(disk, crowd, most=10)
    assert [isinstance(answer, list) for answer in told] == [True, True, False, False, False]
    assert {answer.status for answer in told[2:]} == {503}
    assert disk.outcomes().num_rows == 8


def test_a_sender_who_goes_away_leaves_the_others_alone() -> None:
    disk = Disk()

    async def leaves(ingest: Ingest) -> list[bool]:
        disk.free.clear()
        gone, stays = (asyncio.create_task(ingest.keep([outcome(id)])) for id in ("gone", "stays"))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        disk.free.set()
        return await stays

    assert run(disk, leaves) == [True]
    assert disk.outcomes()["id"].to_pylist() == ["gone", "stays"]


def test_over_http_events_get_503_with_retry_after_and_slates_are_still_shown() -> None:
    disk = Disk()
    with service(log=disk, limits=Limits(acknowledge_seconds=0.2)) as world:
        disk.full = True
        line = {"type": "outcome", "id": "o1", "unit": "u1", "kind": "click"}
        answer = world.post("/v1/events", {"events": [line]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "ids make that safe" in answer.json()["cure"]
        slate = world.post("/v1/recommend", {"unit": "u1", "k": 2})
        assert slate.status_code == 200
        assert (slate.json()["exposure"], slate.json()["logged"], len(slate.json()["items"])) == (None, False, 2)
        assert world.client.get("/ready").json()["problems"] == ["event log: disk is full"]
        disk.full = False
        assert world.post("/v1/events", {"events": [line]}).json()["kept"] == 1
        assert world.client.get("/ready").json()["problems"] == []
        assert "bakeoff_unlogged_exposures_total 1.0" in world.client.get("/metrics").text
