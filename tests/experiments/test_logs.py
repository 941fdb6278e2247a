"""Which log a home's events are in, and which of its exposures count."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from abtest.events.memory import MemoryLog
from abtest.types import Exposure
from experiments import logs
from experiments.home import Home
from experiments.serving_config import LogConfig
from tests.abtest.service.worlds import RANKER
from tests.postgres import Server

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


def test_the_pace_is_that_of_the_log_that_the_service_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, hour = Home.at(tmp_path / "home"), timedelta(hours=1)
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    assert logs.pace(home, logs.named(), hour, 2).last is None
    assert not home.events.exists()
    database, path = Server.make(), tmp_path / "serving.yaml"
    path.write_text(f'log: {{kind: postgres, dsn: "{database.dsn}"}}\n')
    monkeypatch.setenv(logs.VARIABLE, str(path))
    try:
        logs.remember(home, LogConfig(kind="postgres"))
        with logs.configured(home, logs.named()) as log:
            log.append([Exposure(id="x", unit="u", experiment="ranker", variant="new", at=NOW)])
        assert logs.pace(home, logs.named(), hour, 2).steps[-1].exposures == 1
        with pytest.raises(ValueError, match="are kept in postgres: give --config FILE, or set BAKEOFF_SERVING"):
            logs.pace(home, None, hour, 2)
    finally:
        database.close()


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
