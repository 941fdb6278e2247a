"""Ingest: events of many requests at once, kept by one commit, acknowledged only when the log says they are durable."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from abtest.events.log import EventLog
from abtest.service.ports import Observe
from abtest.service.problems import Problem, unavailable
from abtest.service.telemetry import say
from abtest.types import Exposure, Outcome

GROUP = 2_000
"""Events: a commit takes no further waiting requests beyond this many."""
AGAIN = "send the same events again: their ids make that safe"

Event = Exposure | Outcome


@dataclass(frozen=True, eq=False)
class _Waiting:
    events: Sequence[Event]
    new: "asyncio.Future[list[bool]]"


class Ingest:
    """Gathers events while a commit is under way and gives them to the log together (group commit).

    There is no timer: a single sender waits for the disk only, and a crowd shares its commits. One thread talks to
    the log. When the log fails, or does not answer in time, the senders get a 503 and nothing is acknowledged; the
    next request tries again. `observe` is told of new events, in the event loop, before their senders are.
    """

    def __init__(self, log: EventLog, *, most: int, patience: float, observe: Observe | None = None) -> None:
        self._log = log
        self._most = most
        self._patience = patience
        self._observe = observe
        self._queue: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ingest")
        self._task: asyncio.Task[None] | None = None
        self._overdue = False
        self.waiting = 0
        self.commits = 0
        self.kept = 0
        self.failing = ""

    async def keep(self, events: Sequence[Event]) -> list[bool]:
        """Whether each event was new, once all of them are durable."""
        if not events:
            return []
        if self._overdue:
            raise unavailable(f"the event log has not answered for {self._patience:g} seconds", AGAIN)
        if self.waiting + len(events) > self._most:
            raise unavailable(f"{self.waiting} events wait for the disk already, at most {self._most} may", AGAIN)
        loop = asyncio.get_running_loop()
        new = loop.create_future()
        self._queue.append(_Waiting(events, new))
        self.waiting += len(events)
        if self._task is None:
            self._task = loop.create_task(self._write())
        answer: list[bool] = await new
        return answer

    async def close(self) -> None:
        """Keep what waits; the log itself stays open."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._patience)
        self._thread.shutdown(wait=False)

    async def _write(self) -> None:
        try:
            while self._queue:
                await self._commit(self._take())
        finally:
            self._task = None

    def _take(self) -> list[_Waiting]:
        group, n = [], 0
        while self._queue and n < GROUP:
            group.append(self._queue.popleft())
            n += len(group[-1].events)
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        watch = loop.call_later(self._patience, self._give_up, group)
        events = [event for waiting in group for event in waiting.events]
        try:
            new = await loop.run_in_executor(self._thread, self._log.append_each, events)
        except ValueError as error:
            # one bad event refuses its batch: each sender is asked for alone, so that it hurts nobody else
            if len(group) > 1:
                self.waiting += len(events)  # each of them takes its own away again
                for waiting in group:
                    await self._commit([waiting])
            else:
                _fail(group, Problem(422, "refused", str(error), "mend the event and send it again"))
        except Exception as error:  # whatever the log's engine raises: the senders wait for an answer
            self._fails(str(error))
            _fail(group, unavailable(f"the event log cannot be written: {error}", AGAIN))
        else:
            if self.failing:
                self.failing = ""
                say(logging.INFO, "event log is back")
            self.commits += 1
            self.kept += sum(new)
            # before the senders are told, so that what they ask next finds it
            await self._observed([event for event, is_new in zip(events, new, strict=True) if is_new])
            self._tell(group, new)
        finally:
            watch.cancel()
            self._overdue = False
            self.waiting -= len(events)

    async def _observed(self, events: Sequence[Event]) -> None:
        if self._observe is None or not events:
            return
        try:
            await self._observe(events)
        except Exception:  # the events are kept: that is what the senders were promised
            say(logging.ERROR, "kept events were not taken up", trace=True)

    def _tell(self, group: list[_Waiting], new: list[bool]) -> None:
        start = 0
        for waiting in group:
            end = start + len(waiting.events)
            if not waiting.new.done():
                waiting.new.set_result(new[start:end])
            start = end

    def _fails(self, why: str) -> None:
        """Remember why the log fails; told once, however many senders come meanwhile."""
        if not self.failing:
            say(logging.ERROR, "event log fails", detail=why)
        self.failing = why

    def _give_up(self, group: list[_Waiting]) -> None:
        """The log hangs: everybody who waits is told that it is not known whether the events were kept."""
        self._overdue = True
        self._fails(f"no answer for {self._patience:g} seconds")
        _fail([*group, *self._queue], unavailable(f"the event log gave {self.failing}", AGAIN))


def _fail(group: Sequence[_Waiting], problem: Problem) -> None:
    for waiting in group:
        if not waiting.new.done():
            waiting.new.set_exception(problem)
