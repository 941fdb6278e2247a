"""What the service stands on goes away and comes back, without a restart: real PostgreSQL, real Redis."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from abtest.events.postgres import PostgresLog
from abtest.types import Outcome
from experiments import logs, loop
from experiments.commands import online
from experiments.home import Home
from experiments.serving_config import ServingConfig, load
from experiments.store import ExperimentStore
from tests.experiments.test_server import ADMIN, CLIENT, NEW, QUICK, served, until
from tests.postgres import Server
from tests.redis import RedisServer


@pytest.fixture
def postgres() -> Iterator[Server]:
    made = Server.make()
    yield made
    made.close()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    made = RedisServer.make()
    yield made
    made.close()


def clicked(id: str, unit: str = "stranger", item: str = "") -> dict[str, Any]:
    return {"events": [{"type": "outcome", "id": id, "unit": unit, "kind": "click", "item": item}]}


def shown(client: TestClient, unit: str) -> list[str]:
    answer = client.post("/v1/recommend", json={"unit": unit, "k": 5}, headers=CLIENT)
    assert answer.status_code == 200, answer.text
    return [place["item"] for place in answer.json()["items"]]


# PostgreSQL


def test_postgres_away_at_the_start_is_waited_for_while_slates_are_answered(copied: Home, postgres: Server) -> None:
    with PostgresLog(postgres.dsn) as log, served(copied) as client:
        first = shown(client, "stranger")[0]
        log.append([Outcome(id="before", unit="stranger", kind="click", at=loop.now(), item=first)])
    postgres.kill()
    config = QUICK.model_copy(update={"log": logs.LogConfig(kind="postgres", dsn=postgres.dsn)})
    with served(copied, config) as client:
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "event log in PostgreSQL cannot be read" in ready.json()["problems"][0]
        assert client.get("/health").status_code == 200
        assert client.post("/v1/assign", json={"unit": "u"}, headers=CLIENT).status_code == 200
        assert first in shown(client, "stranger")  # what he did is not known yet
        refused = client.post("/v1/events", json=clicked("o1"), headers=CLIENT)
        assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (503, True)
        assert "cannot" in refused.json()["detail"]
        postgres.start()
        until(lambda: client.get("/ready").status_code == 200)
        assert client.post("/v1/events", json=clicked("o1"), headers=CLIENT).json()["kept"] == 1
        assert client.get("/ready").json()["problems"] == []
        until(lambda: first not in shown(client, "stranger"))  # the log was read back without a restart
    with PostgresLog(postgres.dsn) as log:
        assert log.outcomes()["id"].to_pylist() == ["before", "o1"]


def test_an_experiment_is_read_from_the_log_that_the_service_wrote(
    copied: Home, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BAKEOFF_POSTGRES", postgres.dsn)
    path = tmp_path / "serving.yaml"
    path.write_text('deadline_ms: 2000\nlog: {kind: postgres, dsn: "${BAKEOFF_POSTGRES}"}\n')
    with served(copied, load(path, [])) as client:
        assert client.post("/v1/experiments", json=NEW, headers=ADMIN).status_code == 201
        assert client.post("/v1/experiments/knn-again/start", json={"why": "x"}, headers=ADMIN).status_code == 200
        for n in range(20):
            shown(client, f"u{n:04d}")
    assert "BAKEOFF" not in (copied.root / "log.json").read_text()
    definition = ExperimentStore(copied).definition("knn-again")
    readout = loop.read(definition, copied, serving=path)
    assert sum(arm.exposures for arm in readout.arms) == 20
    with pytest.raises(ValueError, match="are kept in postgres: give --config FILE, or set BAKEOFF_SERVING"):
        loop.read(definition, copied)
    online.analyse("knn-again", config=path, home=copied.root)
    assert "knn-again" in capsys.readouterr().out
    # simulated traffic lies in the home's own log all the same
    assert loop.read(ExperimentStore(copied).definition("tiny-v2-vs-v1"), copied).first is not None


# Redis


def with_redis(server: RedisServer) -> ServingConfig:
    tree = {"kind": "redis", "url": server.url, "timeout_ms": 100, "trending_least": 3}
    return ServingConfig.model_validate({**QUICK.model_dump(), "online": tree})


def failures(client: TestClient) -> float:
    lines = client.get("/metrics", headers=CLIENT).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("bakeoff_online_failures_total"))


def asked_without_failure(client: TestClient) -> bool:
    before = failures(client)
    shown(client, "stranger")
    return failures(client) == before


def test_two_services_know_what_a_user_did_at_the_other(copied: Home, redis: RedisServer) -> None:
    with served(copied, with_redis(redis)) as one, served(copied, with_redis(redis)) as other:
        item = shown(one, "stranger")[0]
        assert shown(other, "stranger")[0] == item
        assert other.post("/v1/events", json=clicked("o1", item=item), headers=CLIENT).json()["kept"] == 1
        assert item not in shown(one, "stranger")  # though its slate was in the cache of this one
        rare = shown(one, "stranger")[-1]
        for n in range(4):  # half of them at each
            client = (one, other)[n % 2]
            assert client.post("/v1/events", json=clicked(f"r{n}", f"n{n}", rare), headers=CLIENT).json()["kept"] == 1
        newcomers = count()  # always another one: slates are kept for a while
        until(lambda: shown(one, f"newcomer {next(newcomers)}")[0] == rare)
        assert failures(one) == failures(other) == 0


@pytest.mark.parametrize("how", ["kill", "hang"])
def test_without_redis_its_own_state_stands_in_and_what_redis_missed_is_sent_later(
    copied: Home, redis: RedisServer, how: str
) -> None:
    with served(copied, with_redis(redis)) as client:
        item, second = shown(client, "stranger")[:2]
        client.post("/v1/events", json=clicked("o1", item=item), headers=CLIENT)
        redis.kill() if how == "kill" else redis.hold(True)
        assert item not in shown(client, "stranger")
        assert client.post("/v1/events", json=clicked("o2", item=second), headers=CLIENT).json()["kept"] == 1
        assert not {item, second} & set(shown(client, "stranger"))
        ready = client.get("/ready").json()
        assert (ready["ready"], "online state: Redis does not answer" in ready["problems"][-1]) == (True, True)
        assert failures(client) > 0
        redis.start() if how == "kill" else redis.hold(False)
        until(lambda: client.get("/ready").json()["problems"] == [])
        if how == "kill":  # it forgot what it knew; what happened meanwhile was sent
            assert second not in shown(client, "stranger")
        else:
            assert not {item, second} & set(shown(client, "stranger"))
        until(lambda: asked_without_failure(client))


def test_redis_away_at_the_start_stops_nothing(copied: Home, redis: RedisServer) -> None:
    redis.kill()
    with served(copied, with_redis(redis)) as client:
        assert len(shown(client, "u0003")) == 5
        assert client.get("/ready").status_code == 200
        redis.start()
        until(lambda: client.get("/ready").json()["problems"] == [])


def test_redis_without_an_address_is_refused(copied: Home) -> None:
    config = ServingConfig.model_validate({"online": {"kind": "redis"}})
    with pytest.raises(ValueError, match=r"online\.url is empty"), served(copied, config):
        pass
