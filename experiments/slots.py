"""Slots: which versions of a model are loaded and who is champion; swapped behind the requests' back."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from abtest.service.telemetry import say
from experiments.answering import Answering, Call, Ranked, alike
from experiments.batches import Batches
from experiments.live import Told
from experiments.online.state import Seen
from experiments.package import Package
from experiments.reasons import explainer_of, reasons
from experiments.shelf import Aliases, Shelf
from experiments.workers import Workers
from recsys.data.queries import Queries
from recsys.ranking import top_k

POPULAR = 1_000
"""Items that are kept ready for when no model answers: enough for any history and slate."""


class Source(Protocol):
    """Where models come from: the registry."""

    def aliases(self) -> Aliases:
        """Which version stands where now."""

    def load(self, version: int) -> Package:
        """The package of a version."""


class Breaker:
    """Closes a way that failed several times in a row for some seconds; then one call may try it again."""

    def __init__(self, ticks: Callable[[], float], failures: int, seconds: float) -> None:
        self._ticks, self._most, self._seconds = ticks, failures, seconds
        self._failed, self._until = 0, 0.0

    def allows(self) -> bool:
        """Whether to call now."""
        if self._failed < self._most:
            return True
        if self._ticks() < self._until:
            return False
        self._until = self._ticks() + self._seconds
        return True

    def told(self, *, good: bool) -> None:
        """What came of a call."""
        self._failed = 0 if good else self._failed + 1
        if self._failed == self._most:
            self._until = self._ticks() + self._seconds


@dataclass(eq=False)
class Served:
    """One loaded version, with threads of its own: a model that hangs blocks nobody else's requests.

    Requests that wait for a thread are answered together, as `Batches` tells. workers: processes that hold the package
    as well and answer in place of the threads, each of which then waits for one.
    """

    version: int
    package: Package
    breaker: Breaker
    threads: int = 2
    waiting: int = 64
    workers: Workers | None = None
    popular: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self.answering = Answering(self.package)
        if len(self.package.histories):
            explainer_of(self.package)
        self._calls = Batches[Call, Ranked](
            self._answers,
            alike,
            threads=self.threads,
            waiting=self.waiting,
            name=f"v{self.version}",
            sharing=self.workers is not None,
        )
        nobody = Queries.of(self.package.histories, np.array([-1]))
        self.popular = top_k(self.package.fallback.score(nobody), min(POPULAR, len(self.package.items)))[0][0]
        self.follow(())
        self.answering.warm()

    def told(self, context: Mapping[str, Any]) -> Told:
        """What of a request's context this version reads."""
        return self.answering.asked.told(context) if context else ()

    def why(self, unit: str, items: Sequence[str], live: tuple[Seen, ...], told: Told = ()) -> tuple[str, ...]:
        """A sentence for each item, by what the unit did until now."""
        return reasons(self.package, unit, items, query=self.answering.asked.query(unit, live, told))

    def popularity(self, unit: str, k: int, live: tuple[Seen, ...]) -> NDArray[np.int32]:
        """What trends, then the most popular items, without what the unit has seen: no model is asked."""
        seen = self.answering.asked.query(unit, live).items
        unseen = self._first[~np.isin(self._first, seen)]
        return unseen[unseen >= 0][:k]

    def follow(self, trending: Sequence[str]) -> None:
        """Take up what trends now, most first: it fills the places that the model leaves empty, before all else."""
        self._trending = tuple(trending)
        self.answering.follow(trending)
        known = self.answering.trending
        self._first = np.concatenate([known, self.popular[~np.isin(self.popular, known)]])

    def submit(self, unit: str, k: int, live: tuple[Seen, ...], told: Told = ()) -> "Future[Ranked] | None":
        """Ask in a thread of this version; None when too many wait for it already."""
        return self._calls.submit((unit, k, live, told))

    def close(self) -> None:
        """Let running calls end; take no more."""
        self._calls.close()
        if self.workers is not None:
            self.workers.close()

    def _answers(self, calls: Sequence[Call]) -> list[Ranked]:
        found = None if self.workers is None else self.workers(calls, self._trending)
        return self.answering(calls) if found is None else found


