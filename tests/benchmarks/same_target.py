"""The experiments of the same-answer check and the service that assigns them.

python -m tests.benchmarks.same_target PORT
"""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from time import perf_counter

import uvicorn

from abtest.assignment.assigner import Assigner
from abtest.assignment.plan import Plan
from abtest.events.memory import MemoryLog
from abtest.service.app import create_app
from abtest.service.ports import Clock, Limits, Readiness
from abtest.service.security import Tokens
from abtest.types import Experiment, Holdout, Layer, Stage, Variant
from tests.abtest.service.worlds import HALVES, MemoryBook, made_up

NOW = datetime(2025, 1, 6, 9, tzinfo=UTC)
PAGE = Layer(name="page", salt="page-salt")
WEIGHTS = {"a": 0.2, "b": 0.3, "c": 0.5}
THREE = tuple(Variant(name=name, weight=weight, payload={"version": 1}) for name, weight in WEIGHTS.items())
HOLDOUT = Holdout(share=0.05)
EXPERIMENTS = (
    Experiment(key="plain", variants=HALVES, metrics=("clicks",), status="running"),
    Experiment(
        key="scheduled", variants=THREE, metrics=("clicks",), status="running", traffic=0.3, layer=PAGE,
        layer_range=(0.0, 0.4), starts=NOW - timedelta(days=1), ends=NOW + timedelta(days=1),
    ),
    Experiment(
        key="aimed", variants=HALVES, metrics=("clicks",), status="running", layer=PAGE, layer_range=(0.4, 1.0),
        audience={"country": ["CA", "US"], "age": {"min": 18}}, overrides={"user-7": "new", "josé-41": "control"},
    ),
    Experiment(
        key="grown", variants=THREE, metrics=("clicks",), status="running", traffic=0.8,
        earlier=(Stage(traffic=0.1, weights=(0.4, 0.3, 0.3)), Stage(traffic=0.5, weights=(0.1, 0.8, 0.1))),
    ),
)  # fmt: skip
COUNTRIES = ("CA", "US", "GB", "DE")


def assigner() -> Assigner:
    """The assigner of these experiments."""
    return Assigner(Plan(EXPERIMENTS, HOLDOUT))


def unit_of(number: int) -> str:
    """Unit ids of several shapes, some beyond ASCII and beyond the basic plane."""
    return (f"user-{number}", f"josé-{number}", f"{number:036x}", f"user😀{number}")[
        number % 40 if number % 40 < 4 else 0
    ]


def context_of(number: int) -> dict[str, str | int]:
    """What is known of a unit."""
    return {"country": COUNTRIES[number % 4], "age": number % 80}


def main(port: int) -> None:
    """Serve until killed."""
    book = MemoryBook([replace(experiment) for experiment in EXPERIMENTS])
    book._keep_holdout(HOLDOUT)
    book.refresh()
    numbers = count()
    app = create_app(
        experiments=book,
        recommender=made_up,
        log=MemoryLog(),
        readiness=lambda: Readiness(ready=True),
        clock=Clock(now=lambda: NOW, ticks=perf_counter),
        new_id=lambda: f"{next(numbers):x}",
        tokens=Tokens(),
        limits=Limits(),
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
