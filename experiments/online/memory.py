"""Online state in this process: the default, and what stands in while a shared place does not answer."""

from bisect import bisect_left
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from abtest.types import Exposure, Outcome
from experiments.online.state import Decay, Online, Seen, touches

USERS, EACH = 100_000, 200
"""Users who are remembered, those seen last; and how many events of each, the newest."""


class MemoryOnline(Online):
    """Keeps the state of this process."""

    def __init__(self, *, users: int = USERS, each: int = EACH, decay: Decay | None = None) -> None:
        self._users, self._each, self._decay = users, each, decay or Decay()
        self._seen: OrderedDict[str, tuple[Seen, ...]] = OrderedDict()
        self._counts: dict[int, Counter[str]] = {}
        self._sums: dict[str, defaultdict[str, float]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    async def add(self, events: Sequence[Exposure | Outcome]) -> None:
        """Take up what users did."""
        for event in touches(events):
            if self._joined(event):
                self._counts.setdefault(self._decay.step(event.at), Counter())[event.item] += 1
        while len(self._seen) > self._users:
            self._seen.popitem(last=False)

    async def history(self, unit: str) -> tuple[Seen, ...]:
        """What a unit touched lately; a value of its own, that later events do not change."""
        return self._seen.get(unit, ())

    async def trending(self, now: datetime, n: int) -> list[tuple[str, float]]:
        """The n items that count most now, with their faded counts."""
        weights, total = self._decay.weights(now), defaultdict[str, float](float)
        for step in [step for step in self._counts if step < min(weights)]:
            del self._counts[step]
        for step, counts in self._counts.items():
            for item, count in counts.items():
                if weight := weights.get(step):
                    total[item] += weight * count
        return sorted(total.items(), key=lambda entry: (entry[1], entry[0].encode()), reverse=True)[:n]

    async def add_to(self, name: str, amounts: Mapping[str, float]) -> None:
        """Add to the sums of a name."""
        kept = self._sums.setdefault(name, defaultdict(float))
        for field, amount in amounts.items():
            kept[field] += amount

    async def sums(self, name: str) -> dict[str, float]:
        """The sums of a name."""
        return dict(self._sums.get(name, {}))

    async def close(self) -> None:
        """There is nothing to release."""

    def _joined(self, event: Outcome) -> bool:
        """Put an event into its unit's history; false when it was there, or is older than a full history."""
        new, old = Seen(item=event.item, kind=event.kind, at=event.at, id=event.id), self._seen.get(event.unit, ())
        place = len(old)
        if old and _order(new) <= _order(old[-1]):  # nearly every event is the newest
            place = bisect_left(old, _order(new), key=_order)
            # an id that comes again has its time again
            if old[place].id == new.id or (place == 0 and len(old) >= self._each):
                return False
        self._seen[event.unit] = (*old[:place], new, *old[place:])[-self._each :]
        self._seen.move_to_end(event.unit)
        return True


def _order(seen: Seen) -> tuple[datetime, str]:
    return seen.at, seen.id