@dataclass(frozen=True, kw_only=True)
class Current:
    """What requests see: one reference, replaced whole."""

    champion: int | None = None
    challenger: int | None = None
    served: Mapping[int, Served] = field(default_factory=lambda: MappingProxyType({}))


class Slots:
    """Keeps the champion, the challenger, the champion before and what experiments name loaded and warm.

    `refresh` asks the source and loads what is new aside; only when it is warm does `current` change, so that no
    request waits for a model or finds none. needed: the versions that running experiments name. problems: what is
    not as it should be, in sentences, empty when all is well.
    """

    def __init__(
        self, source: Callable[[], Source], shelf: Shelf, *, needed: Callable[[], Iterable[int]],
        serve: Callable[[int, Package], Served],
    ) -> None:  # fmt: skip
        self.current = Current()
        self.problems: tuple[str, ...] = ()
        self._open_source = source
        self._source: Source | None = None
        self._shelf, self._needed, self._serve = shelf, needed, serve
        self._refreshing = threading.Lock()

    def open(self, patience: float) -> None:
        """Load the champion; from the shelf when the source does not answer within so many seconds."""
        first = threading.Thread(target=self.refresh, name="first refresh", daemon=True)
        first.start()
        first.join(patience)
        if self.current.champion is None and (known := self._shelf.aliases()) is not None:
            self.problems = self.problems or (f"the registry has not answered for {patience:g} seconds",)
            self._take_up(known, dict(self.current.served), set(self._shelf.versions()), [*self.problems])

    def refresh(self) -> None:
        """Take up what the source says now. Blocks while models load; requests do not."""
        with self._refreshing:
            problems: list[str] = []
            try:
                aliases = self._ask().aliases()
                self._shelf.note(aliases)
            except Exception as error:
                problems.append(f"the registry does not answer: {type(error).__name__}: {str(error)[:200]}")
                aliases = self._shelf.aliases() or Aliases(champion=None, challenger=None, previous=None)
            wanted = {aliases.champion, aliases.challenger, aliases.previous, *self._needed()} - {None}
            self._take_up(aliases, dict(self.current.served), {v for v in wanted if v is not None}, problems)

    def ensure(self, version: int) -> Served:
        """The version, loaded now if it is not; a ValueError says why it cannot be."""
        if version not in self.current.served:
            with self._refreshing:
                problems: list[str] = []
                served = self._loaded(version, problems)
                if served is None:
                    raise ValueError(problems[0])
                now = self.current
                self.current = Current(
                    champion=now.champion, challenger=now.challenger, served={**now.served, version: served}
                )
        return self.current.served[version]

    def close(self) -> None:
        """End the threads of every version."""
        for served in self.current.served.values():
            served.close()

    def _ask(self) -> Source:
        if self._source is None:
            self._source = self._open_source()
        return self._source

    def _take_up(self, aliases: Aliases, served: dict[int, Served], wanted: set[int], problems: list[str]) -> None:
        before = self.current
        for version in wanted - set(served):
            if (loaded := self._loaded(version, problems)) is not None:
                served[version] = loaded
        # the old champion serves until the new one is warm
        champion = aliases.champion if aliases.champion in served else before.champion
        kept = {v: s for v, s in served.items() if v in wanted or v == champion}
        self.current = Current(champion=champion, challenger=aliases.challenger, served=kept)
        if champion != before.champion:
            say(logging.INFO, "champion changed", before=before.champion, now=champion)
        self.problems = tuple(problems)
        for version in set(served) - set(kept):
            served[version].close()
        if not problems:
            self._shelf.drop_others(kept)

    def _loaded(self, version: int, problems: list[str]) -> Served | None:
        try:
            package = self._shelf.load(version)
            if package is None:
                package = self._ask().load(version)
                self._shelf.keep(version, package)
            return self._serve(version, package)
        except Exception as error:
            problems.append(f"version {version} cannot be loaded: {type(error).__name__}: {str(error)[:200]}")
            say(logging.ERROR, "version not loaded", version=version, trace=True)
            return None
