"""The Grafana dashboard asks for metrics that the service really has, by labels that they really carry."""

import json
import re
from pathlib import Path

from experiments.home import Home
from tests.experiments.test_server import CLIENT, served

BOARD = Path(__file__).parents[2] / "configs" / "grafana" / "service.json"


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
