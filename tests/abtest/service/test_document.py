"""The OpenAPI document against the service: what it accepts, and that every answer is one that it foresees."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from abtest.service.schemas import AssignAnswer, AssignRequest, DraftIn, EventsRequest, RecommendRequest
from tests.abtest.service.worlds import TOKENS, World, header, listening, made, service

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
"""Requests per route; more of them find more: FUZZ_EXAMPLES=500."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with service(tokens=TOKENS) as made:
        yield made


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with listening(made(tokens=TOKENS).app) as address:
        yield address


def test_no_request_gets_an_answer_that_the_document_does_not_foresee(address: str) -> None:
    # schemathesis' own pytest plugin does not know this pytest yet; the engine below it is the same
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")
    asked: set[str] = set()
    with requests.Session() as session:
        for found in document.get_all_operations():
            operation = found.ok()

            # what takes nothing cannot be sent anything wrong
            modes = list(schemathesis.GenerationMode) if operation.body else [schemathesis.GenerationMode.POSITIVE]

            @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)))
            def fuzz(case: Any) -> None:
                case.call_and_validate(headers=header("admin"), checks=CHECKS, session=session)

            fuzz()
            asked.add(operation.label)
    assert len(asked) == 21


def test_the_document_has_every_route_the_limits_and_examples(world: World) -> None:
    tree = world.client.get("/openapi.json").json()
    assert set(tree["paths"]) == {
        "/v1/assign", "/v1/recommend", "/v1/events", "/v1/experiments", "/v1/experiments/{key}", "/v1/holdout",
        "/health", "/ready", "/metrics", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/{key}",
        *(f"/v1/experiments/{{key}}/{verb}" for verb in (
            "start", "ramp", "reweigh", "override", "stop", "resume", "archive", "audit",
        )),
    }  # fmt: skip
    kinds = tree["components"]["schemas"]
    assert kinds["RecommendRequest"]["properties"]["k"]["maximum"] == 100
    assert kinds["EventsRequest"]["properties"]["events"]["maxItems"] == 1_000
    for kind in (AssignRequest, RecommendRequest, EventsRequest, DraftIn):
        for example in kinds[kind.__name__]["examples"]:
            assert kind.model_validate_json(json.dumps(example))


def test_hot_routes_answer_what_the_document_shows(world: World) -> None:
    for path in ("/v1/assign", "/v1/recommend", "/v1/events"):
        shown = world.client.get("/openapi.json").json()["paths"][path]["post"]
        name = shown["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        tree = world.client.get("/openapi.json").json()["components"]["schemas"][name]
        body = dict(tree["examples"][0])
        body.pop("experiment", None)
        answer = world.post(path, body, "client")
        assert answer.status_code == 200, answer.text
    assert AssignAnswer.model_validate(world.post("/v1/assign", {"unit": "u"}, "client").json())
    # other methods of a hot path are FastAPI's to refuse
    assert world.client.get("/v1/assign").status_code == 405
