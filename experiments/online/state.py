"""Online: the contract of every place that keeps what happened since the models were fitted."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from abtest.types import Exposure, Outcome

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One item that a user touched. id: the event's, by which it is taken up once."""

    item: str
    kind: str
    at: datetime
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Decay:
    """How counts of trending items fade: by half in `half_life` seconds, in steps of a twelfth of it.

    What is older than eight half-lives, 0.4% of its weight, is forgotten.
    """

    half_life: float = 21_600.0
    steps: int = field(default=12, init=False)

    @property
    def width(self) -> float:
        """Seconds of one step."""
        return self.half_life / self.steps

    def step(self, at: datetime) -> int:
        """The number of the step that holds a moment."""
        return int((at - EPOCH).total_seconds() // self.width)

    def weights(self, now: datetime) -> dict[int, float]:
        """What one count of each step that is not forgotten weighs now; of a clock that is ahead: as of now."""
        last = self.step(now)
        return {last - age: 0.5 ** (max(age, 0) / self.steps) for age in range(-self.steps, 8 * self.steps)}


class Online(ABC):
    """Recent histories by unit, counts of trending items that fade, and sums such as a bandit's statistics.

    - An outcome that names an item joins its unit's history and counts for the item, once for ever: one whose id is in
      the history is ignored. Histories hold the newest `each` events, oldest first, ties in the order of their ids;
      of a full history, what is older than its oldest event is ignored.
    - What cannot be reached raises an OSError.
    - For one event loop; other processes may share the place, if it is one that is shared.
    """

    @abstractmethod
    async def add(self, events: Sequence[Exposure | Outcome]) -> None:
        """Take up what users did."""

    @abstractmethod
    async def history(self, unit: str) -> tuple[Seen, ...]:
        """What a unit touched lately, oldest first."""

    @abstractmethod
    async def trending(self, now: datetime, n: int) -> list[tuple[str, float]]:
        """The n items that count most now with their faded counts, most first; ties by id, the last first."""

    @abstractmethod
    async def add_to(self, name: str, amounts: Mapping[str, float]) -> None:
        """Add to the sums of a name: statistics of a bandit's arms, which only ever add up."""

    @abstractmethod
    async def sums(self, name: str) -> dict[str, float]:
        """The sums of a name; empty when nothing was added."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections."""


def touches(events: Sequence[Exposure | Outcome]) -> list[Outcome]:
    """The events that online state takes up."""
    return [event for event in events if isinstance(event, Outcome) and event.item]
