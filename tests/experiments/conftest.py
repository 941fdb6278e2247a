"""Homes and one finished line: the real parts, tiny. What takes seconds is made once and copied where it is changed."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import experiments.environment  # noqa: F401
from experiments import loop
from experiments.bench import Bench, workers
from experiments.config import BakeoffConfig
from experiments.home import Home
from experiments.loop import Outcome
from experiments.package import Package
from experiments.tracking import Tracker
from recsys.data.dataset import Dataset
from recsys.data.sources.loaded import Loaded
from recsys.data.split import Split
from recsys.models.popularity import Popularity
from tests.experiments.trees import tree


@pytest.fixture(autouse=True)
def _nobody_elses_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("BAKEOFF_HOME", raising=False)


@pytest.fixture(scope="session")
def config() -> BakeoffConfig:
    return BakeoffConfig.model_validate(tree())


@pytest.fixture(scope="session")
def loaded(config: BakeoffConfig) -> Loaded:
    return loop.load_data(config)


@pytest.fixture(scope="session")
def split(config: BakeoffConfig, loaded: Loaded) -> Split:
    return loop.cut(config, loaded)


@pytest.fixture(scope="session")
def bench(config: BakeoffConfig, split: Split) -> Bench:
    return Bench.of(config, split)


@pytest.fixture(scope="session")
def pool(bench: Bench) -> Iterator[ProcessPoolExecutor]:
    """One worker process that holds the bench, for all tests: starting one takes seconds."""
    with workers(bench, 1) as pool:
        yield pool


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: its migrations take seconds."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    home = Home.at(tmp_path_factory.mktemp("migrated"))
    Tracker(home).client.search_experiments()
    return home.database


@pytest.fixture
def home(tmp_path: Path, migrated: Path) -> Home:
    """An empty home whose database is ready."""
    return _with_database(Home.at(tmp_path / "home"), migrated)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory, migrated: Path, config: BakeoffConfig) -> tuple[Home, Outcome]:
    """The whole line, once, and the home it wrote. Read it; to write, ask for `copied`."""
    home = _with_database(Home.at(tmp_path_factory.mktemp("line")), migrated)
    return home, loop.run(config, home, by="tests")


@pytest.fixture
def copied(line: tuple[Home, Outcome], tmp_path: Path) -> Home:
    """A home of one's own after the line; its artifacts are still those of the line, to be read only."""
    done, _ = line
    home = _with_database(Home.at(tmp_path / "copied"), done.database)
    for path in (done.experiments, done.studies, done.lake):
        shutil.copytree(path, home.root / path.name)
    shutil.copy(done.promotions, home.promotions)
    with closing(sqlite3.connect(done.events)) as source, closing(sqlite3.connect(home.events)) as target:
        source.backup(target)
    return home


def _with_database(home: Home, source: Path) -> Home:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(home.database)) as new:
        old.backup(new)  # a copy of the file would miss what is still in the write-ahead log
    return home


@pytest.fixture
def written(tmp_path: Path) -> Callable[[dict[str, Any] | str], Path]:
    """Write a configuration file and give its path."""
    import yaml

    def write(content: dict[str, Any] | str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return write


def packed(data: Dataset, model: Any) -> Package:
    """The model, fitted, with popularity for newcomers and ids for titles."""
    return Package(
        model=model.fit(data),
        fallback=Popularity().fit(data),
        users=data.users,
        items=data.items,
        histories=data.interactions,
        titles=data.items.ids,
    )
