"""The world of events that several tests read."""

import pytest

from tests.abtest.analysis.worlds import Events, make_world


@pytest.fixture(scope="session")
def world() -> Events:
    return make_world()
