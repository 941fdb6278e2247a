"""The composition root of the service: clock, ids, tokens, log, models and experiments, handed to `create_app`."""

import asyncio
import logging
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from abtest.events import lake
from abtest.events.log import EventLog
from abtest.service.app import Application, create_app
from abtest.service.ports import Clock, Limits, Readiness
from abtest.service.security import Tokens
from abtest.service.telemetry import JsonLines, Telemetry, logger, say
from abtest.types import Experiment, Exposure, Outcome
from experiments.administration import StoredBook
from experiments.explore import Explorer, lately
from experiments.home import Home
from experiments.logs import open_log, remember
from experiments.monitor import Alert, watch
from experiments.online.guarded import GuardedOnline
from experiments.online.memory import MemoryOnline
from experiments.online.state import Decay, Online
from experiments.package import Package
from experiments.serving import Patience, Serving, SlateCache
from experiments.serving_config import ExploreConfig, OnlineConfig, ServingConfig
from experiments.shelf import Aliases, Shelf
from experiments.slots import Breaker, Served, Slots
from experiments.workers import HUNG_SECONDS, Workers, settle

HOST = "127.0.0.1"
REPLAYED = 200_000
"""Outcomes that are read back at the start, at most."""


class RegistrySource:
    """Models from MLflow's registry. MLflow takes seconds to import and nothing of it is on a request's way."""

    def __init__(self, home: Home, model: str) -> None:
        # a registry that is away must say so soon; MLflow's own patience is minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from experiments.registry import Registry

        self._registry, self._model = Registry(home), model

    def aliases(self) -> Aliases:
        """Which version stands where now."""
        slots = self._registry.slots(self._model)
        return Aliases(champion=slots.champion, challenger=slots.challenger, previous=slots.previous)

    def load(self, version: int) -> Package:
        """The package of a version."""
        return self._registry.load(self._model, version)


def champions_of(home: Home) -> dict[str, int]:
    """The champion of every registered model; MLflow is imported when somebody asks."""
    from experiments.registry import champions

    return champions(home)


@dataclass(kw_only=True, eq=False)
class Service:
    """The parts of a running service."""

    app: Application
    slots: Slots
    book: StoredBook
    log: EventLog

    def close(self) -> None:
        """Release the log and the threads."""
        self.slots.close()
        self.log.close()


def build(home: Home, model: str, config: ServingConfig, *, tokens: Tokens) -> Service:
    """The service of one registered model over a home. Without any champion it is a ValueError."""
    clock = Clock(now=lambda: datetime.now(UTC), ticks=time.perf_counter)
    log = open_log(home, config.log, now=False)
    telemetry = Telemetry()
    live = open_online(config.online, model, clock, telemetry)
    slots = slots_of(home, model, config, clock, needed=lambda: book.versions())
    serving = Serving(
        model,
        slots,
        cache=SlateCache(clock.ticks, seconds=config.cache.seconds, users=config.cache.users),
        live=live,
        patience=Patience(deadline=config.deadline_ms / 1000, second=config.second_deadline_ms / 1000),
    )

    def warm(experiment: Experiment) -> None:
        if slots.current.champion is not None:  # before that, opening the slots loads what running experiments name
            serving.prepare(experiment)

    book = StoredBook(
        home, model, now=clock.now, serves=serving.serves, prepare=serving.prepare, warm=warm,
        champions=lambda: champions_of(home),
    )  # fmt: skip
    slots.open(config.start_patience_seconds)
    if slots.current.champion is None:
        log.close()
        why = " ".join(slots.problems)
        raise ValueError(f"{model!r} has no champion to serve; `bakeoff train CONFIG` registers one. {why}".strip())
    remember(home, config.log)
    explorer = explorer_of(config.explore, live)
    # what is shared was counted when it happened, and must not be again
    forgets = explorer if config.online.kind == "memory" else None
    started = clock.now()
    replay = Replay(log, live, since=started - timedelta(hours=config.replay_hours), until=started, explorer=forgets)

    def state() -> Readiness:
        return readiness(model, slots, book, replay, live)

    async def look() -> None:
        await replay()
        await serving.follow(clock.now(), most=config.online.trending, least=config.online.trending_least)
        if explorer is not None:
            await explorer.follow()

    async def observe(events: Sequence[Exposure | Outcome]) -> None:
        await serving.observe(events)
        if explorer is not None:
            await explorer.observe(events)

    app = create_app(
        experiments=book,
        recommender=serving,
        log=log,
        readiness=state,
        clock=clock,
        new_id=ids(),
        tokens=tokens,
        limits=Limits(**config.limits.model_dump()),
        reasons=serving.why,
        explore=explorer,
        observe=observe,
        telemetry=telemetry,
        access_log=config.access_log,
        background=[lambda: closing(live), lambda: refreshing(slots, book, look, config.refresh_seconds)],
    )
    watched(telemetry, slots, serving, state)
    return Service(app=app, slots=slots, book=book, log=log)


