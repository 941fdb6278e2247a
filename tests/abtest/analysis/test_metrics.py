from pathlib import Path
from typing import Any

import pytest

from abtest.analysis.metrics import choose, kinds, load_metrics, measures
from abtest.types import Metric

CTR = {"name": "ctr", "kind": "ratio", "numerator": "click", "denominator": "impressions", "role": "primary"}


def test_a_file_and_a_mapping_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "metrics.yaml"
    path.write_text(
        "metrics:\n"
        "  - {name: ctr, kind: ratio, numerator: click, denominator: impressions, role: primary}\n"
        "  - name: revenue\n    kind: mean\n    numerator: purchase.value\n"
        "    cap: 100\n    margin: 0.02\n    unit: EUR\n"
    )
    found = load_metrics(path)
    revenue = {"kind": "mean", "numerator": "purchase.value", "cap": 100, "margin": 0.02, "unit": "EUR"}
    assert found == load_metrics({"metrics": [CTR, {"name": "revenue", **revenue}]})
    assert found == load_metrics({"metrics": {"ctr": {**CTR}, "revenue": revenue}})
    assert found[0] == Metric(name="ctr", kind="ratio", numerator="click", denominator="impressions", role="primary")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rolle": "primary"}, "unknown key 'rolle'; did you mean 'role'"),
        ({"kind": "rate"}, "kind must be one of mean, proportion, ratio, quantile, retention, got 'rate'"),
        ({"role": "main"}, "role must be one of primary, secondary, guardrail, diagnostic, got 'main'"),
        ({"direction": "up"}, "direction must be one of increase, decrease, got 'up'"),
        ({"denominator": None}, "name its denominator"),
        ({"kind": "mean"}, "drop it, or make the kind ratio"),
        ({"numerator": ""}, "numerator is missing"),
        ({"numerator": 3}, "numerator must be text, got 3"),
        ({"cap": -1}, "cap must be > 0, got -1"),
        ({"cap": "100"}, "cap must be a number, got '100'"),
        ({"margin": 2}, "margin is a share"),
        ({"margin": float("nan")}, "margin must be a number"),
        ({"kind": "proportion", "denominator": None, "cap": 3}, "cap does not apply"),
    ],
)
def test_a_bad_definition_says_which_and_why(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        load_metrics({"metrics": [CTR | change]})
    assert "metric 1" in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "expected one key, metrics"),
        ({"metrics": [], "metric": []}, "expected one key, metrics"),
        ({"metrics": 3}, "must be a list or a mapping"),
        ({"metrics": ["ctr"]}, "metric 1: expected a mapping"),
        ({"metrics": [CTR, CTR]}, "metric 'ctr' is defined 2 times"),
        ({"metrics": {"buyers": {"kind": "proportion", "numerator": "purchase", "name": 3}}}, "name must be text"),
    ],
)
def test_a_bad_shape_is_refused(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_metrics(content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metrics:\n  ctr: {kind: mean, numerator: a}\n  ctr: {kind: mean, numerator: b}\n", "'ctr' stands twice"),
        ("metrics: [\n", "not readable as YAML"),
        ("", "got NoneType"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        load_metrics(path)
    assert "mine.yaml" in str(error.value)


def test_an_experiment_chooses_by_name_in_its_order() -> None:
    metrics = load_metrics({"metrics": {n: {"kind": "mean", "numerator": n} for n in ("click", "view", "buy")}})
    assert [m.name for m in choose(metrics, ("buy", "click"))] == ["buy", "click"]
    assert choose(metrics, ()) == metrics
    with pytest.raises(LookupError, match="unknown metric 'clik'; did you mean 'click'"):
        choose(metrics, ("clik",))


def test_measures_are_needed_once_and_kinds_come_from_them() -> None:
    metrics = (
        Metric(name="ctr", kind="ratio", numerator="click", denominator="impressions"),
        Metric(name="clicks", kind="mean", numerator="click"),
        Metric(name="revenue", kind="mean", numerator="purchase.value"),
        Metric(name="buyers", kind="proportion", numerator="purchase"),
    )
    assert measures(metrics) == ("click", "impressions", "purchase.value", "purchase")
    assert kinds(measures(metrics)) == ("click", "purchase")
