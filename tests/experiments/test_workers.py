"""Worker processes: they answer as the model does here, whatever happens to them. Real processes, a tiny model."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from starlette.testclient import TestClient

from abtest.service.security import Tokens
from experiments.answering import Answering, Call, Ranked
from experiments.home import Home
from experiments.online.state import Seen
from experiments.package import Package
from experiments.server import build
from experiments.serving_config import ServingConfig
from experiments.slots import Breaker, Served
from experiments.workers import LostError, Workers
from recsys.data.sources.loaded import Loaded
from recsys.models.base import create
from tests.experiments.conftest import packed

LATER = datetime(2030, 1, 1, tzinfo=UTC)
SERVICE = """
import sys, time
from pathlib import Path
from experiments.workers import Workers
if __name__ == "__main__":
    workers = Workers(Path(sys.argv[1]), 2, name="v1")
    print("warm", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def package(loaded: Loaded) -> Package:
    return packed(loaded.dataset, create("item_knn", neighbours=20))


@pytest.fixture(scope="module")
def folder(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("workers") / "package"
    package.save(place)
    return place


@pytest.fixture(scope="module")
def calls(package: Package) -> list[Call]:
    """Known users and a stranger, some of whom did something lately."""
    items = package.items.ids
    lately = tuple(Seen(item=str(items[n]), kind="click", at=LATER) for n in (3, 5))
    units = [*package.users.ids[:6].tolist(), "stranger"]
    return [(unit, 5, lately if n % 2 else (), ()) for n, unit in enumerate(units)]


@pytest.fixture
def workers(folder: Path) -> Iterator[Workers]:
    two = Workers(folder, 2, name="v1")
    yield two
    two.close()


@pytest.fixture
def impatient(folder: Path) -> Iterator[Workers]:
    two = Workers(folder, 2, name="v1", hung=1.0)
    yield two
    two.close()


def processes() -> set[int]:
    """Of the workers that this process started."""
    return {one.pid for one in active_children() if one.name.startswith("v") and one.pid is not None}


def until(true: Any) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def same(left: list[Ranked] | None, right: list[Ranked]) -> bool:
    assert left is not None
    return len(left) == len(right) and all(
        np.array_equal(one.items, two.items) and np.array_equal(one.scores, two.scores, equal_nan=True)
        for one, two in zip(left, right, strict=True)
    )


def test_they_answer_as_the_model_does_here(workers: Workers, package: Package, calls: list[Call]) -> None:
    here, trending = Answering(package), tuple(package.items.ids[-3:].tolist())
    for _ in range(3):  # both are asked, one after the other
        assert same(workers(calls, ()), here(calls))
    here.follow(trending)
    unknown: list[Call] = [("stranger", 5, (), ())]
    for _ in range(3):
        assert same(workers(unknown, trending), here(unknown))
    told = workers(unknown, trending)
    assert told is not None
    assert package.items.ids[told[0].items[:3]].tolist() == list(trending)
    assert workers.problem == ""


def test_a_model_that_fails_is_told_and_the_worker_goes_on(workers: Workers, calls: list[Call]) -> None:
    before = processes()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="ValueError: k must be >= 1, got 0"):
            workers([("u", 0, (), ())], ())
    assert workers(calls, ()) is not None
    assert processes() == before


def test_one_that_is_killed_is_started_anew_and_nobody_waits(workers: Workers, calls: list[Call]) -> None:
    before = processes()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert [workers(calls, ()) for _ in range(3)] == [None, None, None]  # whoever asked answers himself
    until(lambda: workers.problem == "v1: 2 of 2 workers are being started anew")
    until(lambda: workers.problem == "")
    assert workers(calls, ()) is not None
    after = processes()
    assert len(after) == 2
    assert not after & before


def test_one_that_hangs_is_ended(impatient: Workers, calls: list[Call]) -> None:
    hung = processes()
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError, match="did not answer within 1 seconds"):
        impatient(calls, ())
    until(lambda: len(processes() - hung) == 1)
    until(lambda: impatient.problem == "")
    for pid in hung & processes():
        os.kill(pid, signal.SIGCONT)
    assert all(impatient(calls, ()) is not None for _ in range(3))


def test_they_end_when_they_are_closed(folder: Path) -> None:
    before = processes()
    workers = Workers(folder, 1, name="v1")
    (new,) = processes() - before
    workers.close()
    until(lambda: not psutil.pid_exists(new))
    assert workers([("u", 5, (), ())], ()) is None


def test_they_end_with_a_service_that_is_killed(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    root = str(Path(__file__).parents[2])
    service = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert service.stdout is not None
    assert service.stdout.readline() == "warm\n"
    theirs = [
        one for one in psutil.Process(service.pid).children() if any("spawn_main" in word for word in one.cmdline())
    ]
    assert len(theirs) == 2
    service.kill()
    service.wait()
    service.stdout.close()
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in theirs))


def test_a_package_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    with pytest.raises(LostError, match=r"process \d+ ended"):
        Workers(tmp_path / "nothing", 1, name="v1")


def test_a_version_answers_itself_while_its_workers_are_away(folder: Path, package: Package) -> None:
    here = Answering(package)
    served = Served(
        version=1, package=package, breaker=Breaker(time.monotonic, 5, 5.0), threads=1,
        workers=Workers(folder, 1, name="version 1"),
    )  # fmt: skip
    trending, unit = package.items.ids[-2:].tolist(), str(package.users.ids[0])
    served.follow(trending)
    here.follow(trending)
    try:
        for killed in (False, True):
            if killed:
                for pid in processes():
                    os.kill(pid, signal.SIGKILL)
            future = served.submit(unit, 5, ())
            assert future is not None
            assert same([future.result(30)], here([(unit, 5, (), ())]))
    finally:
        served.close()


def test_the_service_answers_by_processes_when_told_to(copied: Home) -> None:
    config = ServingConfig(refresh_seconds=0.05, deadline_ms=5_000, second_deadline_ms=5_000)
    slates = {}
    for n in (0, 1):
        service = build(copied, "tiny", config.model_copy(update={"processes": n}), tokens=Tokens())
        try:
            with TestClient(service.app, raise_server_exceptions=False) as client:
                asked = [client.post("/v1/recommend", json={"unit": f"u{n:04d}", "k": 4}).json() for n in range(8)]
                slates[n] = [(slate["version"], slate["fallback"], slate["items"]) for slate in asked]
                assert client.get("/ready").json()["problems"] == []
                if n:
                    assert len(processes()) >= 2  # the champion's and the challenger's
        finally:
            service.close()
    assert slates[0] == slates[1]
    until(lambda: not processes())
