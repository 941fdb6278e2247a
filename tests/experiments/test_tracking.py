import math
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from bakeoff.records import to_json
from experiments import tracking
from experiments.board import Leaderboard
from experiments.home import Home
from experiments.loop import Outcome
from experiments.tracking import KIND, Tracker
from recsys.data.sources.loaded import Loaded


def status(home: Home, run_id: str) -> str:
    return str(Tracker(home).client.get_run(run_id).info.status)


def test_a_run_ends_as_its_work_ended(home: Home) -> None:
    tracker = Tracker(home)
    with tracker.run("x", "fine", kind="bakeoff") as run:
        assert status(home, run.id) == "RUNNING"
    assert status(home, run.id) == "FINISHED"
    for error, end in ((ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")):
        with pytest.raises(type(error)), tracker.run("x", "broken", kind="bakeoff") as run:
            raise error
        assert status(home, run.id) == end


def test_a_run_says_which_code_and_whose_child_it_is(home: Home) -> None:
    tracker = Tracker(home)
    with (
        tracker.run("x", "parent", kind="bakeoff") as parent,
        tracker.run("x", "child", kind="variant", parent=parent, tags={"a": "b"}) as child,
    ):
        pass
    tags = tracker.client.get_run(child.id).data.tags
    assert tags["mlflow.parentRunId"] == parent.id
    assert tags[KIND] == "variant"
    assert tags["a"] == "b"
    assert tags["bakeoff.version"]
    assert tags["bakeoff.revision"] == tracking.revision()


def test_what_is_no_number_is_left_out(home: Home) -> None:
    tracker = Tracker(home)
    with tracker.run("x", "r", kind="bakeoff") as run:
        run.log(params={"p": [1, 2], "none": None}, metrics={"a": 0.5, "b": math.nan, "c": math.inf, "d": -math.inf})
    data = tracker.client.get_run(run.id).data
    assert data.metrics == {"a": 0.5}
    assert data.params == {"p": "[1, 2]", "none": "None"}


def test_a_parameter_of_any_length_is_kept(home: Home) -> None:
    tracker = Tracker(home)
    with tracker.run("x", "r", kind="bakeoff") as run:
        run.log(params={"long": "x" * 20_000})
    assert len(tracker.client.get_run(run.id).data.params["long"]) == tracking.MAX_PARAM


def test_the_data_of_a_run_is_named(home: Home, loaded: Loaded) -> None:
    tracker = Tracker(home)
    with tracker.run("x", "r", kind="bakeoff") as run:
        run.lineage(loaded.dataset, "somewhere")
    inputs = tracker.client.get_run(run.id).inputs
    assert inputs is not None
    (entry,) = inputs.dataset_inputs
    assert entry.dataset.name == loaded.dataset.name
    assert entry.dataset.digest == loaded.dataset.fingerprint
    assert '"users": 150' in str(entry.dataset.profile)


def test_everything_stays_in_the_home(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MLflow alone would write artifacts beside the working directory."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for name in ("one", "two"):
        with Tracker(home).run(name, "r", kind="bakeoff") as run:
            run.text("hello", "a/b.txt")
        assert (home.artifacts / name / run.id / "artifacts/a/b.txt").read_text() == "hello"
    assert list(elsewhere.iterdir()) == []


def test_two_homes_in_one_process_keep_apart(home: Home, migrated: Path, tmp_path: Path) -> None:
    other = Home.at(tmp_path / "other")
    other.database.write_bytes(home.database.read_bytes())
    for place in (home, other, home):
        tracker = Tracker(place)
        assert tracker.uri == f"sqlite:///{place.database}" == mlflow.get_tracking_uri() == mlflow.get_registry_uri()
        tracker.run(str(place.root.name), "r", kind="bakeoff").__enter__()
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert "MLFLOW_REGISTRY_URI" not in os.environ
    assert Tracker(other).client.get_experiment_by_name("home") is None
    assert Tracker(home).client.get_experiment_by_name("other") is None


def test_a_server_that_the_user_names_is_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert tracking.address(home) == "http://127.0.0.1:1"
    assert tracking.ui_command(home, 5001)[-2:] == ["--backend-store-uri", "http://127.0.0.1:1"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.ui_command(home, 5001)[-2:] == ["--backend-store-uri", f"sqlite:///{home.database}"]


def test_the_database_is_in_write_ahead_mode(home: Home) -> None:
    Tracker(home)
    assert home.database.read_bytes()[18:20] == b"\x02\x02"  # the file format versions that mean WAL


def test_a_leaderboard_is_read_back_as_it_was_saved(line: tuple[Home, Outcome]) -> None:
    home, outcome = line
    found = tracking.leaderboard(home, "tiny")
    assert to_json(Leaderboard, found) == to_json(Leaderboard, outcome.board)
    assert tracking.leaderboards(home) == ["tiny"]


def test_an_unknown_leaderboard_names_those_there_are(line: tuple[Home, Outcome], tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no leaderboard of 'tony'; known: tiny; `bakeoff train CONFIG` makes one"):
        tracking.leaderboard(line[0], "tony")
    empty = Home.at(tmp_path / "empty")
    with pytest.raises(LookupError, match="known: none yet"):
        tracking.leaderboard(empty, "tony")
    assert tracking.leaderboards(empty) == []
    assert not empty.database.exists()  # looking makes nothing


def test_a_bake_off_that_failed_has_no_leaderboard(home: Home) -> None:
    with pytest.raises(ValueError, match="half way"), Tracker(home).run("x", "r", kind="bakeoff"):
        raise ValueError("half way")
    with pytest.raises(LookupError, match="no leaderboard of 'x'"):
        tracking.leaderboard(home, "x")


def test_the_latest_leaderboard_is_shown(copied: Home, line: tuple[Home, Outcome]) -> None:
    board = line[1].board
    with Tracker(copied).run("tiny", "again", kind="bakeoff") as run:
        tracking.save_leaderboard(run, replace(board, run_id=run.id, seed=99))
    assert tracking.leaderboard(copied, "tiny").seed == 99


def test_a_link_leads_to_the_run(line: tuple[Home, Outcome]) -> None:
    home, outcome = line
    assert f"/runs/{outcome.board.run_id}?" in tracking.run_link(home, outcome.board.run_id)


def test_the_revision_is_what_git_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = tracking.revision()
    assert known
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert tracking.revision.__wrapped__() == "unknown"
    assert tracking.revision() == known  # of the code that runs, not of what is there by now


def test_the_code_has_one_digest() -> None:
    assert tracking.code() == tracking.code()
    assert len(tracking.code()) == 16


def test_git_is_asked_about_the_code_not_about_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tracking.revision.__wrapped__()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    assert tracking.revision.__wrapped__() == before
