"""Serving: a slate for a unit by the version that its variant names, in time, whatever a model does."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from abtest.service.ports import Slate, Why
from abtest.service.problems import Problem, unavailable
from abtest.types import Experiment, Exposure, Outcome, Variant
from experiments.answering import Ranked
from experiments.live import Told
from experiments.online.state import Online, Seen, touches
from experiments.slots import Current, Served, Slots

NO_CONTEXT: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait. deadline: seconds for the model that was asked; second: for the champion, when it stands in;
    reasons: for the sentences why."""

    deadline: float = 0.05
    second: float = 0.025
    reasons: float = 0.5


Page = dict[tuple[int, int, str], tuple[float, tuple[Seen, ...], Slate]]
"""(version, k, what the request told of its context) -> until when, made for which history, the slate."""
SLATES = 20
"""On a unit's page, at most: whoever sends ever new contexts starts the page anew."""


class SlateCache:
    """The slates of the users seen last, for some seconds, forgotten when a user does something. For one thread.

    What a user did through another process is seen by the history: a slate is for the one it was made for.
    """

    def __init__(self, ticks: Callable[[], float], *, seconds: float, users: int) -> None:
        self._ticks, self._seconds, self._users = ticks, seconds, users
        self._of: OrderedDict[str, Page] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def get(self, unit: str, version: int, k: int, live: tuple[Seen, ...], told: Told = ()) -> Slate | None:
        """The slate, if it is kept, not too old, and made for this history."""
        found = self._of.get(unit)
        entry = None if found is None else found.get((version, k, _key(told)))
        if entry is None or entry[0] < self._ticks() or not (entry[1] is live or entry[1] == live):
            return None
        return entry[2]

    def page(self, unit: str) -> Page:
        """Where to write a unit's slates, taken before they are made: a page forgotten meanwhile is read by nobody."""
        page = self._of.setdefault(unit, {})
        self._of.move_to_end(unit)
        if len(self._of) > self._users:
            self._of.popitem(last=False)
        return page

    def write(self, page: Page, k: int, live: tuple[Seen, ...], slate: Slate, told: Told = ()) -> None:
        """Keep a slate on its unit's page."""
        if self._seconds > 0 and slate.version is not None:
            if len(page) >= SLATES:
                page.clear()
            page[slate.version, k, _key(told)] = (self._ticks() + self._seconds, live, replace(slate, cached=True))

    def forget(self, unit: str) -> None:
        """Forget a unit's slates."""
        self._of.pop(unit, None)


