"""The service as its benchmark serves it: real application, SQLite log and slates, beside an empty endpoint.

python -m tests.benchmarks.service_target FOLDER PORT
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import uvicorn

from abtest.events.sqlite import SQLiteLog
from abtest.service.app import create_app
from abtest.service.ports import Clock, Limits, Readiness
from abtest.service.security import Tokens
from experiments.home import Home
from experiments.online.memory import MemoryOnline
from experiments.package import Package
from experiments.server import ids
from experiments.serving import Patience, Serving, SlateCache
from experiments.shelf import Aliases, Shelf
from experiments.slots import Breaker, Served, Slots
from experiments.workers import settle
from recsys.models.base import create
from recsys.models.popularity import Popularity
from tests.abtest.service.worlds import RANKER, MemoryBook
from tests.worlds import random_market


class Only:
    """A source of one package, under two versions."""

    def __init__(self) -> None:
        dataset = random_market(np.random.default_rng(1), n_users=2_000, n_items=4_000, n=60_000)
        self.package = Package(
            model=create("item_knn", neighbours=50).fit(dataset),
            fallback=Popularity().fit(dataset),
            users=dataset.users,
            items=dataset.items,
            histories=dataset.interactions,
            titles=dataset.items.ids,
        )

    def aliases(self) -> Aliases:
        return Aliases(champion=1, challenger=2, previous=None)

    def load(self, version: int) -> Package:
        return self.package


def main(folder: Path, port: int) -> None:
    clock = Clock(now=lambda: datetime.now(UTC), ticks=perf_counter)
    source = Only()
    slots = Slots(
        lambda: source,
        Shelf(Home.at(folder), "m"),
        needed=tuple,
        serve=lambda version, package: Served(version=version, package=package, breaker=Breaker(perf_counter, 5, 5.0)),
    )
    slots.open(60.0)
    cache = SlateCache(perf_counter, seconds=600.0, users=20_000)
    serving = Serving("m", slots, cache=cache, live=MemoryOnline(), patience=Patience(deadline=5.0))
    with SQLiteLog(folder / "events.sqlite") as log:
        app = create_app(
            experiments=MemoryBook([RANKER]),
            recommender=serving,
            log=log,
            readiness=lambda: Readiness(ready=True),
            clock=clock,
            new_id=ids(),
            tokens=Tokens.parse("bench:client:client-0123456789ab"),
            limits=Limits(),
            observe=serving.observe,
        )

        async def with_empty(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or scope["path"] != "/empty":
                await app(scope, receive, send)
                return
            await receive()
            headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{}"})

        settle()
        uvicorn.run(with_empty, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
