"""Homes that the dashboard finds, written by the real store and the real tracker."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import streamlit as st

from experiments.board import Leaderboard
from experiments.home import Home
from tests.dashboards import worlds


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home that the dashboard finds."""
    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    st.cache_data.clear()
    return Home.at()


@pytest.fixture
def keep(home: Home) -> Callable[..., None]:
    """Write an experiment's definition, and what there is of readout and decision, into the home."""
    return partial(worlds.keep, home)


@pytest.fixture
def publish(home: Home) -> Callable[[Leaderboard], str]:
    """Log a leaderboard as a bake-off's MLflow run, as training does; returns the run's id."""
    return partial(worlds.publish, home)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home after the whole line, tiny: two models, their leaderboard, ten days of traffic, a promotion. Read only."""
    from experiments import loop
    from experiments.config import BakeoffConfig
    from tests.experiments.trees import tree

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        # nothing to search, so no worker process is started
        variants = {"popularity": {"model": "popularity"}, "knn": {"model": "item_knn"}}
        made = Home.at(tmp_path_factory.mktemp("line"))
        loop.run(BakeoffConfig.model_validate(tree(variants=variants)), made, by="tests")
    return made


@pytest.fixture
def finished(line: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of one's own after the line, that the dashboard finds; its artifacts are the line's, to be read only."""
    own = tmp_path / "finished"
    shutil.copytree(line.root, own, ignore=shutil.ignore_patterns("artifacts", "*-wal", "*-shm", "*.db", "*.sqlite"))
    for name in ("mlflow.db", "events.sqlite"):
        with closing(sqlite3.connect(line.root / name)) as old, closing(sqlite3.connect(own / name)) as new:
            old.backup(new)  # a copy of the file would miss what is still in the write-ahead log
    monkeypatch.setenv("BAKEOFF_HOME", str(own))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    st.cache_data.clear()
    st.cache_resource.clear()
    return Home.at()
