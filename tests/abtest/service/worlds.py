"""A service in this process: the real application, log, assigner and book; only the slates are made up."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from time import perf_counter, sleep
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from abtest.analysis.metrics import load_metrics
from abtest.events.log import EventLog
from abtest.events.memory import MemoryLog
from abtest.service.app import Application, create_app
from abtest.service.book import Book
from abtest.service.exploring import Explore
from abtest.service.ports import Change, Clock, Draft, Limits, Observe, Readiness, Slate
from abtest.service.security import Tokens
from abtest.types import Experiment, Holdout, Layer, Variant

MONDAY = datetime(2025, 1, 6, 9, tzinfo=UTC)
HALVES = (
    Variant(name="control", weight=0.5, payload={"version": 1}),
    Variant(name="new", weight=0.5, payload={"version": 2}),
)
PAGE = Layer(name="page", salt="page-salt")
RANKER = Experiment(key="ranker", variants=HALVES, metrics=("clicks",), status="running")
LAYOUT = Experiment(
    key="layout", variants=HALVES, metrics=("clicks",), status="running", traffic=0.5, layer=PAGE,
    layer_range=(0.0, 0.5), starts=MONDAY - timedelta(days=1), ends=MONDAY + timedelta(days=7),
)  # fmt: skip
OVER = Experiment(key="over", variants=HALVES, metrics=("clicks",), status="stopped")
CLICKS = load_metrics({"metrics": {"clicks": {"kind": "mean", "numerator": "click", "role": "primary"}}})
TOKENS = "shop:client:client-0123456789ab,olga:operator:operator-0123456789,ada:admin:admin-0123456789abc"


def header(role: str) -> dict[str, str]:
    """The Authorization header of the token of TOKENS with this role."""
    token = next(entry.split(":")[2] for entry in TOKENS.split(",") if f":{role}:" in entry)
    return {"authorization": f"Bearer {token}"}


def draft(experiment: Experiment) -> Draft:
    return Draft(experiment=experiment, metrics=CLICKS)


class MemoryBook(Book):
    """Experiments in dictionaries. missing: versions that no variant may name."""

    def __init__(
        self,
        experiments: Sequence[Experiment] = (),
        missing: Sequence[int] = (),
        now: Callable[[], datetime] = lambda: MONDAY,
    ) -> None:
        self._drafts = {e.key: draft(e) for e in experiments}
        self._held = Holdout(share=0.0)
        self._audit: list[Change] = []
        self._lock = threading.Lock()
        self._missing = missing
        super().__init__(now=now, serves=lambda e: "version" in e.variants[0].payload, prepare=self._load)
        self.refresh()

    def holdout(self) -> Holdout:
        return self._held

    def _keep_holdout(self, holdout: Holdout) -> None:
        self._held = holdout

    def drafts(self) -> Sequence[Draft]:
        return list(self._drafts.values())[::-1]

    def _load(self, experiment: Experiment) -> None:
        for variant in experiment.variants:
            if variant.payload.get("version") in self._missing:
                raise ValueError(
                    f"variant {variant.name!r} names version {variant.payload['version']}: it is not there"
                )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            yield

    def _keep(self, draft: Draft) -> None:
        self._drafts[draft.experiment.key] = draft

    def _note(self, change: Change) -> None:
        self._audit.append(change)

    def _changes(self, key: str) -> Sequence[Change]:
        return [change for change in self._audit if change.experiment == key]


async def made_up(unit: str, k: int, variant: Variant | None, context: Mapping[str, Any]) -> Slate:
    """Items that tell whom and by which version; the last score is missing, as where a fallback filled the place."""
    version = 1 if variant is None else int(variant.payload["version"])
    items = tuple(f"v{version}-{unit}-{place}" for place in range(k))
    return Slate(
        items=items, scores=(*(1.0 / (place + 1) for place in range(k - 1)), float("nan")), model="m", version=version
    )


async def because(unit: str, slate: Slate, context: Mapping[str, Any]) -> Sequence[str]:
    return [f"because {item}" for item in slate.items]


@dataclass(kw_only=True)
class World:
    """A running service and what it stands on."""

    app: Application
    client: TestClient
    log: EventLog
    book: Book
    time: list[datetime] = field(default_factory=lambda: [MONDAY])

    def post(self, path: str, body: Any, role: str = "", **headers: str) -> Any:
        return self.client.post(path, json=body, headers={**(header(role) if role else {}), **headers})


@contextmanager
def listening(app: Application) -> Iterator[str]:
    """The application on a port of this machine, by the server that really serves it."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended before it listened"
            sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def made(
    experiments: Sequence[Experiment] = (RANKER, LAYOUT, OVER),
    *,
    tokens: str = "",
    log: EventLog | None = None,
    limits: Limits | None = None,
    recommender: Any = made_up,
    observe: Observe | None = None,
    missing: Sequence[int] = (),
    explore: Explore | None = None,
) -> World:
    """A service that does not run yet."""
    time, numbers, kept = [MONDAY], count(1), log or MemoryLog()
    book = MemoryBook(experiments, missing, lambda: time[0])
    app = create_app(
        experiments=book,
        recommender=recommender,
        log=kept,
        readiness=lambda: Readiness(ready=True, model="m", champion=1, versions=(1, 2)),
        clock=Clock(now=lambda: time[0], ticks=perf_counter),
        new_id=lambda: f"id-{next(numbers)}",
        tokens=Tokens.parse(tokens),
        limits=limits or Limits(),
        reasons=because,
        observe=observe,
        explore=explore,
    )
    client = TestClient(app, raise_server_exceptions=False)
    return World(app=app, client=client, log=kept, book=book, time=time)


@contextmanager
def service(experiments: Sequence[Experiment] = (RANKER, LAYOUT, OVER), **parts: Any) -> Iterator[World]:
    """A service that runs in this process while the context is open."""
    world = made(experiments, **parts)
    with world.client:
        yield world
