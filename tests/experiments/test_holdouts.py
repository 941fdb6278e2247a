"""The holdout from the service to its readout: real application, models and logs, and effects that are planted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from abtest.analysis.analyse import analyse
from abtest.assignment.holdout import EVERYBODY, HELD_OUT, KEY
from abtest.events import lake
from abtest.events.log import EventLog
from abtest.types import Exposure, Outcome
from experiments import holdouts, logs
from experiments.commands import online
from experiments.home import Home
from experiments.journal import Event
from experiments.loop import now
from experiments.promote import rollback
from experiments.proposals import book_of
from experiments.registry import Registry
from experiments.serving_config import load
from experiments.store import ExperimentStore
from tests.experiments.test_server import ADMIN, CLIENT, NEW, QUICK, served, until
from tests.postgres import Server

UNITS = [f"n{number:04d}" for number in range(200)]
CLICKS = {HELD_OUT: 0.3, EVERYBODY: 0.6}
"""How likely a unit of each arm clicks: what is planted."""


@pytest.fixture(params=["sqlite", "postgres"])
def serving(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path | None]:
    """The configuration of a service on each log; None: none is given."""
    if request.param == "sqlite":
        yield None
        return
    database, path = Server.make(), tmp_path / "serving.yaml"
    monkeypatch.setenv("BAKEOFF_POSTGRES", database.dsn)
    path.write_text('log: {kind: postgres, dsn: "${BAKEOFF_POSTGRES}"}\n')
    yield path
    database.close()


def post(client: TestClient, path: str, body: Any, headers: dict[str, str] = ADMIN) -> Any:
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code < 300, answer.text
    return answer.json()


def arm(client: TestClient, unit: str) -> str | None:
    (one,) = post(client, "/v1/assign", {"unit": unit, "experiment": KEY}, CLIENT)["assignments"]
    return one["variant"]  # type: ignore[no-any-return]


def test_a_planted_effect_is_found_by_the_service_s_own_log(
    copied: Home, serving: Path | None, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, arms = np.random.default_rng(1), dict[str, str]()
    with served(
        copied, QUICK if serving is None else load(serving, ["refresh_seconds=0.05", "deadline_ms=2000"])
    ) as client:
        began = post(client, "/v1/holdout", {"share": 0.5, "why": "a year together"})
        assert began["baseline"] == {"tiny": 2}
        post(client, "/v1/experiments", NEW)
        post(client, "/v1/experiments/knn-again/start", {"why": "now"})
        clicks = []
        for unit in UNITS:
            slate = post(client, "/v1/recommend", {"unit": unit, "k": 3}, CLIENT)
            arms[unit] = HELD_OUT if slate["experiment"] == KEY else EVERYBODY
            assert slate["logged"]
            if rng.random() < CLICKS[arms[unit]]:
                clicks.append({"type": "outcome", "id": f"o-{unit}", "unit": unit, "kind": "click"})
        post(client, "/v1/events", {"events": clicks}, CLIENT)
    found, readout = holdouts.read(copied, now(), serving)
    n = {name: sum(one == name for one in arms.values()) for name in CLICKS}
    assert {one.variant: (one.units, one.exposures, one.share) for one in readout.arms} == {
        name: (n[name], n[name], 0.5) for name in CLICKS
    }
    assert (readout.control, readout.srm.alarm) == (HELD_OUT, False)
    effect = next(one.effect for one in readout.effects if one.metric.name == "clicks_per_user")
    clicked = {line["unit"] for line in clicks}
    rates = {name: np.mean([unit in clicked for unit in UNITS if arms[unit] == name]) for name in CLICKS}
    assert effect.absolute == pytest.approx(rates[EVERYBODY] - rates[HELD_OUT])
    assert effect.ci[0] < CLICKS[EVERYBODY] - CLICKS[HELD_OUT] < effect.ci[1]
    assert effect.p_value < 0.001
    assert (found.baseline, "clicks_per_user" in found.definition.experiment.metrics) == ({"tiny": 2}, True)
    capsys.readouterr()
    online.analyse(KEY, config=serving, home=copied.root)
    said = " ".join(capsys.readouterr().out.split())
    assert "Everybody else against who was held out" in said
    assert "The held out are given v2 of tiny" in said
    assert ExperimentStore(copied).keys().count(KEY) == 0  # it is no experiment that could be decided or ramped


def promote(home: Home, version: int) -> None:
    """Make a version champion, as a promotion does."""
    event = Event(at=now(), model="tiny", change="promote", alias="champion", version=version, before=2, by="tests")
    Registry(home).move(event)


def test_the_held_out_keep_the_champion_of_then_and_go_back_with_it(copied: Home) -> None:
    with served(copied) as client:
        post(client, "/v1/holdout", {"share": 0.4, "why": "x"})
        arms = {unit: arm(client, unit) for unit in UNITS}

        def versions() -> dict[str, set[int]]:
            asked = {name: next(unit for unit in UNITS if arms[unit] == name) for name in CLICKS}
            told = {n: post(client, "/v1/recommend", {"unit": u}, CLIENT) for n, u in asked.items()}
            return {name: {answer["version"]} for name, answer in told.items() if not answer["fallback"]}

        assert versions() == {HELD_OUT: {2}, EVERYBODY: {2}}
        promote(copied, 1)
        until(lambda: client.get("/ready").json()["champion"] == 1)
        assert versions() == {HELD_OUT: {2}, EVERYBODY: {1}}
        assert holdouts.held(copied, now()).shipped[-1].version == 1
        rollback("tiny", Registry(copied), at=now(), by="olga")
        until(lambda: client.get("/ready").json()["champion"] == 2)
        assert versions() == {HELD_OUT: {2}, EVERYBODY: {2}}
        rollback("tiny", Registry(copied), at=now(), by="olga")  # what the held out are given proved bad
        until(lambda: client.get("/ready").json()["champion"] == 1)
        until(lambda: versions() == {HELD_OUT: {1}, EVERYBODY: {1}})


@contextmanager
def filled(home: Home, at: datetime, arm_of: Callable[[str], str | None]) -> Iterator[EventLog]:
    """A log in which every unit of an arm was shown something and half of one arm clicked."""
    with logs.configured(home, None) as log:
        units = {unit: arm_of(unit) for unit in UNITS}
        log.append(
            [
                Exposure(id=f"x-{unit}", unit=unit, experiment=KEY, variant=name, at=at, items=("i",), scores=(1.0,))
                for unit, name in units.items()
                if name is not None
            ]
        )
        log.append(
            [
                Outcome(id=f"o-{unit}", unit=unit, kind="click", at=at + timedelta(minutes=1))
                for unit, name in units.items()
                if name == EVERYBODY
            ]
        )
        yield log


def test_made_smaller_it_keeps_the_history_of_who_stays(copied: Home) -> None:
    book = book_of(copied, "tiny")
    book.hold_out(0.4, by="ada", why="begin")
    at = now()

    def arm_of(unit: str) -> str | None:
        return book.snapshot.arm_of(unit, at)

    before = {unit: arm_of(unit) for unit in UNITS}
    with filled(copied, at, arm_of):
        pass
    book.hold_out(0.2, by="ada", why="less")
    after = {unit: arm_of(unit) for unit in UNITS}
    assert all(before[unit] == name for unit, name in after.items() if name is not None)
    found, readout = holdouts.read(copied, at + timedelta(hours=1))
    assert {one.variant: one.units for one in readout.arms} == {
        name: sum(one == name for one in after.values()) for name in CLICKS
    }
    assert not readout.srm.alarm
    assert any("made smaller (from 0.4 to 0.2" in said for said in readout.warnings)
    assert found.holdout.since is not None
    assert found.holdout.since <= at


def test_units_that_were_lost_on_the_way_are_an_alarm(copied: Home) -> None:
    book = book_of(copied, "tiny")
    book.hold_out(0.5, by="ada", why="begin")
    at = now()
    lost = iter(range(10_000))

    def arm_of(unit: str) -> str | None:
        found = book.snapshot.arm_of(unit, at)
        return None if found == HELD_OUT and next(lost) % 2 else found

    with filled(copied, at, arm_of):
        pass
    _, readout = holdouts.read(copied, at + timedelta(hours=1))
    assert readout.srm.alarm


def test_the_lake_says_the_same(copied: Home, tmp_path: Path) -> None:
    book = book_of(copied, "tiny")
    book.hold_out(0.3, by="ada", why="begin")
    at = now()
    folder = tmp_path / "lake"
    with filled(copied, at, lambda unit: book.snapshot.arm_of(unit, at)) as log:
        lake.export(log, folder)
    book.hold_out(0.2, by="ada", why="less")
    as_of = at + timedelta(hours=1)
    found, readout = holdouts.read(copied, as_of)
    experiment = found.definition.experiment
    shown = logs.still_there(lake.read(folder, "exposures", KEY), experiment)
    again = analyse(experiment, found.definition.metrics, shown, lake.read(folder, "outcomes", KEY), as_of=as_of)
    assert (again.arms, again.srm) == (readout.arms, readout.srm)
    same = zip(again.effects, readout.effects, strict=True)
    assert all(one.effect == other.effect or np.isnan(one.effect.se) for one, other in same)


def test_nobody_held_out_and_nothing_measured_are_said(copied: Home, home: Home) -> None:
    with pytest.raises(ValueError, match=r"nobody is held out.*`bakeoff experiment holdout 0.05` begins"):
        holdouts.read(copied, now())
    book_of(home, "tiny").hold_out(0.1, by="ada", why="x")
    with pytest.raises(ValueError, match="no experiment was started here"):
        holdouts.held(home, now())


def test_what_testers_saw_is_not_counted(copied: Home) -> None:
    book = book_of(copied, "tiny")
    book.hold_out(0.5, by="ada", why="x")
    found = holdouts.held(copied, datetime.now(UTC))
    store = ExperimentStore(copied)
    one = store.definition(store.keys()[0])
    tested = one.experiment.variants[0].name
    store.save(replace(one, experiment=replace(one.experiment, overrides={UNITS[0]: tested})))
    assert set(holdouts.held(copied, now()).definition.experiment.overrides) == {UNITS[0]}
    assert found.definition.experiment.overrides == {}
