"""Explorer: some slates end with an item that the model ranked below them, chosen by what came of such tries so far."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import isnan

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from abtest.events.log import EventLog
from abtest.service.exploring import MARK, explores
from abtest.service.ports import Slate
from abtest.types import Exposure, Outcome
from experiments.online.state import Online

NAME = "explored"
"""Of the sums in the online state: how often an item was tried, and how often it was taken then."""
SHOWN, TAKEN = "shown ", "taken "

DRAWS = 100
"""Draws from the posteriors of all candidates for one choice."""
AT_RANDOM = 0.1
"""Of the choices, any candidate: none is ever given up, and no weight of an off-policy estimate grows without end."""


@dataclass(kw_only=True, eq=False)
class Explorer:
    """Gives the last place of a share of the slates to one of the items below them, by Thompson sampling.

    An item's chance to be taken has the prior Beta(prior_taken, prior_left) and is learned from explored places only:
    all of them are the last of a slate, so that no item looks good for having stood first. The choice is the winner of
    one of DRAWS draws, or one of the n candidates AT_RANDOM, so that every propensity is known and none estimated:
    share * (0.9 * wins / DRAWS + 0.1 / n); the model's own item has 1 - share.

    It keeps what was tried and taken in the online state, which other processes may share, and takes it up with
    `follow`. kinds: of the outcomes that count as taken.
    """

    live: Online
    share: float
    beyond: int = 50
    kinds: frozenset[str] = frozenset({"click"})
    prior_taken: float = 1.0
    prior_left: float = 1.0
    _known: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __call__(self, slate: Slate, k: int, seed: str) -> Slate:
        """The slate of k places: mostly the model's first k, else with one of the others in the last place."""
        below = [place for place in range(k, len(slate.items)) if not isnan(slate.scores[place])]
        if slate.fallback or not below:
            return _first(slate, k)
        digest = hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=24).digest()
        if int.from_bytes(digest[:8]) >= self.share * 2**64:
            return _first(slate, k, 1.0 - self.share)
        rng = np.random.default_rng(int.from_bytes(digest[8:]))
        chances = self.chances([slate.items[place] for place in below], rng)
        chosen = int(rng.choice(len(below), p=chances))
        return _ending_with(slate, k, below[chosen], self.share * float(chances[chosen]))

    def chances(self, items: Sequence[str], rng: np.random.Generator) -> NDArray[np.float64]:
        """(n,) the probability with which each of n candidates is chosen now; all above 0."""
        n, known = len(items), self._known
        counts = np.array([known.get(item, (0.0, 0.0)) for item in items])
        taken, shown = counts[:, 0], np.maximum(counts[:, 0], counts[:, 1])  # clicked twice is no second try
        drawn = rng.beta(self.prior_taken + taken, self.prior_left + shown - taken, size=(DRAWS, n))
        wins = np.bincount(drawn.argmax(axis=1), minlength=n)
        found: NDArray[np.float64] = (1.0 - AT_RANDOM) * wins / DRAWS + AT_RANDOM / n
        return found

    async def observe(self, events: Sequence[Exposure | Outcome]) -> None:
        """Count what was tried and what was taken of it."""
        amounts: defaultdict[str, float] = defaultdict(float)
        for event in events:
            if isinstance(event, Exposure):
                if event.items and explores(event.id, event.items[-1]):
                    amounts[SHOWN + event.items[-1]] += 1.0
            elif event.kind in self.kinds and explores(event.exposure, event.item):
                amounts[TAKEN + event.item] += 1.0
        if amounts:
            await self.live.add_to(NAME, amounts)

    async def follow(self) -> None:
        """Take up what this and other processes have learned."""
        sums = await self.live.sums(NAME)
        tried = {name.removeprefix(SHOWN): n for name, n in sums.items() if name.startswith(SHOWN)}
        self._known = {item: (sums.get(TAKEN + item, 0.0), n) for item, n in tried.items()}


def lately(log: EventLog, since: datetime, until: datetime) -> list[Exposure | Outcome]:
    """What the log holds of explored places, for a state that lives no longer than its process.

    Read an hour at a time: few slates are explored, and a day of all of them need not fit into memory.
    """
    found: list[Exposure | Outcome] = []
    while since < until:
        end = min(since + timedelta(hours=1), until)
        shown = log.exposures(since=since, until=end)
        shown = shown.filter(pc.match_substring_regex(shown["id"], MARK))
        columns = shown.select(["id", "unit", "experiment", "variant", "at", "items"])
        found += [Exposure(**{**row, "items": tuple(row["items"])}) for row in columns.to_pylist()]
        done = log.outcomes(since=since, until=end)
        done = done.filter(pc.match_substring_regex(done["exposure"], MARK))
        found += [Outcome(**row) for row in done.to_pylist()]
        since = end
    return found


def _first(slate: Slate, k: int, propensity: float | None = None) -> Slate:
    """The model's own first k. They are made once of a slate that is kept, like what is written of them."""
    made: dict[tuple[int, float | None], Slate] = slate.__dict__.setdefault("_first", {})  # frozen, not closed
    if (k, propensity) not in made:
        made[k, propensity] = _cut(slate, range(min(k, len(slate.items))), propensity)
    return made[k, propensity]


def _ending_with(slate: Slate, k: int, place: int, propensity: float) -> Slate:
    return replace(_cut(slate, [*range(k - 1), place], propensity), explored=slate.items[place])


def _cut(slate: Slate, places: Sequence[int], propensity: float | None) -> Slate:
    """The slate of these places; the last stands there with this probability, the others for certain."""
    certain = (1.0,) * (len(places) - 1)
    return replace(
        slate,
        items=tuple(slate.items[place] for place in places),
        scores=tuple(slate.scores[place] for place in places),
        titles=tuple(slate.titles[place] for place in places) if slate.titles else (),
        propensities=() if propensity is None else (*certain, propensity),
    )
