"""Recommendations of a 40,000-item pipeline over HTTP that no cache helps: latency at 70% of what the service can do.

By two threads of the service, and by two worker processes. Requests come at times drawn beforehand and wait from then
on, so that a server that falls behind is seen to. For each half a minute of fitting, then half a minute of requests.
"""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.benchmarks.shop import N_USERS
from tests.benchmarks.target import Target
from tests.benchmarks.wire import answer, request

SECONDS, ASKERS, CONNECTIONS = 8.0, 4, 64
LOAD, GOAL_MS = 0.7, 20.0
"""The share of its capacity at which the p99 is measured, and what issue 7 asks for."""


@pytest.fixture(scope="module", params=["threads", "processes"])
def answering(request: pytest.FixtureRequest) -> str:
    """What answers: two of them."""
    return str(request.param)


@pytest.fixture(scope="module")
def target(answering: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    env = {"OMP_NUM_THREADS": "1", "PROCESSES": "2" if answering == "processes" else "0"}
    made = Target("pipeline_target", tmp_path_factory.mktemp("uncached"), 600, **env)
    yield made
    made.process.kill()
    made.process.wait()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(request("/v1/recommend", {"unit": f"u{number * 7919 % N_USERS:05}", "k": 10}))
    told = await answer(reader)
    assert (told["cached"], told["fallback"], len(told["items"])) == (False, "", 10)


async def capacity(port: int) -> float:
    """Answers per second to askers who ask again at once."""
    end, answered = time.perf_counter() + SECONDS, 0

    async def asker(number: int) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            await ask(reader, writer, answered)
            answered += 1
        writer.close()

    await asyncio.gather(*(asker(number) for number in range(ASKERS)))
    return answered / SECONDS


async def latencies(port: int, per_second: float) -> NDArray[np.float64]:
    """Milliseconds from each request's time, by a Poisson process, to its answer."""
    due = np.cumsum(np.random.default_rng(0).exponential(1 / per_second, int(2 * SECONDS * per_second)))
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    waited, began = np.empty(len(due)), time.perf_counter()

    async def one(number: int) -> None:
        connection = await free.get()
        await ask(*connection, number)
        waited[number] = time.perf_counter() - began - due[number]
        free.put_nowait(connection)

    tasks = []
    for number, at in enumerate(due.tolist()):
        await asyncio.sleep(max(began + at - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return waited * 1_000


def test_latency_at_seventy_percent_of_capacity(answering: str, target: Target) -> None:
    asyncio.run(capacity(target.port))  # warms up
    cpu, clock = target.cpu(), time.perf_counter()
    most = asyncio.run(capacity(target.port))
    busy = (target.cpu() - cpu) / (time.perf_counter() - clock)
    waited = asyncio.run(latencies(target.port, LOAD * most))
    p50, p99 = np.quantile(waited, [0.5, 0.99])
    print(
        f"\nuncached, 40,000 items, two {answering}: {most:,.0f} per second at most ({busy:.1f} processors busy); at "
        f"{LOAD:.0%} of it p50 {p50:.1f} ms, p99 {p99:.1f} ms (goal {GOAL_MS:.0f}), {len(waited):,} requests"
    )
    assert (waited > 0).all()
    # of two servers that take equally long, one queue at 70% makes one in a hundred wait for three to four computations
    assert p99 < 10 * 2_000 / most
