"""Calls that wait are computed together, and each gets its own answer."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import wait

import pytest

from experiments.batches import Batches


class Doubler:
    """Doubles numbers; holds while `free` is not set, and refuses what is below 0."""

    def __init__(self) -> None:
        self.free, self.began, self.batches = threading.Event(), threading.Event(), list[list[int]]()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.began.set()
        self.free.wait(30)
        if min(numbers) < 0:
            raise ValueError(f"{min(numbers)} is below 0")
        return [2 * number for number in numbers]


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
def batches(doubler: Doubler) -> Iterator[Batches[int, int]]:
    """One thread; odd and even numbers are not alike."""
    made = Batches[int, int](doubler, lambda number: number % 2, threads=1, waiting=9, at_once=3, name="doubler")
    yield made
    doubler.free.set()
    made.close()


def busy(batches: Batches[int, int], doubler: Doubler) -> None:
    """Let the only thread hold a call of its own."""
    batches.submit(100)
    assert doubler.began.wait(10)


def test_a_call_that_finds_a_free_thread_is_computed_alone(batches: Batches[int, int], doubler: Doubler) -> None:
    doubler.free.set()
    for number in range(5):
        future = batches.submit(number)
        assert future is not None
        assert future.result(10) == 2 * number
    assert doubler.batches == [[number] for number in range(5)]


def test_those_that_wait_are_computed_together_where_they_are_alike(
    batches: Batches[int, int], doubler: Doubler
) -> None:
    busy(batches, doubler)
    futures = [batches.submit(number) for number in (2, 1, 4, 6, 3, 8)]
    doubler.free.set()
    assert [future.result(10) for future in futures if future is not None] == [4, 2, 8, 12, 6, 16]
    # three at once at most, the one that waits longest first
    assert doubler.batches == [[100], [2, 4, 6], [1, 3], [8]]


def test_threads_share_what_waits(doubler: Doubler) -> None:
    """One that took all four would leave the other with nothing to do, and three callers waiting for a fourth."""
    made = Batches[int, int](doubler, lambda _: 0, threads=2, waiting=9, name="two", sharing=True)
    held = []
    for number in (100, 200):
        held.append(made.submit(number))
        assert doubler.began.wait(10)
        doubler.began.clear()
    futures = [made.submit(number) for number in (1, 2, 3, 4)]
    doubler.free.set()
    assert [future.result(10) for future in (*held, *futures) if future is not None] == [200, 400, 2, 4, 6, 8]
    assert sorted(len(batch) for batch in doubler.batches[2:]) == [1, 1, 2]
    made.close()


def test_a_bad_call_fails_alone(batches: Batches[int, int], doubler: Doubler) -> None:
    busy(batches, doubler)
    good, bad, other = (batches.submit(number) for number in (2, -4, 6))
    doubler.free.set()
    assert good is not None
    assert bad is not None
    assert other is not None
    assert (good.result(10), other.result(10)) == (4, 12)
    with pytest.raises(ValueError, match="-4 is below 0"):
        bad.result(10)


def test_a_computation_that_answers_too_little_is_heard_of_and_the_thread_goes_on() -> None:
    answers = iter([[], [4]])
    made = Batches[int, int](lambda numbers: next(answers), lambda _: 0, threads=1, waiting=9, name="short")
    first = made.submit(1)
    assert first is not None
    with pytest.raises(ValueError, match="shorter"):
        first.result(10)
    second = made.submit(2)
    assert second is not None
    assert second.result(10) == 4
    made.close()


def test_no_more_wait_than_may_and_a_cancelled_one_is_not_computed(
    batches: Batches[int, int], doubler: Doubler
) -> None:
    busy(batches, doubler)
    futures = [batches.submit(2 * number) for number in range(9)]
    assert futures[7] is not None
    assert futures[8] is None  # nine with the one that is computed
    assert futures[7].cancel()
    again = batches.submit(50)
    assert again is not None
    doubler.free.set()
    assert again.result(10) == 100
    assert 14 not in [number for batch in doubler.batches for number in batch]


def test_once_closed_nothing_waits_and_nothing_is_taken(batches: Batches[int, int], doubler: Doubler) -> None:
    first = batches.submit(2)
    assert doubler.began.wait(10)
    second = batches.submit(4)
    batches.close()
    assert batches.submit(6) is None
    assert first is not None
    assert second is not None
    assert second.cancelled()
    doubler.free.set()
    assert first.result(10) == 4  # what was running ends


def test_many_callers_each_get_their_own_answer() -> None:
    made = Batches[int, int](lambda numbers: [2 * n for n in numbers], lambda _: 0, threads=2, waiting=2_000, name="d")

    def call(start: int) -> None:
        futures = {number: made.submit(number) for number in range(start, start + 200)}
        wait([future for future in futures.values() if future is not None], 20)
        wrong.extend(number for number, future in futures.items() if future is None or future.result(0) != 2 * number)

    wrong: list[int] = []
    callers = [threading.Thread(target=call, args=(1_000 * n,)) for n in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    made.close()
    assert wrong == []
