"""One unit, one answer, whoever is asked: each call alone, arrays, four processes, the simulator, HTTP and OFREP.

SAME_UNITS (default 1,000,000) in this process and in four; SAME_HTTP (default 40,000) over HTTP: SAME_HTTP=1000000 for
all of them, which takes half an hour. `make same` runs it.
"""

import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from abtest.assignment.assigner import REASONS
from abtest.events.memory import MemoryLog
from abtest.simulation.policy import Observed, Slates
from abtest.simulation.traffic import simulate
from abtest.simulation.world import draw_world
from tests.benchmarks.same_target import COUNTRIES, EXPERIMENTS, NOW, assigner, context_of, unit_of
from tests.benchmarks.wire import answer, request

UNITS = int(os.environ.get("SAME_UNITS", "1000000"))
OVER_HTTP = int(os.environ.get("SAME_HTTP", "40000"))
PROCESSES, CONNECTIONS, PIPELINED = 4, 8, 64
KEYS = tuple(experiment.key for experiment in EXPERIMENTS)
Answers = NDArray[np.int32]
"""(experiments, 3, units): the variant's number, the bucket, the reason's number."""


def coded(variant: str | None, bucket: int, reason: str, key: str) -> tuple[int, int, int]:
    names = [v.name for v in EXPERIMENTS[KEYS.index(key)].variants]
    return -1 if variant is None else names.index(variant), bucket, REASONS.index(reason)  # type: ignore[arg-type]


def one_by_one(start: int, end: int) -> Answers:
    """Each unit alone, as a worker process of the service does."""
    asked, found = assigner(), np.empty((len(KEYS), 3, end - start), np.int32)
    for number in range(start, end):
        unit, context = unit_of(number), context_of(number)
        for row, key in enumerate(KEYS):
            one = asked.assign(key, unit, NOW, context)
            found[row, :, number - start] = coded(one.variant, one.bucket, one.reason, key)
    return found


@pytest.fixture(scope="module")
def truth() -> Answers:
    """All units in arrays; the other ways are compared with it."""
    units = np.array([unit_of(number) for number in range(UNITS)])
    numbers, asked = np.arange(UNITS), assigner()
    columns = {"country": np.array(COUNTRIES)[numbers % 4], "age": numbers % 80}
    found = np.empty((len(KEYS), 3, UNITS), np.int32)
    for row, key in enumerate(KEYS):
        many = asked.assign_many(key, units, NOW, columns)
        found[row] = many.variant, many.bucket, many.reason
    return found


@pytest.fixture(scope="module")
def address() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.same_target", str(port)])
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None
        time.sleep(0.1)
    yield port
    process.kill()
    process.wait()


def test_every_reason_is_met(truth: Answers) -> None:
    met = {REASONS[number] for number in np.unique(truth[:, 2])}
    assert met == set(REASONS) - {"inactive"}


def test_four_processes_that_ask_one_by_one(truth: Answers) -> None:
    edges = np.linspace(0, UNITS, PROCESSES * 4 + 1).astype(int).tolist()
    began = time.perf_counter()
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(one_by_one, edges[:-1], edges[1:]))
    assert (np.concatenate(parts, axis=2) == truth).all()
    took = time.perf_counter() - began
    print(f"\n{UNITS:,} units x {len(KEYS)} experiments alike in {PROCESSES} processes ({took:.0f} s)")


class Anything:
    """A policy that shows everybody the same."""

    def slates(self, variant: str, users: NDArray[np.int32], at: datetime) -> Slates:
        items = np.broadcast_to(np.arange(5, dtype=np.int32), (len(users), 5))
        return Slates(items=items, scores=-items.astype(np.float32), fallback=np.zeros(len(users), np.bool_))

    def observe(self, outcomes: Observed) -> None:
        pass


def test_the_simulator() -> None:
    """What the simulator logged, for every unit that came, in the experiments that need no attributes."""
    world, asked = draw_world(20_000, 50, rng=np.random.default_rng(0)), assigner()
    for key in ("plain", "scheduled", "grown"):
        log = MemoryLog()
        simulate(
            world,
            experiment=EXPERIMENTS[KEYS.index(key)],
            assign=lambda units, at, key=key: asked.assign_many(key, units, at).variant,
            policy=Anything(),
            log=log,
            start=NOW,
            days=1,
            seed=1,
        )
        shown = log.exposures().select(["unit", "variant"]).to_pylist()
        assert len(shown) > 100
        assert all(asked.assign(key, row["unit"], NOW).variant == row["variant"] for row in shown)


async def ask_all(port: int, n: int, of: Any, read: Any) -> None:
    """Ask for n units over some connections, many requests on the way in each."""
    numbers = iter(range(n))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while part := list(islice(numbers, PIPELINED)):
            writer.write(b"".join(of(number) for number in part))
            for number in part:
                read(number, await answer(reader))
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


def test_over_http(truth: Answers, address: int) -> None:
    n, found = min(OVER_HTTP, UNITS), np.empty((len(KEYS), 3, min(OVER_HTTP, UNITS)), np.int32)

    def of(number: int) -> bytes:
        return request("/v1/assign", {"unit": unit_of(number), "context": context_of(number)})

    def read(number: int, told: Any) -> None:
        for one in told["assignments"]:
            key = one["experiment"]
            found[KEYS.index(key), :, number] = coded(one["variant"], one["bucket"], one["reason"], key)

    began = time.perf_counter()
    asyncio.run(ask_all(address, n, of, read))
    assert (found == truth[:, :, :n]).all()
    print(f"\n{n:,} units x {len(KEYS)} experiments alike over /v1/assign ({time.perf_counter() - began:.0f} s)")


def test_over_ofrep(truth: Answers, address: int) -> None:
    """In bulk for every unit; flag by flag for a tenth of them."""
    n, found = min(OVER_HTTP, UNITS), np.empty((len(KEYS), 3, min(OVER_HTTP, UNITS)), np.int32)

    def body(number: int) -> dict[str, Any]:
        return {"context": {"targetingKey": unit_of(number), **context_of(number)}}

    def take(number: int, flag: Any) -> None:
        key, said = flag["key"], flag["metadata"]
        found[KEYS.index(key), :, number] = coded(flag.get("value"), said["bucket"], said["assignment"], key)

    def read(number: int, told: Any) -> None:
        for flag in told["flags"]:
            take(number, flag)

    began, path = time.perf_counter(), "/ofrep/v1/evaluate/flags"
    asyncio.run(ask_all(address, n, lambda number: request(path, body(number)), read))
    assert (found == truth[:, :, :n]).all()
    found[:] = -9
    for key in KEYS:
        asyncio.run(ask_all(address, n // 10, lambda number, key=key: request(f"{path}/{key}", body(number)), take))
    assert (found[:, :, : n // 10] == truth[:, :, : n // 10]).all()
    print(f"\n{n:,} units x {len(KEYS)} experiments alike over OFREP ({time.perf_counter() - began:.0f} s)")
