"""The composed service: over a real home with a real registry, in this process and as `bakeoff serve`."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from abtest.events.postgres import PostgresLog
from abtest.service.security import Tokens
from experiments.commands import servers
from experiments.home import Home
from experiments.lifecycle import stop
from experiments.loop import Outcome, now
from experiments.promote import rollback
from experiments.registry import Registry
from experiments.server import build
from experiments.serving_config import ServingConfig, load
from experiments.store import ExperimentStore
from tests.postgres import Server

COMMAND = "from experiments.cli import main; main()"
TOKENS = "shop:client:client-0123456789ab,ada:admin:admin-0123456789abc"
ADMIN = {"authorization": "Bearer admin-0123456789abc"}
CLIENT = {"authorization": "Bearer client-0123456789ab"}
QUICK = ServingConfig(refresh_seconds=0.05, deadline_ms=2_000, second_deadline_ms=2_000)
NEW = {
    "key": "knn-again",
    "variants": [
        {"name": "old", "weight": 0.5, "payload": {"version": 1}},
        {"name": "new", "weight": 0.5, "payload": {"version": 2}},
    ],
    "metrics": {"clicks_per_user": {"kind": "mean", "numerator": "click", "role": "primary"}},
    "why": "to be sure",
}


@contextmanager
def served(home: Home, config: ServingConfig = QUICK) -> Iterator[TestClient]:
    service = build(home, "tiny", config, tokens=Tokens.parse(TOKENS))
    try:
        with TestClient(service.app, raise_server_exceptions=False) as client:
            yield client
    finally:
        service.close()


def until(true: Any) -> None:
    """Wait for the background; a test that waits in vain fails."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "the background never came"
        time.sleep(0.02)


def test_an_experiment_runs_through_the_service_and_is_read_from_its_log(copied: Home) -> None:
    from experiments import loop

    with served(copied) as client:

        def post(path: str, body: Any, headers: dict[str, str] = ADMIN) -> Any:
            answer = client.post(path, json=body, headers=headers)
            assert answer.status_code < 300, answer.text
            return answer.json()

        assert post("/v1/experiments", NEW)["status"] == "draft"
        assert post("/v1/experiments/knn-again/start", {"why": "now"})["status"] == "running"
        versions = {"old": 1, "new": 2}
        for n in range(60):
            slate = post("/v1/recommend", {"unit": f"u{n:04d}", "k": 3, "context": {"device": "phone"}}, CLIENT)
            assert slate["version"] == versions[slate["variant"]]
            clicked = {
                "type": "outcome", "id": f"o{n}", "unit": slate["unit"], "kind": "click",
                "item": slate["items"][0]["item"], "exposure": slate["exposure"],
            }  # fmt: skip
            assert post("/v1/events", {"events": [clicked]}, CLIENT)["kept"] == 1
            again = post("/v1/recommend", {"unit": f"u{n:04d}", "k": 3, "expose": False}, CLIENT)
            assert clicked["item"] not in [place["item"] for place in again["items"]]
        post("/v1/experiments/knn-again/stop", {"why": "seen enough"})
        trail = client.get("/v1/experiments/knn-again/audit", headers=ADMIN).json()["changes"]
    assert [(change["action"], change["by"]) for change in trail] == [
        ("create", "ada"),
        ("start", "ada"),
        ("stop", "ada"),
    ]
    definition = ExperimentStore(copied).definition("knn-again")
    assert (definition.model, definition.experiment.variants[0].payload) == ("tiny", {"model": "tiny", "version": 1})
    readout = loop.read(definition, copied)
    assert sum(arm.exposures for arm in readout.arms) == sum(arm.units for arm in readout.arms) == 60
    assert readout.effects[0].effect.control == readout.effects[0].effect.treatment == 1.0  # one click each


def test_what_other_processes_do_is_taken_up_without_a_restart(copied: Home) -> None:
    with served(copied) as client:
        assert client.get("/ready").json()["champion"] == 2
        rollback("tiny", Registry(copied), at=now(), by="olga")
        until(lambda: client.get("/ready").json()["champion"] == 1)
        store = ExperimentStore(copied)
        old = store.definition("tiny-v2-vs-v1")
        store.save(
            replace(old, experiment=replace(old.experiment, key="live", status="running", starts=None, ends=None))
        )
        until(lambda: client.post("/v1/assign", json={"unit": "u"}, headers=CLIENT).json()["assignments"])
        stop(copied, "live", at=now(), by="olga", reason="enough")
        until(lambda: not client.post("/v1/assign", json={"unit": "u"}, headers=CLIENT).json()["assignments"])
        assert client.get("/v1/experiments/live/audit", headers=ADMIN).json()["changes"][0]["by"] == "olga"


def test_a_damaged_experiment_hurts_no_other(copied: Home) -> None:
    (copied.experiments / "broken").mkdir()
    (copied.experiments / "broken" / "definition.json").write_text('{"experiment": 7}')
    with served(copied) as client:
        listed = client.get("/v1/experiments", headers=ADMIN).json()["experiments"]
        assert [experiment["key"] for experiment in listed] == ["tiny-v2-vs-v1"]


