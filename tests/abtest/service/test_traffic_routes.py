"""assign, recommend and events over HTTP."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from abtest.service.ports import Limits
from abtest.service.telemetry import JsonLines
from abtest.types import Exposure, Outcome, Variant
from tests.abtest.service.worlds import MONDAY, RANKER, World, made_up, service


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with service() as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[World]:
    with service() as made:
        yield made


# assign


def test_the_answer_is_the_assigners(world: World) -> None:
    answer = world.post("/v1/assign", {"unit": "u1", "experiment": "ranker"}).json()
    expected = world.book.snapshot.assigner.assign("ranker", "u1", MONDAY)
    assert answer == {
        "unit": "u1",
        "assignments": [
            {
                "experiment": "ranker",
                "variant": expected.variant,
                "bucket": expected.bucket,
                "reason": "split",
                "payload": {"version": 1 if expected.variant == "control" else 2},
            }
        ],
    }


def test_without_an_experiment_all_running_ones_answer(world: World) -> None:
    answer = world.post("/v1/assign", {"unit": "u1"}).json()
    assert [one["experiment"] for one in answer["assignments"]] == ["ranker", "layout"]  # open start first


def test_a_stopped_experiment_says_inactive_and_an_unknown_one_names_the_nearest(world: World) -> None:
    (stopped,) = world.post("/v1/assign", {"unit": "u1", "experiment": "over"}).json()["assignments"]
    assert (stopped["variant"], stopped["reason"], stopped["payload"]) == (None, "inactive", {})
    unknown = world.post("/v1/assign", {"unit": "u1", "experiment": "rankr"})
    assert unknown.status_code == 404
    assert "did you mean 'ranker'" in unknown.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "Invalid JSON"),
        (b"[]", 422, "an object"),
        (b'{"unit": ""}', 422, "unit: String should have at least 1 character"),
        (b'{"unit": 7}', 422, "unit: Input should be a valid string, got 7"),
        (b'{"unit": "u\\u0000"}', 422, "NUL"),
        (b'{"unit": "\\ud83d"}', 400, "JSON"),
        (b'{"unit": "u", "experimnt": "ranker"}', 422, "experimnt: Extra inputs are not permitted"),
        (b'{"unit": "' + b"x" * 300 + b'"}', 422, "300 characters, at most 256"),
        (b'{"unit": "u", "context": {"x": [184467440737095516160]}}', 422, "exceeds 64-bit"),
        (b'{"unit": "u", "context": {"x": "' + b"y" * 9000 + b'"}}', 422, "context is longer than 8192"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(world: World, body: bytes, status: int, words: str) -> None:
    answer = world.client.post("/v1/assign", content=body)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert answer.json()["cure"]


def test_a_long_body_is_refused_by_its_length_and_when_it_hides_it() -> None:
    with service(limits=Limits(body_bytes=1000)) as small:
        for path in ("/v1/assign", "/v1/experiments", "/ofrep/v1/evaluate/flags"):
            assert small.client.post(path, content=b"x" * 1001).status_code == 413
            assert small.client.post(path, content=iter([b"x" * 600, b"x" * 600])).status_code == 413
        assert small.client.post("/v1/assign", content=iter([b'{"unit":', b' "u1"}'])).status_code == 200


def test_every_answer_carries_the_request_id_it_was_given_or_a_new_one(world: World) -> None:
    assert world.post("/v1/assign", {"unit": "u1"}, **{"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for path in ("/v1/assign", "/v1/nothing"):
        answer = world.post(path, {}, **{"x-request-id": 'b"ad id'})
        assert answer.headers["x-request-id"].startswith("id-")
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


# recommend


def test_a_slate_comes_from_the_variants_model_and_is_in_the_log(fresh: World) -> None:
    answer = fresh.post("/v1/recommend", {"unit": "u1", "k": 3, "context": {"page": "home"}, "reasons": True}).json()
    expected = fresh.book.snapshot.assigner.assign("ranker", "u1", MONDAY)
    assert (answer["experiment"], answer["variant"]) == ("ranker", expected.variant)
    version = {"control": 1, "new": 2}[expected.variant or ""]
    assert answer["version"] == version
    assert [place["item"] for place in answer["items"]] == [f"v{version}-u1-{place}" for place in range(3)]
    assert answer["items"][2]["score"] is None
    assert answer["items"][0]["reason"] == f"because v{version}-u1-0"
    (row,) = fresh.log.exposures("ranker").to_pylist()
    assert (row["id"], row["unit"], row["variant"]) == (answer["exposure"], "u1", expected.variant)
    assert row["items"] == [place["item"] for place in answer["items"]]
    assert math.isnan(row["scores"][2])
    assert json.loads(row["context"]) == {
        "page": "home", "request_id": answer["request_id"], "model_version": version, "fallback": True,
    }  # fmt: skip


def test_a_unit_outside_every_experiment_gets_the_champion_and_no_exposure() -> None:
    with service([]) as alone:
        answer = alone.post("/v1/recommend", {"unit": "u1", "k": 2}).json()
        assert (answer["experiment"], answer["variant"], answer["exposure"], answer["logged"]) == (
            None,
            None,
            None,
            False,
        )
        assert answer["items"][0]["item"] == "v1-u1-0"
        assert alone.log.exposures().num_rows == 0


def test_a_preview_is_not_logged(fresh: World) -> None:
    answer = fresh.post("/v1/recommend", {"unit": "u1", "expose": False}).json()
    assert (answer["variant"] is not None, answer["exposure"]) == (True, None)
    assert fresh.log.exposures().num_rows == 0


def test_a_tester_sees_any_variant_and_leaves_no_trace(fresh: World) -> None:
    for name, version in (("control", 1), ("new", 2)):
        for key in ("ranker", "over"):  # also one that does not run
            body = {"unit": "tester", "k": 1, "experiment": key, "variant": name}
            answer = fresh.post("/v1/recommend", body).json()
            assert (answer["variant"], answer["version"], answer["exposure"]) == (name, version, None)
    assert fresh.log.exposures().num_rows == 0
    wrong = fresh.post("/v1/recommend", {"unit": "u", "experiment": "ranker", "variant": "nwe"})
    assert (wrong.status_code, "did you mean 'new'" in wrong.json()["detail"]) == (404, True)
    assert fresh.post("/v1/recommend", {"unit": "u", "variant": "new"}).status_code == 422


def test_a_fallback_is_told_logged_and_counted() -> None:
    async def fails_over(unit: str, k: int, variant: Variant | None, context: Mapping[str, Any]) -> object:
        slate = await made_up(unit, k, variant, context)
        return type(slate)(**{**vars(slate), "fallback": "champion", "why": "deadline"})

    with service([RANKER], recommender=fails_over) as slow:
        answer = slow.post("/v1/recommend", {"unit": "u1"}).json()
        assert (answer["fallback"], answer["why"]) == ("champion", "deadline")
        context = json.loads(slow.log.exposures()["context"].to_pylist()[0])
        assert (context["fallback"], context["fallback_to"], context["fallback_why"]) == (True, "champion", "deadline")
        assert 'bakeoff_fallbacks_total{to="champion",why="deadline"} 1.0' in slow.client.get("/metrics").text


def test_more_items_than_allowed_are_refused(world: World) -> None:
    answer = world.post("/v1/recommend", {"unit": "u1", "k": 101})
    assert (answer.status_code, answer.json()["detail"]) == (422, "k must be at most 100, got 101")


def test_an_error_that_nobody_foresaw_shows_no_trace() -> None:
    async def breaks(unit: str, k: int, variant: Variant | None, context: Mapping[str, Any]) -> object:
        raise KeyError("secret")

    with service(recommender=breaks) as broken:
        answer = broken.post("/v1/recommend", {"unit": "u1"})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


# events


def click(id: str, **fields: object) -> dict[str, object]:
    return {"type": "outcome", "id": id, "unit": "u1", "kind": "click", **fields}


def test_each_line_is_told_its_fate(fresh: World) -> None:
    fresh.log.append([Outcome(id="old", unit="u1", kind="click", at=MONDAY)])
    lines = [
        click("new"),
        click("old"),
        click("new"),
        click("bad", value="much"),
        {"type": "exposure", "id": "x", "unit": "u1", "experiment": "ranker", "variant": "new", "propensities": [0.5]},
        {"type": "purchase", "id": "p"},
        click("x" * 300),
        "nonsense",
        {
            "type": "exposure", "id": "x", "unit": "u1", "experiment": "ranker", "variant": "new",
            "items": ["a", "b"], "scores": [1.5, None], "propensities": [1.0, 0.25], "context": {"page": 2},
            "at": "2025-01-06T08:00:00+01:00",
        },
    ]  # fmt: skip
    answer = fresh.post("/v1/events", {"events": lines})
    assert answer.status_code == 200
    told = answer.json()
    fates = [fate["fate"] for fate in told["fates"]]
    assert fates == ["kept", "duplicate", "duplicate", "refused", "refused", "refused", "refused", "refused", "kept"]
    assert (told["kept"], told["duplicates"], told["refused"], told["ahead"]) == (2, 2, 5, 0)
    details = [fate["detail"] for fate in told["fates"]]
    for row, words in ((3, "value"), (4, "propensities must be empty or one per item"), (5, "purchase"), (6, "300")):
        assert words in details[row]
    assert fresh.log.outcomes()["id"].to_pylist() == ["new", "old"]
    (row,) = fresh.log.exposures().to_pylist()
    assert (row["at"], row["items"], row["propensities"]) == (MONDAY - timedelta(hours=2), ["a", "b"], [1.0, 0.25])
    assert math.isnan(row["scores"][1])


def test_sending_twice_changes_nothing(fresh: World) -> None:
    batch = {"events": [click(f"o{i}") for i in range(5)]}
    assert fresh.post("/v1/events", batch).json()["kept"] == 5
    again = fresh.post("/v1/events", batch).json()
    assert (again["kept"], again["duplicates"]) == (0, 5)
    assert fresh.log.outcomes().num_rows == 5


def test_a_clock_ahead_is_told_and_one_far_ahead_refused(fresh: World) -> None:
    at = [MONDAY + timedelta(seconds=90), MONDAY + timedelta(days=2), MONDAY - timedelta(days=400)]
    lines = [click(f"o{i}", at=moment.isoformat()) for i, moment in enumerate(at)]
    answer = fresh.post("/v1/events", {"events": lines}).json()
    assert [fate["fate"] for fate in answer["fates"]] == ["kept", "refused", "kept"]
    assert answer["ahead"] == 1
    assert "set the sender's clock" in answer["fates"][1]["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[", 400),
        (b"[]", 422),
        (b'{"events": {}}', 422),
        (b'{"events": [], "more": 1}', 422),
        (b'{"events": []}', 200),
    ],
)
def test_what_is_no_batch_is_refused_whole(world: World, body: bytes, status: int) -> None:
    assert world.client.post("/v1/events", content=body).status_code == status


def test_a_batch_that_is_too_large_is_refused() -> None:
    with service(limits=Limits(batch=2)) as small:
        answer = small.post("/v1/events", {"events": [click(f"o{i}") for i in range(3)]})
        assert answer.status_code == 413
        assert "at most 2" in answer.json()["detail"]
        assert small.log.outcomes().num_rows == 0


def test_kept_events_are_observed_when_they_are_durable() -> None:
    seen: list[Exposure | Outcome] = []

    async def observe(events: Sequence[Exposure | Outcome]) -> None:
        seen.extend(events)
        if len(seen) == 1:
            raise RuntimeError("what is kept stays kept")

    with service(observe=observe) as watched:
        for word in ("kept", "duplicate"):
            told = watched.post("/v1/events", {"events": [click("o1", item="i7")]}).json()
            assert told["fates"][0]["fate"] == word
        watched.post("/v1/recommend", {"unit": "u2"})
    assert [(event.id, event.unit) for event in seen[:1]] == [("o1", "u1")]
    assert isinstance(seen[1], Exposure)
    assert seen[1].unit == "u2"


def test_every_request_is_a_line_of_json_when_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with service() as world, caplog.at_level("INFO", "bakeoff.service"):
        world.post("/v1/assign", {"unit": "u1"}, **{"x-request-id": "one"})
        world.app.hot.access_log = True
        world.post("/v1/assign", {"unit": "u1"}, **{"x-request-id": "two"})
        world.client.get("/v1/experiments", headers={"x-request-id": "three"})
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    asked = [line for line in lines if line["event"] == "request"]
    assert [(line["route"], line["status"], line["request_id"]) for line in asked] == [
        ("/v1/assign", 200, "two"),
        ("/v1/experiments", 403, "three"),
    ]
    (refused,) = (line for line in lines if line["event"] == "call refused")
    assert (refused["error"], refused["route"], refused["peer"]) == ("closed", "/v1/experiments", "testclient")


def test_health_readiness_and_metrics(world: World) -> None:
    assert world.client.get("/health").json() == {"status": "ok"}
    assert world.client.get("/ready").json()["versions"] == [1, 2]
    text = world.client.get("/metrics").text
    for name in ("bakeoff_requests_total", "bakeoff_request_seconds_bucket", "bakeoff_waiting_events 0.0"):
        assert name in text


def test_the_recommender_is_told_of_the_context() -> None:
    told: list[Mapping[str, Any]] = []

    async def listens(unit: str, k: int, variant: Variant | None, context: Mapping[str, Any]) -> object:
        told.append(context)
        return await made_up(unit, k, variant, context)

    with service(recommender=listens) as world:
        body = {"unit": "u", "k": 3, "context": {"country": "SE"}}
        assert world.post("/v1/recommend", body).status_code == 200
    assert told == [{"country": "SE"}]
