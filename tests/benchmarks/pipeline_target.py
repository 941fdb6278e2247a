"""The pipeline on 40,000 items behind the real service, without a cache.

python -m tests.benchmarks.pipeline_target FOLDER PORT

It listens once the pipeline is fitted and warm. PROCESSES in the environment: how many answer in place of two threads.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import uvicorn
from threadpoolctl import threadpool_limits

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
from experiments.workers import Workers, settle
from recsys.models.popularity import Popularity
from tests.abtest.service.worlds import MemoryBook
from tests.benchmarks.shop import shop, shop_pipeline


class Only:
    """A source of one package."""

    def __init__(self) -> None:
        dataset = shop()
        self.package = Package(
            model=shop_pipeline(dataset),
            fallback=Popularity().fit(dataset),
            users=dataset.users,
            items=dataset.items,
            histories=dataset.interactions,
            titles=dataset.items.ids,
        )

    def aliases(self) -> Aliases:
        """It is champion."""
        return Aliases(champion=1, challenger=None, previous=None)

    def load(self, version: int) -> Package:
        """The package."""
        return self.package


class NoShelf(Shelf):
    """Keeps nothing: what is measured is how it is served, not how it is stored."""

    def keep(self, version: int, package: Package) -> None:
        """Leave it."""


def main(folder: Path, port: int, processes: int) -> None:
    """Serve until killed."""
    source = Only()
    if processes:
        source.package.save(folder / "package")
    slots = Slots(
        lambda: source,
        NoShelf(Home.at(folder), "m"),
        needed=tuple,
        serve=lambda version, package: Served(
            version=version,
            package=package,
            breaker=Breaker(perf_counter, 5, 5.0),
            threads=processes or 2,
            waiting=256,
            workers=Workers(folder / "package", processes, name="workers") if processes else None,
        ),
    )
    slots.open(120.0)
    serving = Serving(
        "m",
        slots,
        cache=SlateCache(perf_counter, seconds=0.0, users=1),
        live=MemoryOnline(),
        patience=Patience(deadline=30.0),
    )
    with SQLiteLog(folder / "events.sqlite") as log:
        app = create_app(
            experiments=MemoryBook(),
            recommender=serving,
            log=log,
            readiness=lambda: Readiness(ready=True),
            clock=Clock(now=lambda: datetime.now(UTC), ticks=perf_counter),
            new_id=ids(),
            tokens=Tokens(),
            limits=Limits(),
            observe=serving.observe,
        )
        settle()
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    with threadpool_limits(1):
        main(Path(sys.argv[1]), int(sys.argv[2]), int(os.environ.get("PROCESSES", "0")))
