"""kill -9 under load, again and again: what was acknowledged is there exactly once, and nothing is half there.

Three runs here; `make chaos` makes a hundred (CHAOS_RUNS).
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from abtest.events import LOGS
from abtest.events.log import EventLog
from bakeoff.catalogue import lookup
from tests.postgres import Server

RUNS = int(os.environ.get("CHAOS_RUNS", "3"))
CLIENTS = 8
pytestmark = pytest.mark.timeout(60 + 60 * RUNS)


@dataclass
class Said:
    """What all clients were told. sent: batch -> how many events; kept: batches that were acknowledged."""

    sent: dict[str, int] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    exposures: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)


class Target:
    """The service as a process of its own."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind, self.place = kind, place
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-m", "tests.chaos.target", self.kind, self.place, str(self.port)]
        self.process = subprocess.Popen(words)
        for _ in range(600):
            assert self.process.poll() is None, "the service ended before it answered"
            with suppress(OSError), self.connected() as connection:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the service never answered")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def connected(self) -> "closing[http.client.HTTPConnection]":
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20))

    def post(self, connection: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, Any]:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        assert answer.status != 503 or answer.getheader("retry-after")
        return answer.status, json.loads(answer.read())


def batch_of(name: str, n: int) -> dict[str, Any]:
    lines = [{"type": "outcome", "id": f"{name}/{i}", "unit": "u", "kind": "click", "item": name} for i in range(n)]
    return {"events": lines}


def load(target: Target, said: Said, run: int, stop: threading.Event) -> list[threading.Thread]:
    """Clients that send batches and ask for slates until the service is gone or they are told to stop."""

    def client(number: int) -> None:
        random_ = random.Random(f"{run}-{number}")
        # killed in the middle of an answer
        with suppress(OSError, http.client.HTTPException), target.connected() as connection:
            for i in range(1_000_000):
                if stop.is_set():
                    return
                name, n = f"{run}-{number}-{i}", random_.randint(1, 20)
                said.sent[name] = n
                status, told = target.post(connection, "/v1/events", batch_of(name, n))
                said.statuses[status] += 1
                if status == 200:
                    assert [fate["fate"] for fate in told["fates"]] == ["kept"] * n
                    said.kept.add(name)
                status, slate = target.post(connection, "/v1/recommend", {"unit": name, "k": 3})
                assert status == 200
                if slate["logged"]:
                    said.exposures.add(slate["exposure"])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    return threads


def check(log: EventLog, said: Said) -> None:
    """Everything acknowledged is there, each once; a batch that was not is there whole or not at all."""
    ids, shown = log.outcomes()["id"].to_pylist(), log.exposures()["id"].to_pylist()
    assert len(ids) == len(set(ids))
    assert len(shown) == len(set(shown))
    parts = Counter(id.split("/")[0] for id in ids)
    lost = [name for name in said.kept if parts[name] != said.sent[name]]
    assert not lost, f"acknowledged and not there: {lost[:5]}"
    assert not said.exposures - set(shown)
    half = [name for name, n in parts.items() if n != said.sent[name]]
    assert not half, f"half there: {half[:5]}"


def send_again(target: Target, said: Said) -> None:
    """What was not acknowledged is sent once more: each event is kept now, or was."""
    with target.connected() as connection:
        for name in [name for name in said.sent if name not in said.kept]:
            status, told = target.post(connection, "/v1/events", batch_of(name, said.sent[name]))
            assert status == 200
            assert {fate["fate"] for fate in told["fates"]} in ({"kept"}, {"duplicate"})  # it was there whole or not
            said.kept.add(name)


def wait_for(said: Said, n: int) -> None:
    deadline = time.monotonic() + 30
    while len(said.kept) < n:
        assert time.monotonic() < deadline, "nothing is acknowledged"
        time.sleep(0.01)


def test_the_service_killed_loses_nothing(tmp_path: Path) -> None:
    place, said, moment = str(tmp_path / "events.sqlite"), Said(), random.Random(7)
    target = Target("sqlite", place)
    try:
        for run in range(RUNS):
            before = len(said.kept)
            threads = load(target, said, run, threading.Event())
            wait_for(said, before + 1)
            time.sleep(moment.uniform(0.0, 0.7))
            target.kill()
            for thread in threads:
                thread.join(60)
            with lookup(LOGS, "sqlite", "log")(place) as log:
                check(log, said)
            target.start()
            send_again(target, said)
    finally:
        target.kill()
    with lookup(LOGS, "sqlite", "log")(place) as log:
        check(log, said)
        assert log.outcomes().num_rows == sum(said.sent.values())
    assert set(said.statuses) == {200}
    print(f"\n{RUNS} kills: {sum(said.sent.values()):,} events, {len(said.exposures):,} slates, none lost, none twice")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server.make(durable=True)
    yield made
    made.close()


def test_postgres_killed_loses_nothing_and_the_service_goes_on_when_it_is_back(server: Server) -> None:
    said, moment = Said(), random.Random(11)
    target = Target("postgres", server.dsn)
    try:
        for run in range(max(2, RUNS - 1)):
            before, stop = len(said.kept), threading.Event()
            threads = load(target, said, run, stop)
            wait_for(said, before + 1)
            time.sleep(moment.uniform(0.0, 0.7))
            if run % 2:  # by turns the service, too
                target.kill()
            else:
                server.kill()
                time.sleep(0.3)
                server.start()
                wait_for(said, len(said.kept) + CLIENTS)  # the same process goes on
            stop.set()
            for thread in threads:
                thread.join(60)
            with lookup(LOGS, "postgres", "log")(server.dsn) as log:
                check(log, said)
            if run % 2:
                target.start()
            send_again(target, said)
    finally:
        target.kill()
    with lookup(LOGS, "postgres", "log")(server.dsn) as log:
        check(log, said)
        assert log.outcomes().num_rows == sum(said.sent.values())
    assert set(said.statuses) <= {200, 503}
    assert said.statuses[503] > 0
    print(f"\nPostgreSQL: {sum(said.sent.values()):,} events, {said.statuses[503]} refusals, none lost, none twice")