def watched(telemetry: Telemetry, slots: Slots, serving: Serving, state: Callable[[], Readiness]) -> None:
    """Let /metrics tell what stands still between requests."""
    gauges = (
        ("bakeoff_champion", "The version that is champion here.", lambda: slots.current.champion or 0),
        ("bakeoff_cached_users", "Users with slates in the cache.", lambda: len(serving.cache)),
        ("bakeoff_problems", "What /ready complains of.", lambda: len(state().problems)),
    )
    for name, text, value in gauges:
        telemetry.gauge(name, text, value)


def slots_of(
    home: Home, model: str, config: ServingConfig, clock: Clock, *, needed: Callable[[], Iterable[int]]
) -> Slots:
    """The slots of a registered model, each version as the configuration wants it served; not opened yet."""
    shelf, n = Shelf(home, model), config.processes
    hung = max(HUNG_SECONDS, 10 * config.deadline_ms / 1_000)  # a slow model that is waited for does not hang

    def serve(version: int, package: Package) -> Served:
        return Served(
            version=version,
            package=package,
            breaker=Breaker(clock.ticks, config.breaker.failures, config.breaker.seconds),
            threads=n or config.threads,
            waiting=config.waiting,
            workers=Workers(shelf.place(version), n, name=f"version {version}", hung=hung) if n else None,
        )

    return Slots(lambda: RegistrySource(home, model), shelf, needed=needed, serve=serve)


def open_online(config: OnlineConfig, model: str, clock: Clock, telemetry: Telemetry) -> Online:
    """The online state that the configuration names; one in Redis has this process's own behind it."""
    decay = Decay(half_life=config.half_life_hours * 3_600)
    own = MemoryOnline(decay=decay)
    if config.kind == "memory":
        return own
    if not config.url:
        raise ValueError("online.url is empty; give the address of Redis, such as ${BAKEOFF_REDIS}")
    from experiments.online.shared import RedisOnline

    shared = RedisOnline(config.url, prefix=f"bakeoff:{model}:", timeout=config.timeout_ms / 1000, decay=decay)
    return GuardedOnline(
        shared, own, ticks=clock.ticks, failed=lambda operation: telemetry.online_failures.labels(operation).inc()
    )


def explorer_of(config: ExploreConfig, live: Online) -> Explorer | None:
    """The explorer that the configuration describes, None where nothing is explored."""
    if not config.share:
        return None
    return Explorer(
        live=live,
        share=config.share,
        beyond=config.beyond,
        kinds=frozenset(config.outcomes),
        prior_taken=config.prior_taken,
        prior_left=config.prior_left,
    )


class Replay:
    """Reads back, once, what users did lately, so that a restart forgets nothing; later, where the log is away.

    problem: why it could not yet, "" when it could; explorer: what it learned until the start is read back, too.
    """

    def __init__(
        self, log: EventLog, live: Online, *, since: datetime, until: datetime, explorer: Explorer | None = None
    ) -> None:
        self._log, self._live, self._since, self._until, self._explorer = log, live, since, until, explorer
        self.done, self.problem = False, ""

    async def __call__(self) -> None:
        """Try it, unless it is done."""
        if self.done:
            return
        try:
            outcomes = await asyncio.to_thread(self._read)
            if self._explorer is not None:
                await self._explorer.observe(await asyncio.to_thread(lately, self._log, self._since, self._until))
        except OSError as error:
            self.problem = str(error)
            return
        for start in range(0, len(outcomes), 1_000):
            await self._live.add(outcomes[start : start + 1_000])
        self.done, self.problem = True, ""

    def _read(self) -> list[Outcome]:
        table = self._log.outcomes(since=self._since)
        rows = table.slice(max(len(table) - REPLAYED, 0)).select(["id", "unit", "kind", "item", "at"]).to_pylist()
        return [Outcome(**row) for row in rows]


