"""How much the routes cost the server. Asserted against an empty endpoint of the same server in the same run.

What is compared is requests per second of the server's own processor time: the clients and the neighbours on this
machine do not count. Requests per second of the clock are printed beside it.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.target import Target

CONNECTIONS, ROUNDS, SECONDS = 16, 4, 0.8
HEADERS = "Host: x\r\nAuthorization: Bearer client-0123456789ab\r\nContent-Type: application/json\r\n"
Body = Callable[[int, int], dict[str, object]]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """requests: answered; per_cpu, per_second: requests in a second of the server's processor, and of the clock."""

    requests: int
    per_cpu: float
    per_second: float


class Server(Target):
    def __init__(self, folder: Path) -> None:
        super().__init__("service_target", folder, 60)

    def ask(self, connection: socket.socket, path: str, body: dict[str, object]) -> bytes:
        content = json.dumps(body).encode()
        connection.sendall(
            f"POST {path} HTTP/1.1\r\n{HEADERS}Content-Length: {len(content)}\r\n\r\n".encode() + content
        )
        answer = connection.recv(65_536)
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer[:300]
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(rest) < length:
            rest += connection.recv(65_536)
        return rest

    def connected(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def load(self, path: str, body: Body, seconds: float = SECONDS) -> Rate:
        """Ask as fast as the connections can, each with its own bodies."""
        answered, stop = [0] * CONNECTIONS, threading.Event()

        def client(number: int) -> None:
            with self.connected() as connection:
                while not stop.is_set():
                    self.ask(connection, path, body(number, answered[number]))
                    answered[number] += 1

        threads = [threading.Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
        cpu, clock = self.cpu(), time.perf_counter()
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        stop.set()
        for thread in threads:
            thread.join()
        n = sum(answered)
        return Rate(requests=n, per_cpu=n / (self.cpu() - cpu), per_second=n / (time.perf_counter() - clock))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("bench"))
    yield made
    made.process.kill()
    made.process.wait()


def user(number: int, i: int) -> str:
    return f"u{(number * 31 + i) % 400}"


def test_routes_against_an_empty_endpoint(server: Server) -> None:
    run = count()
    bodies: dict[str, tuple[str, Body]] = {
        "empty": ("/empty", lambda number, i: {"unit": user(number, i)}),
        "assign": ("/v1/assign", lambda number, i: {"unit": user(number, i), "experiment": "ranker"}),
        "recommend, kept slate": ("/v1/recommend", lambda number, i: {"unit": user(number, i), "expose": False}),
        "recommend, logged": ("/v1/recommend", lambda number, i: {"unit": user(number, i)}),
        "recommend, new slate": (
            "/v1/recommend", lambda number, i: {"unit": f"new-{next(run)}", "expose": False, "k": 10},
        ),
        "events, one each": (
            "/v1/events",
            lambda number, i: {
                "events": [{"type": "outcome", "id": f"o{next(run)}", "unit": f"other{number}", "kind": "click"}]
            },
        ),
        "events, a hundred each": (
            "/v1/events",
            lambda number, i: {
                "events": [
                    {"type": "outcome", "id": f"h{next(run)}", "unit": f"other{number}", "kind": "click"}
                    for _ in range(100)
                ]
            },
        ),
    }  # fmt: skip
    server.load("/v1/recommend", bodies["recommend, kept slate"][1], 2.0)  # fills the cache
    # by turns, and the best of each: the one that the rest of the machine disturbed least
    rounds = [{name: server.load(path, body) for name, (path, body) in bodies.items()} for _ in range(ROUNDS)]
    rates = {name: max((made[name] for made in rounds), key=lambda rate: rate.per_cpu) for name in bodies}
    empty = rates["empty"].per_cpu
    print()
    for name, rate in rates.items():
        share = rate.per_cpu / empty
        print(
            f"{name:24} {rate.per_cpu:9,.0f} per CPU second ({share:4.0%} of empty), {rate.per_second:7,.0f} per second"
        )
    assert rates["assign"].per_cpu > 0.5 * empty
    assert rates["recommend, kept slate"].per_cpu > 0.4 * empty


def test_events_are_acknowledged_soon_at_2000_a_second(server: Server) -> None:
    """20 senders, 10 requests of 10 events a second each, for five seconds: paced, so latency is not queueing."""
    waited: list[float] = []

    def sender(number: int) -> None:
        with server.connected() as connection:
            start = time.perf_counter() + number / 200
            for i in range(50):
                time.sleep(max(start + i / 10 - time.perf_counter(), 0))
                asked = time.perf_counter()
                ids = [f"p{number}-{i}-{n}" for n in range(10)]
                lines = [{"type": "outcome", "id": id, "unit": "p", "kind": "click"} for id in ids]
                told = json.loads(server.ask(connection, "/v1/events", {"events": lines}))
                waited.append(time.perf_counter() - asked)
                assert told["kept"] == 10

    threads = [threading.Thread(target=sender, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    median, p99 = np.quantile(waited, [0.5, 0.99]) * 1000
    print(f"\n2,000 events per second: acknowledged after {median:.1f} ms (median), {p99:.1f} ms (99%)")
    assert len(waited) == 1_000
