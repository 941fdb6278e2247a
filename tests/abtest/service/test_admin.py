"""Experiments over HTTP: who may do what, what is checked, and what is remembered."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from abtest.service.lifecycle import NotAllowedError, changed
from abtest.service.ports import Wanted
from abtest.service.security import Tokens
from abtest.types import Experiment
from tests.abtest.service.worlds import LAYOUT, MONDAY, RANKER, TOKENS, MemoryBook, World, draft, header, service

NEW = {
    "key": "ease",
    "variants": [
        {"name": "knn", "weight": 0.5, "payload": {"version": 1}},
        {"name": "ease", "weight": 0.5, "payload": {"version": 2}},
    ],
    "metrics": {"clicks": {"kind": "mean", "numerator": "click", "role": "primary"}},
    "traffic": 0.01,
    "why": "it leads the leaderboard",
}


def test_an_experiment_lives_from_draft_to_archive_and_every_step_is_remembered() -> None:
    with service([], tokens=TOKENS) as world:
        units = [f"u{n}" for n in range(3_000)]
        seen: list[dict[str, str | None]] = []

        def take(role: str, verb: str, **body: Any) -> Any:
            answer = world.post(f"/v1/experiments/ease/{verb}", {"why": f"{verb} it", **body}, role)
            assert answer.status_code == 200, answer.text
            if verb != "archive":
                seen.append({u: world.book.snapshot.assigner.assign("ease", u, MONDAY).variant for u in units})
            return answer.json()

        assert world.post("/v1/experiments", NEW, "admin").status_code == 201
        assert world.post("/v1/assign", {"unit": "u1"}, "client").json()["assignments"] == []
        assert take("operator", "start")["status"] == "running"
        for traffic in (0.05, 0.5, 1.0):
            assert take("operator", "ramp", traffic=traffic)["traffic"] == traffic
        for before, after in pairwise(seen):  # nobody moved, and at the end everybody takes part
            assert all(after[unit] == variant for unit, variant in before.items() if variant is not None)
        shares = [sum(variant is not None for variant in step.values()) / len(units) for step in seen]
        assert shares == pytest.approx([0.01, 0.05, 0.5, 1.0], abs=0.03)
        assert take("operator", "stop")["status"] == "stopped"
        assert set(seen[-1].values()) == {None}
        assert take("admin", "archive")["status"] == "archived"
        changes = world.client.get("/v1/experiments/ease/audit", headers=header("operator")).json()["changes"]
    assert [(c["action"], c["by"], c["why"]) for c in changes] == [
        ("create", "ada", "it leads the leaderboard"),
        ("start", "olga", "start it"),
        *[("ramp", "olga", "ramp it")] * 3,
        ("stop", "olga", "stop it"),
        ("archive", "ada", "archive it"),
    ]
    assert (changes[2]["before"], changes[2]["after"]) == ({"traffic": 0.01}, {"traffic": 0.05})
    assert (changes[1]["before"], changes[1]["after"]) == ({"status": "draft"}, {"status": "running"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variants": [NEW["variants"][0], {**NEW["variants"][1], "weight": 0.9}]}, "weights that sum to 1.4"),  # type: ignore[index]
        ({"key": "RANKER"}, "already"),
        ({"metrics": {"clicks": {"kind": "average", "numerator": "click"}}}, "average"),
        ({"decision": {"alhpa": 0.1}}, "alhpa"),
        ({"analysis": {"correction": "bonferoni"}}, "correction"),
        ({"starts": "2025-01-02T00:00:00Z", "ends": "2025-01-01T00:00:00Z"}, "not after it starts"),
        ({"layer_range": [0.0, 0.5]}, "of no layer"),
        ({"key": "../etc"}, "key"),
        ({"why": ""}, "why"),
    ],
)
def test_what_cannot_run_is_refused_when_it_is_proposed(change: dict[str, Any], words: str) -> None:
    with service([RANKER], tokens=TOKENS) as world:
        answer = world.post("/v1/experiments", {**NEW, **change}, "admin")
        assert answer.status_code == 422
        assert words in answer.json()["detail"]
        assert len(world.book.drafts()) == 1


def test_a_start_checks_the_whole_plan_and_the_models() -> None:
    clash = replace(LAYOUT, key="header", status="draft", layer_range=(0.4, 0.8))
    lost = replace(RANKER, key="lost", status="draft")
    with service([RANKER, LAYOUT, clash, lost], tokens=TOKENS, missing=[2]) as world:
        world.book._missing = []
        answer = world.post("/v1/experiments/header/start", {"why": "x"}, "operator")
        assert (answer.status_code, "overlap in the layer 'page'" in answer.text) == (422, True)
        world.book._missing = [2]
        answer = world.post("/v1/experiments/lost/start", {"why": "x"}, "operator")
        assert (answer.status_code, "names version 2: it is not there" in answer.text) == (422, True)
        assert world.client.get("/v1/experiments/lost/audit", headers=header("operator")).json()["changes"] == []
        assert "header" not in world.book.snapshot.running


def test_a_plan_that_somebody_broke_elsewhere_leaves_the_last_good_one() -> None:
    with service([RANKER]) as world:
        world.book._drafts["broken"] = replace(
            world.book.draft("ranker"), experiment=replace(RANKER, key="broken", salt="ranker")
        )
        world.book.refresh()
        assert world.book.snapshot.running == ("ranker",)
        assert "with the salt 'ranker'" in world.book.snapshot.problem


def test_what_another_process_started_is_warm_before_a_unit_is_assigned_to_it() -> None:
    seen: list[tuple[str, bool]] = []
    book = MemoryBook([RANKER])

    def warm(experiment: Experiment) -> None:
        seen.append((experiment.key, experiment.key in book.snapshot.running))
        raise ValueError("no such version")  # that is no reason to run on yesterday's plan

    book._warm = warm
    book._keep(draft(replace(RANKER, key="new")))
    book.refresh()
    book.refresh()
    assert seen == [("new", False)]
    assert book.snapshot.running == ("new", "ranker")


@pytest.mark.parametrize(
    ("status", "action", "allowed"),
    [
        ("draft", "start", True), ("running", "start", False), ("stopped", "start", False),
        ("running", "stop", True), ("draft", "stop", False), ("decided", "stop", False),
        ("stopped", "archive", True), ("running", "archive", False), ("archived", "archive", False),
        ("stopped", "resume", True), ("decided", "resume", False), ("draft", "resume", False),
        ("stopped", "ramp", False), ("archived", "start", False),
    ],
)  # fmt: skip
def test_the_state_says_what_may_be_done(status: Any, action: Any, allowed: bool) -> None:
    experiment = replace(RANKER, status=status, traffic=0.1)
    if allowed:
        assert changed(experiment, action, Wanted(traffic=0.5)).key == "ranker"
        return
    with pytest.raises(NotAllowedError, match=f"is {status}"):
        changed(experiment, action, Wanted(traffic=0.5))


def test_a_body_is_json_whatever_it_is_called() -> None:
    with service([], tokens=TOKENS) as world:
        headers = {**header("admin"), "content-type": "application/x-www-form-urlencoded"}  # as `curl -d` sends it
        assert world.client.post("/v1/experiments", content=json.dumps(NEW), headers=headers).status_code == 201


def test_traffic_never_shrinks_while_it_runs() -> None:
    with service([replace(RANKER, traffic=0.5)], tokens=TOKENS) as world:
        answer = world.post("/v1/experiments/ranker/ramp", {"why": "x", "traffic": 0.2}, "operator")
        assert (answer.status_code, "traffic only grows" in answer.text) == (409, True)


# who


def test_without_tokens_clients_are_let_in_and_administration_is_closed() -> None:
    with service() as world:
        assert world.post("/v1/assign", {"unit": "u1"}).status_code == 200
        answer = world.client.get("/v1/experiments")
        assert (answer.status_code, answer.json()["error"]) == (403, "closed")
        assert "BAKEOFF_TOKENS" in answer.json()["cure"]


ROUTES = [
    ("POST", "/v1/assign", {"unit": "u1"}, "client"),
    ("POST", "/v1/recommend", {"unit": "u1"}, "client"),
    ("POST", "/v1/events", {"events": []}, "client"),
    ("POST", "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "u"}}, "client"),
    ("GET", "/metrics", None, "client"),
    ("GET", "/v1/experiments", None, "operator"),
    ("GET", "/v1/experiments/ranker/audit", None, "operator"),
    ("GET", "/v1/holdout", None, "operator"),
    ("POST", "/v1/holdout", {"why": "x", "share": 0.0}, "admin"),
    ("POST", "/v1/experiments/ranker/stop", {"why": "x"}, "operator"),
    ("POST", "/v1/experiments", {**NEW, "key": "another"}, "admin"),
]


@pytest.fixture(scope="module")
def guarded() -> Any:
    with service(tokens=TOKENS) as world:
        yield world


@pytest.mark.parametrize(("method", "path", "body", "role"), ROUTES)
def test_every_route_wants_its_role(guarded: World, method: str, path: str, body: Any, role: str) -> None:
    def status(headers: dict[str, str]) -> int:
        return int(guarded.client.request(method, path, json=body, headers=headers).status_code)

    assert status({}) == 401
    assert status({"authorization": "Bearer wrong-0123456789abc"}) == 401
    roles = ["client", "operator", "admin"]
    for other in roles:
        if roles.index(other) < roles.index(role):
            assert status(header(other)) == 403
    assert status(header(role)) < 300


def test_refused_calls_are_counted_and_health_stays_open(guarded: World) -> None:
    assert guarded.client.get("/health").status_code == 200
    text = guarded.client.get("/metrics", headers=header("client")).text
    assert 'bakeoff_refused_calls_total{error="bad_token"}' in text
    assert 'bakeoff_refused_calls_total{error="role"}' in text


@pytest.mark.parametrize("text", ["ada:admin:short", "ada:root:0123456789abcdefgh", ":admin:0123456789abcdefgh", "x"])
def test_bad_tokens_are_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="token 1 must be name:role:token") as refused:
        Tokens.parse(text)
    assert text.split(":")[-1] not in str(refused.value).replace("hex", "")


def test_a_token_may_hold_colons_and_files_may_hold_comments() -> None:
    tokens = Tokens.parse("# the shop\nshop:client:a:b:0123456789abcd\n\nada:admin:0123456789abcdef\n")
    assert len(tokens) == 2
    assert tokens.admit(b"a:b:0123456789abcd", "client").name == "shop"
