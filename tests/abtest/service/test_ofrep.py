"""The OpenFeature Remote Evaluation Protocol: answers against its published document, and the routes agree."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.abtest.service.worlds import MONDAY, World, service

SPEC = Path(__file__).parent / "ofrep-openapi-0.3.0.json"


@pytest.fixture
def world() -> Iterator[World]:
    with service() as made:
        yield made


@pytest.fixture(scope="module")
def spec() -> Any:
    tree = json.loads(SPEC.read_text())
    # as published, an object with a value also fits the schema for "no value", and `oneOf` allows one fit only
    tree["components"]["schemas"]["codeDefaultFlag"]["not"] = {"required": ["value"]}
    return tree


def check(spec: Any, name: str, answer: Any) -> None:
    tree = copy.deepcopy(spec)
    jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **tree}).validate(answer)


def ask(world: World, key: str, context: Any) -> Any:
    return world.post(f"/ofrep/v1/evaluate/flags/{key}", {"context": context})


def test_a_flag_is_the_variant(world: World, spec: Any) -> None:
    answer = ask(world, "ranker", {"targetingKey": "u1", "country": "CA"})
    assert answer.status_code == 200
    check(spec, "serverEvaluationSuccess", answer.json())
    expected = world.book.snapshot.assigner.assign("ranker", "u1", MONDAY)
    assert answer.json() == {
        "key": "ranker",
        "reason": "SPLIT",
        "variant": expected.variant,
        "value": expected.variant,
        "metadata": {"bucket": expected.bucket, "assignment": "split", "version": 1 + (expected.variant == "new")},
    }


def test_a_unit_outside_gets_no_value(world: World, spec: Any) -> None:
    answer = ask(world, "over", {"targetingKey": "u1"})
    check(spec, "serverEvaluationSuccess", answer.json())
    assert (answer.json()["reason"], "value" in answer.json()) == ("DISABLED", False)


def test_an_unknown_flag_is_404(world: World, spec: Any) -> None:
    answer = ask(world, "rankr", {"targetingKey": "u1"})
    assert answer.status_code == 404
    check(spec, "flagNotFound", answer.json())
    assert "did you mean 'ranker'" in answer.json()["errorDetails"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b"{}", "TARGETING_KEY_MISSING"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
        (b'{"context": []}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "' + b"x" * 300 + b'"}}', "INVALID_CONTEXT"),
    ],
)
def test_what_is_wrong_is_told_in_the_protocols_words(world: World, spec: Any, body: bytes, code: str) -> None:
    for path, name in (("/ranker", "evaluationFailure"), ("", "bulkEvaluationFailure")):
        answer = world.client.post(f"/ofrep/v1/evaluate/flags{path}", content=body)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
        assert answer.json()["errorDetails"]
        check(spec, name, answer.json())


def test_bulk_gives_every_running_flag_and_304_until_something_changes(world: World, spec: Any) -> None:
    path, body = "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "u1"}}
    first = world.post(path, body)
    check(spec, "bulkEvaluationSuccess", first.json())
    assert [flag["key"] for flag in first.json()["flags"]] == ["ranker", "layout"]
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = world.post(path, body, **{"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert world.post(path, {"context": {"targetingKey": "u2"}}, **{"if-none-match": tag}).status_code == 200
    ranker = world.book.draft("ranker")
    world.book._keep(replace(ranker, experiment=replace(ranker.experiment, status="stopped")))
    world.book.refresh()
    changed = world.post(path, body, **{"if-none-match": tag})
    assert changed.status_code == 200
    assert [flag["key"] for flag in changed.json()["flags"]] == ["layout"]


def test_single_vectorised_api_and_ofrep_assign_alike(world: World) -> None:
    units = [*(f"user-{n}" for n in range(60)), "josé", "user😀1", "日本"]
    for key in ("ranker", "layout"):
        many = world.book.snapshot.assigner.assign_many(key, units, MONDAY)
        for row, unit in enumerate(units):
            single = world.book.snapshot.assigner.assign(key, unit, MONDAY)
            (api,) = world.post("/v1/assign", {"unit": unit, "experiment": key}).json()["assignments"]
            flag = ask(world, key, {"targetingKey": unit}).json()
            assert many[row] == single
            assert (api["variant"], api["bucket"], api["reason"]) == (single.variant, single.bucket, single.reason)
            assert (flag.get("value"), flag["metadata"]["bucket"]) == (single.variant, single.bucket)
