"""Whatever arrives, it becomes an answer: an event that the log takes, a line refused with a reason, or a Problem."""

import json
from contextlib import suppress
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from abtest.events.rows import rows_of
from abtest.service.lines import judge
from abtest.service.ofrep import Failure, asked_of
from abtest.service.ports import Limits
from abtest.service.problems import Problem
from abtest.service.schemas import ASSIGN, RECOMMEND
from abtest.service.security import bearer
from tests.abtest.service.worlds import MONDAY

LIMITS = Limits(k=3, text=12, context_bytes=60, batch=4)
texts = st.text(max_size=14)
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**70), 2**70) | st.booleans()
anything = st.recursive(
    st.none() | numbers | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
times = st.sampled_from(
    ["2025-01-06T08:00:00Z", "2025-01-06", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "x", 7]
)
lines = st.one_of(
    anything,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["outcome", "exposure", "other"]), "id": texts | anything, "unit": texts},
        optional={
            "kind": texts, "experiment": texts, "variant": texts, "at": times, "value": numbers, "item": texts,
            "exposure": texts, "items": st.lists(texts, max_size=4),
            "scores": st.lists(st.none() | numbers, max_size=4),
            "propensities": st.lists(numbers, max_size=4), "context": st.dictionaries(texts, anything, max_size=3),
            "surprise": anything,
        },
    ),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(batch=st.lists(lines, max_size=6))
def test_every_line_has_a_fate_and_what_is_kept_fits_the_log(batch: list[Any]) -> None:
    body = json.dumps({"events": batch}).encode()
    if _refused(body):
        return
    judged = judge(body, MONDAY, LIMITS)
    assert len(judged) == len(batch) <= LIMITS.batch
    for line in judged:
        assert (line.event is None) == bool(line.detail)
    assert len(rows_of(line.event for line in judged if line.event is not None)) == sum(not j.detail for j in judged)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=40) | anything.map(lambda tree: json.dumps(tree).encode()))
def test_no_body_breaks_a_border(body: bytes) -> None:
    for border in (lambda: judge(body, MONDAY, LIMITS), lambda: asked_of(body, LIMITS)):
        with suppress(Problem, Failure):
            border()
    for kind in (ASSIGN, RECOMMEND):
        _parse(kind, body)


@settings(max_examples=100, deadline=None)
@given(tree=st.fixed_dictionaries({"unit": texts}, optional={"experiment": texts, "context": anything, "k": numbers}))
def test_what_is_let_in_can_be_sent_out_again(tree: dict[str, Any]) -> None:
    for kind in (ASSIGN, RECOMMEND):
        parsed = _parse(kind, json.dumps(tree).encode())
        if parsed is not None:
            assert orjson.loads(orjson.dumps(parsed.context)) == parsed.context
            assert parsed.unit


@given(header=st.binary(max_size=40))
def test_no_header_breaks_the_search_for_a_token(header: bytes) -> None:
    assert isinstance(bearer(header), bytes)
    assert bearer(b"Bearer " + header) == header.strip()


def _refused(body: bytes) -> bool:
    """Whether the batch is refused whole; then with a cure."""
    try:
        judge(body, MONDAY, LIMITS)
    except Problem as problem:
        return problem.status in (400, 413, 422) and bool(problem.cure)
    return False


def _parse(kind: TypeAdapter[Any], body: bytes) -> Any:
    try:
        return kind.validate_json(body)
    except ValueError:
        return None