def test_a_registry_that_is_away_at_the_start_is_served_from_the_shelf(copied: Home) -> None:
    with served(copied) as client:
        before = client.post("/v1/recommend", json={"unit": "u0003"}, headers=CLIENT).json()
    copied.database.write_bytes(b"this is no database any more")
    for suffix in ("-wal", "-shm"):
        Path(f"{copied.database}{suffix}").unlink(missing_ok=True)
    with served(copied) as client:
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["champion"]) == (200, 2)
        assert "the registry does not answer" in ready.json()["problems"][0]
        after = client.post("/v1/recommend", json={"unit": "u0003"}, headers=CLIENT).json()
    assert after["items"] == before["items"]


def test_histories_go_on_where_they_ended_after_a_restart(copied: Home) -> None:
    with served(copied) as client:
        item = client.post("/v1/recommend", json={"unit": "stranger"}, headers=CLIENT).json()["items"][0]["item"]
        event = {"type": "outcome", "id": "o", "unit": "stranger", "kind": "click", "item": item}
        client.post("/v1/events", json={"events": [event]}, headers=CLIENT)
    with served(copied) as client:
        items = client.post("/v1/recommend", json={"unit": "stranger"}, headers=CLIENT).json()["items"]
    assert item not in [place["item"] for place in items]


def test_a_model_without_champion_is_refused(home: Home) -> None:
    with pytest.raises(ValueError, match="'nothing' has no champion to serve; `bakeoff train CONFIG` registers one"):
        build(home, "nothing", QUICK, tokens=Tokens())


# as a process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(address: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, content, headers or {}), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


@pytest.mark.slow
def test_the_command_serves_and_ends_by_a_signal(line: tuple[Home, Outcome], tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(line[0].root, home)  # what it writes, another test must not find
    port, said = free_port(), tmp_path / "said.txt"
    words = [sys.executable, "-c", COMMAND, "serve", "tiny", "--home", str(home), "--port", str(port)]
    with said.open("wb") as output:
        server = subprocess.Popen(words, stdout=output, stderr=output, env={**os.environ, "BAKEOFF_TOKENS": TOKENS})
    try:
        for _ in range(240):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, f"the server ended before it answered: {said.read_text()}"
            time.sleep(0.25)
        address = f"http://127.0.0.1:{port}"
        status, slate = ask(f"{address}/v1/recommend", {"unit": "nobody", "k": 3}, CLIENT)
        assert (status, slate["version"], len(slate["items"])) == (200, 2, 3)
        assert ask(f"{address}/v1/recommend", {"unit": "nobody"})[0] == 401
        assert "/v1/recommend" in ask(f"{address}/openapi.json")[1]["paths"]
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) in (0, -signal.SIGTERM)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    lines = [json.loads(text) for text in said.read_text().splitlines()]
    assert [entry["event"] for entry in lines] == ["champion changed", "serving", "call refused"]
    assert "0123456789" not in said.read_text()


def test_the_world_is_let_in_with_tokens_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAKEOFF_TOKENS", raising=False)
    with pytest.raises(ValueError, match="BAKEOFF_TOKENS"):
        servers.serve("tiny", home=tmp_path, host="0.0.0.0")


# its configuration


def test_the_file_holds_every_default() -> None:
    path = Path(__file__).parents[2] / "configs" / "serving.yaml"
    assert load(path, []) == ServingConfig()
    assert load(path, ["deadline_ms=20", "cache.seconds=0"]).cache.seconds == 0
    with pytest.raises(ValueError, match=r"serving\.yaml:.*deadline"):
        load(path, ["deadline_ms=0"])
    with pytest.raises(ValueError, match="give --config FILE"):
        load(None, ["deadline_ms=20"])


def test_the_service_keeps_its_events_in_postgres_when_told_to(
    copied: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Server.make()
    monkeypatch.setenv("BAKEOFF_POSTGRES", database.dsn)
    path = tmp_path / "serving.yaml"
    path.write_text('log: {kind: postgres, dsn: "${BAKEOFF_POSTGRES}"}\n')
    try:
        with served(copied, load(path, [])) as client:
            line = {"type": "outcome", "id": "o1", "unit": "u1", "kind": "click"}
            sent = [client.post("/v1/events", json={"events": [line]}, headers=CLIENT).json() for _ in range(2)]
            assert [told["fates"][0]["fate"] for told in sent] == ["kept", "duplicate"]
        with PostgresLog(database.dsn) as log:
            assert log.outcomes()["id"].to_pylist() == ["o1"]
    finally:
        database.close()


def test_postgres_without_an_address_is_refused(copied: Home) -> None:
    config = ServingConfig.model_validate({"log": {"kind": "postgres"}})
    with pytest.raises(ValueError, match=r"log\.dsn is empty"):
        build(copied, "tiny", config, tokens=Tokens())