def readiness(model: str, slots: Slots, book: StoredBook, replay: Replay, live: Online) -> Readiness:
    """Ready as soon as a champion is loaded and the log was read; what is not as it should be is told beside it."""
    current = slots.current
    plan = [f"experiments: {book.snapshot.problem}"] if book.snapshot.problem else []
    log = [f"event log: {replay.problem}"] if replay.problem else []
    workers = [s.workers.problem for s in current.served.values() if s.workers is not None and s.workers.problem]
    online = [f"online state: {live.problem}"] if isinstance(live, GuardedOnline) and live.problem else []
    return Readiness(
        ready=current.champion is not None and replay.done,
        problems=(*slots.problems, *workers, *plan, *log, *online),
        model=model,
        champion=current.champion,
        versions=tuple(sorted(current.served)),
    )


def ids() -> Callable[[], str]:
    """Ids that are unique for ever: a random prefix for this process, then a number."""
    prefix, numbers = uuid.uuid4().hex, count(1)
    return lambda: f"{prefix}-{next(numbers):x}"


@asynccontextmanager
async def closing(live: Online) -> AsyncIterator[None]:
    """Closes the online state at the end, in the event loop that used it."""
    try:
        yield
    finally:
        await live.close()


@asynccontextmanager
async def refreshing(
    slots: Slots, book: StoredBook, look: Callable[[], Awaitable[None]], seconds: float
) -> AsyncIterator[None]:
    """Every so many seconds aliases and experiments are read again, in a thread, and `look` looks; it does so first."""

    async def again() -> None:
        for part in (lambda: asyncio.to_thread(book.refresh), lambda: asyncio.to_thread(slots.refresh), look):
            try:
                await part()
            except Exception:  # the next look may find it mended
                say(logging.ERROR, "refresh failed", trace=True)

    async def again_and_again() -> None:
        while True:
            await asyncio.sleep(seconds)
            await again()

    await look()
    task = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        task.cancel()


def watch_experiments(home: Home, model: str, config: ServingConfig, *, stop: bool) -> list[Alert]:
    """One look of the monitor, and the lake brought up to the log: not work for the process that serves."""
    source, shelf = RegistrySource(home, model), Shelf(home, model)

    def load(version: int) -> Package:
        return shelf.load(version) or source.load(version)

    book = StoredBook(home, model, now=lambda: datetime.now(UTC), serves=lambda _: True, prepare=lambda _: None)
    with open_log(home, config.log) as log:
        try:
            lake.export(log, home.lake)  # pages and analyses beyond this machine read the lake
        except ValueError as error:
            say(logging.ERROR, "lake not brought up to date", detail=str(error))
        return watch(home, log, book, load, model=model, now=datetime.now(UTC), stop=stop)


def log_as_json(level: int = logging.INFO) -> None:
    """Log lines of the service as JSON on the standard error stream."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level)


def run(home: Home, model: str, config: ServingConfig, *, tokens: Tokens, host: str = HOST, port: int = 8000) -> None:
    """Serve until a signal ends it; what was taken in by then is kept and answered first."""
    import uvicorn
    from threadpoolctl import threadpool_limits

    log_as_json()
    # requests run side by side: a team of threads within one only makes it wait for threads that serve others
    threadpool_limits(1)
    service = build(home, model, config, tokens=tokens)
    threadpool_limits(1)  # what the models loaded, too
    try:
        settle()
        say(logging.INFO, "serving", model=model, champion=service.slots.current.champion, host=host, port=port)
        uvicorn.run(
            service.app, host=host, port=port, access_log=False, log_level="warning", server_header=False,
            timeout_graceful_shutdown=10,
        )  # fmt: skip
    finally:
        service.close()
