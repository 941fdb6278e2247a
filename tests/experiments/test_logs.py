"""Which log a home's events are in, and which of its exposures count."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from abtest.events.memory import MemoryLog
from abtest.types import Exposure
from experiments import logs
from experiments.home import Home
from experiments.serving_config import LogConfig
from tests.abtest.service.worlds import RANKER

NOW = datetime(2025, 1, 6, tzinfo=UTC)


def test_a_home_is_asked_for_its_own_log_until_a_service_says_otherwise(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    assert logs.kept_in(home) == "sqlite"
    logs.remember(home, LogConfig())
    assert not (home.root / "log.json").exists()
    logs.configured(home, None).close()
    logs.remember(home, LogConfig(kind="postgres", dsn="host=secret"))
    assert "secret" not in (home.root / "log.json").read_text()
    with pytest.raises(ValueError, match="are kept in postgres: give --config FILE, or set BAKEOFF_SERVING"):
        logs.configured(home, None)
    logs.remember(home, LogConfig())
    assert logs.kept_in(home) == "sqlite"


def test_postgres_may_be_away_only_where_it_may_come_later(tmp_path: Path) -> None:
    nobody = LogConfig(kind="postgres", dsn="host=127.0.0.1 port=1 user=x dbname=x")
    home = Home.at(tmp_path)
    with pytest.raises(OSError, match="cannot open"):
        logs.open_log(home, nobody)
    with logs.open_log(home, nobody, now=False) as log, pytest.raises(OSError, match="cannot be read"):
        log.exposures()


def test_what_testers_saw_is_not_counted_whoever_logged_it() -> None:
    with MemoryLog() as log:
        log.append(
            [
                Exposure(id=unit, unit=unit, experiment="ranker", variant="new", at=NOW)
                for unit in ("u1", "ada", "u2", "olga")
            ]
        )
        tested = replace(RANKER, overrides={"ada": "new", "olga": "control"})
        assert logs.counted(log, tested)["unit"].to_pylist() == ["u1", "u2"]
        assert len(logs.counted(log, RANKER)) == 4
