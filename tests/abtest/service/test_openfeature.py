"""The real OpenFeature SDK and its OFREP provider against a running service."""

from collections.abc import Iterator

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from tests.abtest.service.worlds import MONDAY, TOKENS, World, header, listening, made


@pytest.fixture(scope="module")
def world() -> World:
    return made(tokens=TOKENS)


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[OpenFeatureClient]:
    with listening(world.app) as address:
        provider = OFREPProvider(address, headers_factory=lambda: header("client"))
        api.set_provider(provider, domain="experiments")
        yield api.get_client("experiments")
        api.shutdown()
        provider.session.close()


def test_the_sdk_is_told_the_assigners_variants(client: OpenFeatureClient, world: World) -> None:
    for key in ("ranker", "layout"):
        for unit in (*(f"user-{n}" for n in range(40)), "josé", "user😀1"):
            expected = world.book.snapshot.assigner.assign(key, unit, MONDAY).variant
            details = client.get_string_details(key, "my default", EvaluationContext(unit, {"country": "CA"}))
            assert details.error_code is None
            assert details.value == (expected or "my default")
            assert details.reason == ("SPLIT" if expected else "DISABLED")
            if expected:
                assert (details.variant, details.flag_metadata["version"]) == (expected, 1 + (expected == "new"))


def test_the_sdk_understands_every_refusal(client: OpenFeatureClient) -> None:
    somebody = EvaluationContext("u1")
    assert client.get_string_details("nothing", "x", somebody).error_code == ErrorCode.FLAG_NOT_FOUND
    assert client.get_string_details("ranker", "x", EvaluationContext()).error_code == ErrorCode.TARGETING_KEY_MISSING
    assert client.get_boolean_details("ranker", True, somebody).error_code == ErrorCode.TYPE_MISMATCH
    assert client.get_string_value("nothing", "x", somebody) == "x"


def test_a_stopped_experiment_gives_the_default(client: OpenFeatureClient) -> None:
    details = client.get_string_details("over", "x", EvaluationContext("u1"))
    assert (details.value, details.reason, details.error_code) == ("x", "DISABLED", None)
