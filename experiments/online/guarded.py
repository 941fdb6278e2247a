"""GuardedOnline: a shared place with this process's own state behind it, for while the shared one does not answer."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from abtest.service.telemetry import say
from abtest.types import Exposure, Outcome
from experiments.online.state import Online, Seen, touches

T = TypeVar("T")
KEPT_BACK = 20_000
"""Events that wait for the shared place to come back, the newest; the event log has them all."""


class GuardedOnline(Online):
    """Asks the shared place; when it fails, the own one, and not the shared one again for `pause` seconds.

    Both are told of everything. What the shared one missed is sent to it when it is back, which its promise to take
    up an event once makes safe. problem: what is wrong, "" while it answers; failed(operation) counts.
    """

    def __init__(
        self,
        shared: Online,
        own: Online,
        *,
        ticks: Callable[[], float],
        pause: float = 1.0,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._shared, self._own, self._ticks, self._pause, self._failed = shared, own, ticks, pause, failed
        self._missed: deque[Outcome] = deque(maxlen=KEPT_BACK)
        self._missed_sums: dict[str, dict[str, float]] = {}
        self._until = 0.0
        self._mending = False
        self.problem = ""

    async def add(self, events: Sequence[Exposure | Outcome]) -> None:
        """Take up what users did."""
        await self._own.add(events)
        taken = touches(events)
        if not await self._told("add", lambda: self._shared.add(taken)):
            self._missed.extend(taken)

    async def history(self, unit: str) -> tuple[Seen, ...]:
        """What a unit touched lately."""
        return await self._asked("history", lambda: self._shared.history(unit), lambda: self._own.history(unit))

    async def trending(self, now: datetime, n: int) -> list[tuple[str, float]]:
        """The n items that count most now."""
        return await self._asked("trending", lambda: self._shared.trending(now, n), lambda: self._own.trending(now, n))

    async def add_to(self, name: str, amounts: Mapping[str, float]) -> None:
        """Add to the sums of a name."""
        await self._own.add_to(name, amounts)
        if not await self._told("add_to", lambda: self._shared.add_to(name, amounts)):
            kept = self._missed_sums.setdefault(name, {})
            for field, amount in amounts.items():
                kept[field] = kept.get(field, 0.0) + amount

    async def sums(self, name: str) -> dict[str, float]:
        """The sums of a name."""
        return await self._asked("sums", lambda: self._shared.sums(name), lambda: self._own.sums(name))

    async def close(self) -> None:
        """Release the connections of both."""
        await self._own.close()
        await self._shared.close()

    async def _asked(self, operation: str, shared: Callable[[], Awaitable[T]], own: Callable[[], Awaitable[T]]) -> T:
        found: list[T] = []

        async def ask() -> None:
            found.append(await shared())

        return found[0] if await self._told(operation, ask) else await own()

    async def _told(self, operation: str, call: Callable[[], Awaitable[None]]) -> bool:
        """Whether the shared place took a call; what it missed before goes first."""
        if self._until > self._ticks():
            self._failed(operation)
            return False
        if self._mending:  # one at a time sends what was missed
            self._failed(operation)
            return False
        mends = bool(self.problem)
        try:
            if mends:
                self._mending = True
                await self._send_missed()
            await call()
        except OSError as error:
            self._failed(operation)
            self._until = self._ticks() + self._pause
            if not self.problem:
                say(logging.ERROR, "online state fails", detail=str(error))
            self.problem = f"{error}; this process's own state stands in"
            return False
        finally:
            if mends:
                self._mending = False
        if self.problem:
            self.problem = ""
            say(logging.INFO, "online state is back")
        return True

    async def _send_missed(self) -> None:
        while self._missed:
            part = [self._missed[i] for i in range(min(500, len(self._missed)))]
            await self._shared.add(part)
            for _ in part:
                self._missed.popleft()
        for name in list(self._missed_sums):
            await self._shared.add_to(name, self._missed_sums[name])
            del self._missed_sums[name]
