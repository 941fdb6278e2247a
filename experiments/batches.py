"""Batches: what is asked one call at a time is computed as many calls at a time as wait."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

AT_ONCE = 8
"""Calls that are computed together, at most: the first of them waits for all."""


@dataclass(eq=False)
class _Call(Generic[Asked, Answer]):
    asked: Asked
    future: "Future[Answer]" = field(default_factory=Future)


class Batches(Generic[Asked, Answer]):
    """Threads that answer calls; those that wait meanwhile and are alike are computed together.

    compute: n calls to their n answers, in order; when it raises, each call is computed alone, so that one bad call
    fails alone. alike: calls of the same key may be computed together. waiting: calls that may wait or be computed; a
    call beyond them is refused. Nobody waits for company: a call that finds a free thread is computed at once, alone.

    sharing: of those that wait, each thread takes its share, so that none is idle while another computes many: where
    threads compute side by side. Where they take turns at it, taking all is cheaper.

    Calls that come faster than they are computed cost less each, for what a computation costs whatever its size is paid
    once for all of them; the threads are daemons, for a computation that hangs must not hold up the end of a process.
    """

    def __init__(
        self, compute: Callable[[Sequence[Asked]], Sequence[Answer]], alike: Callable[[Asked], Hashable], *,
        threads: int, waiting: int, name: str, at_once: int = AT_ONCE, sharing: bool = False,
    ) -> None:  # fmt: skip
        self._compute, self._alike, self._waiting, self._at_once = compute, alike, waiting, at_once
        self._takers = threads if sharing else 1
        self._queue: deque[_Call[Asked, Answer]] = deque()
        self._come, self._counting = threading.Condition(), threading.Lock()
        self._in_flight, self._closed = 0, False
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, asked: Asked) -> "Future[Answer] | None":
        """Ask; None when too many wait already, or when it is closed."""
        with self._counting:
            if self._in_flight >= self._waiting:
                return None
            self._in_flight += 1
        call = _Call[Asked, Answer](asked)
        call.future.add_done_callback(self._done)
        with self._come:
            if self._closed:
                call.future.cancel()
                return None
            self._queue.append(call)
            self._come.notify()
        return call.future

    def close(self) -> None:
        """Let running computations end; cancel what waits, and take no more."""
        with self._come:
            self._closed = True
            left, self._queue = self._queue, deque()
            self._come.notify_all()
        for call in left:
            call.future.cancel()

    def _done(self, future: "Future[Answer]") -> None:
        with self._counting:
            self._in_flight -= 1

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            running = [call for call in batch if call.future.set_running_or_notify_cancel()]
            if running:
                self._answer(running)

    def _next(self) -> list[_Call[Asked, Answer]] | None:
        """The call that waits longest, with those like it; None when it is over."""
        with self._come:
            self._come.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            most = min(self._at_once, ceil(len(self._queue) / self._takers))
            first = self._queue.popleft()
            if most == 1:
                return [first]
            key, batch, rest = self._alike(first.asked), [first], deque[_Call[Asked, Answer]]()
            for call in self._queue:
                together = len(batch) < most and self._alike(call.asked) == key
                (batch if together else rest).append(call)
            self._queue = rest
            return batch

    def _answer(self, batch: Sequence[_Call[Asked, Answer]]) -> None:
        try:
            answered = list(zip(batch, self._compute([call.asked for call in batch]), strict=True))
        except BaseException as error:  # whatever it is, who asked must hear of it, and the thread goes on
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for call in batch:
                self._answer([call])
            return
        for call, answer in answered:
            call.future.set_result(answer)
