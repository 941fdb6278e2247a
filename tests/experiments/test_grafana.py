"""The Grafana dashboard asks for metrics that the service really has, and a real Prometheus answers every panel."""

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from abtest.service.security import Tokens
from abtest.types import Variant
from experiments.home import Home
from experiments.server import build
from experiments.store import ExperimentStore
from tests.abtest.service.worlds import listening
from tests.experiments.test_server import ADMIN, CLIENT, NEW, QUICK, TOKENS, ask, free_port, served, until

BOARD = Path(__file__).parents[2] / "configs" / "grafana" / "service.json"


def queries() -> list[str]:
    return [target["expr"] for panel in json.loads(BOARD.read_text())["panels"] for target in panel["targets"]]


def lost(given: Any, back: Any, place: str = "") -> list[str]:
    """Where a tree that was read and written again is not what it was."""
    if isinstance(given, dict):
        return [found for key in given for found in lost(given[key], (back or {}).get(key), f"{place}.{key}")]
    if isinstance(given, list):
        return [found for i, one in enumerate(given) for found in lost(one, dict(enumerate(back or [])).get(i), place)]
    return [] if given == back else [f"{place}: {given!r}, read back as {back!r}"]


def test_grafanas_own_schema_reads_all_of_it() -> None:
    tree = json.loads(BOARD.read_text())
    assert lost(tree, json.loads(JSONEncoder().encode(Dashboard.from_json(tree)))) == []


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts one that scrapes an address every fifth of a second, and gives its own address."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        words = "Prometheus is not installed: apt-get install prometheus"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    started: list[subprocess.Popen[bytes]] = []

    def start(target: str) -> str:
        port, file = free_port(), tmp_path / "prometheus.yaml"
        token = CLIENT["authorization"].removeprefix("Bearer ")
        file.write_text(
            f"global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n  - job_name: bakeoff\n"
            f"    authorization: {{credentials: {token}}}\n    static_configs: [{{targets: ['{target}']}}]\n"
        )
        words = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
        words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_promtool_reads_every_query(prometheus: Callable[[str], str], tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    path = tmp_path / "rules.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    said = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"{len(rules)} rules found" in said.stdout


@contextmanager
def over_http(home: Home) -> Iterator[str]:
    service = build(home, "tiny", QUICK, tokens=Tokens.parse(TOKENS))
    try:
        with listening(service.app) as address:
            yield address
    finally:
        service.close()


def traffic(address: str, number: int) -> None:
    """Something of everything: slates of each kind, one that another model had to fill, events, refusals, changes."""
    for unit in ("u0001", "u0001", f"u{number}"):
        assert ask(f"{address}/v1/recommend", {"unit": unit, "expose": False}, CLIENT)[0] == 200
    tested = {"unit": "tester", "experiment": "lost"}
    assert ask(f"{address}/v1/recommend", tested, CLIENT)[1]["fallback"] == "champion"
    at = "2025-01-06T00:00:00Z"
    line = {"type": "outcome", "id": f"o{number}", "unit": "u1", "kind": "click", "at": at}
    assert ask(f"{address}/v1/events", {"events": [line, line, {}]}, CLIENT)[0] == 200
    assert ask(f"{address}/v1/assign", {"unit": "u"})[0] == 401
    as_json = {**ADMIN, "content-type": "application/json"}
    assert ask(f"{address}/v1/experiments", {**NEW, "key": f"made-{number}"}, as_json)[0] == 201


def test_prometheus_answers_every_panel_with_data(copied: Home, prometheus: Callable[[str], str]) -> None:
    store = ExperimentStore(copied)
    old = store.definition("tiny-v2-vs-v1")
    variants = tuple(Variant(name=name, weight=0.5, payload={"version": 9}) for name in ("a", "b"))
    draft = replace(old.experiment, key="lost", variants=variants, status="draft", overrides={"tester": "b"})
    store.save(replace(old, experiment=draft))  # a version that cannot be loaded, for a tester
    with over_http(copied) as address:
        server = prometheus(address.removeprefix("http://"))

        def result(query: str) -> list[Any]:
            said = ask(f"{server}/api/v1/query?{urllib.parse.urlencode({'query': query})}")[1]
            assert said["status"] == "success", said
            return list(said["data"]["result"])

        numbers = iter(range(10_000))

        def missing() -> list[str]:
            traffic(address, next(numbers))
            return [
                query for query in queries() if not any(row["value"][1] not in ("NaN", "+Inf") for row in result(query))
            ]

        with suppress(AssertionError):  # what is still missing then says more
            until(lambda: not missing())
        assert missing() == []


def test_every_query_names_a_metric_and_labels_of_the_service(copied: Home) -> None:
    with served(copied) as client:
        text = client.get("/metrics", headers=CLIENT).text
        declared = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
        telemetry = client.app.hot.telemetry  # type: ignore[attr-defined]
    kept = [metric for metric in vars(telemetry).values() if hasattr(metric, "collect")]
    labels = {
        getattr(metric, "name", None) or metric._name: set(getattr(metric, "labelnames", None) or metric._labelnames)
        for metric in kept
        if metric is not telemetry.registry
    }
    board = json.loads(BOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) >= 12
    for query in queries:
        names = re.findall(r"bakeoff_\w+", query)
        assert names
        for name in names:
            base = name.removesuffix("_bucket")
            assert base in declared or base.removesuffix("_total") in declared, name
        grouped = {word.strip() for group in re.findall(r"by \(([^)]*)\)", query) for word in group.split(",")} - {"le"}
        metric = names[0].removesuffix("_bucket").removesuffix("_total")
        assert grouped <= labels.get(metric, set()), query
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