class Serving:
    """Fills slates: the version of the variant, else the champion, else what is popular; each step says why.

    Call it in the event loop; models answer in threads of their own. `observe` takes what users did: it ends up in
    their histories at once, and their cached slates are forgotten.
    """

    def __init__(
        self, model: str, slots: Slots, *, cache: SlateCache, live: Online, patience: Patience
    ) -> None:  # fmt: skip
        self.model = model
        self.slots = slots
        self.cache = cache
        self.live = live
        self.patience = patience

    async def __call__(
        self, unit: str, k: int, variant: Variant | None, context: Mapping[str, Any] = NO_CONTEXT
    ) -> Slate:
        """The slate of a unit; context: what the request tells, of which a model reads what it was fitted with."""
        current = self.slots.current
        wanted = self._wanted(current, variant)
        asked = current.served.get(wanted)
        told = () if asked is None else asked.told(context)
        live = await self.live.history(unit)
        if (kept := self.cache.get(unit, wanted, k, live, told)) is not None:
            return kept
        page = self.cache.page(unit)
        slate = await self._filled(current, wanted, unit, k, live, context)
        if not slate.fallback:
            self.cache.write(page, k, live, slate, told)
        return slate

    async def why(self, unit: str, slate: Slate, context: Mapping[str, Any] = NO_CONTEXT) -> Sequence[str]:
        """A sentence for each item; empty ones when finding them takes too long."""
        served = self.slots.current.served.get(slate.version or 0)
        if served is not None:
            live = await self.live.history(unit)
            found = asyncio.get_running_loop().run_in_executor(
                None, served.why, unit, slate.items, live, served.told(context)
            )
            try:
                return await asyncio.wait_for(found, self.patience.reasons)
            except Exception:  # a sentence is no reason to lose the slate
                pass
        return ("",) * len(slate.items)

    async def observe(self, events: Sequence[Exposure | Outcome]) -> None:
        """Take up what users did."""
        await self.live.add(events)
        for event in touches(events):
            self.cache.forget(event.unit)

    async def follow(self, now: datetime, *, most: int, least: float) -> None:
        """Let every version know what trends now: up to `most` items whose faded count is at least `least`."""
        found = await self.live.trending(now, most) if most else []
        trending = [item for item, count in found if count >= least]
        for served in self.slots.current.served.values():
            served.follow(trending)

    def serves(self, experiment: Experiment) -> bool:
        """Whether every variant names a version of this model."""
        return all(
            isinstance(variant.payload.get("version"), int) and variant.payload.get("model", self.model) == self.model
            for variant in experiment.variants
        )

    def prepare(self, experiment: Experiment) -> None:
        """Load every version that the experiment names; a ValueError says which cannot be."""
        if not self.serves(experiment):
            raise ValueError(f"every variant must name a version of {self.model!r}, as in payload: {{version: 2}}")
        for variant in experiment.variants:
            self.slots.ensure(int(variant.payload["version"]))

    def _wanted(self, current: Current, variant: Variant | None) -> int:
        if not current.served or current.champion is None:
            raise unavailable(f"no version of {self.model!r} is loaded", "GET /ready tells why", 5)
        if variant is None:
            return current.champion
        payload = variant.payload
        if payload.get("model", self.model) != self.model or not isinstance(payload.get("version"), int):
            raise Problem(
                422, "other_model", f"variant {variant.name!r} names no version of {self.model!r}",
                "ask the service of that model, or leave the experiment out",
            )  # fmt: skip
        return int(payload["version"])

    async def _filled(
        self, current: Current, wanted: int, unit: str, k: int, live: tuple[Seen, ...], context: Mapping[str, Any]
    ) -> Slate:
        patience = self.patience
        answer = await self._asked(current.served.get(wanted), unit, k, live, context, patience.deadline)
        if not isinstance(answer, str):
            return _slate(self.model, current.served[wanted], answer)
        why: Why = answer
        assert current.champion is not None, "checked when the version was chosen"
        if current.champion != wanted:
            champion = current.served.get(current.champion)
            second = await self._asked(champion, unit, k, live, context, patience.second)
            if champion is not None and not isinstance(second, str):
                return replace(_slate(self.model, champion, second), fallback="champion", why=why)
        stand_in = current.served.get(wanted) or current.served.get(current.champion)
        stand_in = stand_in or next(iter(current.served.values()))
        items = stand_in.popularity(unit, k, live)
        return Slate(
            items=tuple(stand_in.package.items.ids[items].tolist()),
            scores=(float("nan"),) * len(items),
            titles=tuple(stand_in.package.titles[items].tolist()),
            model=self.model,
            version=stand_in.version,
            fallback="popularity",
            why=why,
        )

    async def _asked(
        self,
        served: Served | None,
        unit: str,
        k: int,
        live: tuple[Seen, ...],
        context: Mapping[str, Any],
        seconds: float,
    ) -> Ranked | Why:
        """The version's list, or why there is none."""
        if served is None:
            return "missing"
        future = served.submit(unit, k, live, served.told(context)) if served.breaker.allows() else None
        if future is None:
            return "busy"
        try:
            ranked = await asyncio.wait_for(asyncio.wrap_future(future), seconds)
        except TimeoutError:
            if future.cancelled():  # its turn never came: that is load, not a fault of the model
                return "busy"
            served.breaker.told(good=False)
            return "deadline"
        except Exception:
            served.breaker.told(good=False)
            return "error"
        served.breaker.told(good=True)
        return ranked


def _key(told: Told) -> str:
    """By which a slate is found again: true is not 1, 1 is not "1"."""
    return repr(told) if told else ""


def _slate(model: str, served: Served, ranked: Ranked) -> Slate:
    items = ranked.items
    filled = items[items >= 0]  # empty places stand at the end
    return Slate(
        items=tuple(served.package.items.ids[filled].tolist()),
        scores=tuple(ranked.scores[: len(filled)].tolist()),
        titles=tuple(served.package.titles[filled].tolist()),
        model=model,
        version=served.version,
    )
