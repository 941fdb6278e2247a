"""The doctor finds what was broken on purpose, says how to mend it, and leaves what is well alone."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from experiments import show_doctor
from experiments.doctor import Finding, examine
from experiments.home import Home
from experiments.store import ExperimentStore


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAKEOFF_TOKENS", raising=False)


def looked_at(home: Home, what: str, **more: object) -> Finding:
    found = {finding.what: finding for finding in examine(home, **more)}  # type: ignore[arg-type]
    return found[what]


def test_a_finished_line_is_sound(copied: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_TOKENS", "ada:admin:0123456789abcdef")
    found = examine(copied, model="tiny", port=_free())
    assert {finding.verdict for finding in found} == {"fine"}, found
    said = {finding.what: finding.says for finding in found}
    assert said["champion"] == "version 2 of 'tiny' loads"
    assert "exposures and" in said["event log"]
    assert said["experiments"] == "1 kept, 0 running together"


def test_an_empty_home_is_no_fault(tmp_path: Path) -> None:
    found = examine(Home.at(tmp_path), port=_free())
    assert "broken" not in {finding.verdict for finding in found}
    assert next(finding for finding in found if finding.what == "tracking").cure == "make demo"


@pytest.mark.parametrize(("part", "what"), [("database", "tracking"), ("events", "event log")])
def test_damaged_files_are_found(copied: Home, part: str, what: str) -> None:
    path: Path = getattr(copied, part)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(b"no database")
    finding = looked_at(copied, what)
    assert (finding.verdict, "not a database" in finding.says) == ("broken", True)
    assert "backup" in finding.cure


def test_damaged_experiments_and_plans_that_clash_are_found(copied: Home) -> None:
    store = ExperimentStore(copied)
    old = store.definition("tiny-v2-vs-v1")
    for key in ("one", "two"):
        running = replace(old.experiment, key=key, salt="the same", status="running")
        store.save(replace(old, experiment=running))
    finding = looked_at(copied, "experiments")
    assert (finding.verdict, "with the salt 'the same'" in finding.says) == ("broken", True)
    (copied.experiments / "one" / "definition.json").write_text("{}")
    assert looked_at(copied, "experiment one").verdict == "broken"


def test_a_model_without_champion_and_bad_tokens_are_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(home, "champion", model="nothing").cure == "bakeoff train CONFIG"
    monkeypatch.setenv("BAKEOFF_TOKENS", "ada:king:0123456789abcdef")
    finding = looked_at(home, "tokens")
    assert finding.verdict == "broken"
    assert "0123456789" not in finding.says


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert looked_at(Home.at(tmp_path), "port", port=taken.getsockname()[1]).verdict == "warning"


def test_a_postgres_that_is_away_is_found(tmp_path: Path) -> None:
    config = tmp_path / "serving.yaml"
    config.write_text(f'log: {{kind: postgres, dsn: "host=127.0.0.1 port={_free()} user=x password=secret-word"}}\n')
    finding = looked_at(Home.at(tmp_path / "h"), "event log", config=config)
    assert finding.verdict == "broken"
    assert "secret-word" not in finding.says


def test_the_secret_of_an_address_is_not_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:word@mlflow.example/x")
    assert looked_at(home, "tracking").says == "runs and models are kept at https://mlflow.example/x"


def test_what_is_printed_is_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Finding(what="disk", verdict="fine", says="room [enough]"),
        Finding(what="log", verdict="broken", says="bad", cure="mend it"),
    ]
    show_doctor.findings(Console(width=80), found, False)
    assert capsys.readouterr().out == "✔ disk: room [enough]\n✖ log: bad\n    → mend it\n"
    show_doctor.findings(Console(width=80), found, True)
    assert json.loads(capsys.readouterr().out)[1]["cure"] == "mend it"


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
