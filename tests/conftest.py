"""What every test may ask for."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# xdist's workers share the cores; OpenMP threads that wait for each other across them make tiny fits 40 times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hypothesis
import numpy as np
import pytest

# an example may be the first call of a loop that numba compiles; benchmarks watch over time, tests do not
hypothesis.settings.register_profile("bakeoff", deadline=None)
hypothesis.settings.load_profile("bakeoff")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that is the same in every run."""
    return np.random.default_rng(20_240_229)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the public data sets, from BAKEOFF_DATA. Missing: a skip here, a failure in CI."""
    folder = os.environ.get("BAKEOFF_DATA")
    if folder and Path(folder).is_dir():
        return Path(folder)
    missing = f"BAKEOFF_DATA={folder!r} is no folder; set it to the folder that holds ml-latest-small/"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def installed() -> Callable[[str], None]:
    """Asks for an optional package by its import name. Missing: a skip here, a failure in CI, where all extras are."""

    def ask(package: str) -> None:
        if importlib.util.find_spec(package) is not None:
            return
        missing = f"{package} is not installed; pip install 'bakeoff[dev]' brings what the tests need"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)

    return ask


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A Spark on the cores of this machine. Missing: a skip here, a failure in CI."""
    if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None:
        missing = "Spark is not installed: make test SPARK=1, and apt-get install default-jre-headless"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",  # of 200 nearly empty ones a test would take minutes
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    yield session
    session.stop()
