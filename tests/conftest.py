"""What every test may ask for."""

import os
from pathlib import Path

import numpy as np
import pytest


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
