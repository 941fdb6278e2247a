import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from abtest.certificate.lines import Certificate
from bakeoff.records import to_json
from experiments import calibrate, show_certificate
from experiments.cli import app
from experiments.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path)


def text(certificate: Certificate) -> str:
    """Certificates are compared as text: NaN is not NaN."""
    return to_json(Certificate, certificate)


def test_finished_cells_are_not_run_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []
    first = calibrate.calibrate(
        home, runs=20, workers=1, only="ratio", progress=lambda _, d, t, __: steps.append((d, t))
    )
    assert steps[0] == (0, 4)
    assert steps[-1] == (4, 4)
    monkeypatch.setattr(calibrate, "run", lambda *_: pytest.fail("run again"))
    assert text(calibrate.calibrate(home, runs=20, workers=1, only="ratio")) == text(first)


def test_an_interrupted_run_goes_on_where_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = calibrate.run, []

    def until_the_third(cell: calibrate.Cell, runs: int, seed: int) -> calibrate.Line:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(cell.key)
        return real(cell, runs, seed)

    monkeypatch.setattr(calibrate, "run", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        calibrate.calibrate(home, runs=20, workers=1, only="ratio")
    # killed in the middle of a line
    with home.certificate.with_suffix(".jsonl").open("a") as journal:
        journal.write('{"key": "once/ra')
    monkeypatch.setattr(calibrate, "run", lambda cell, runs, seed: calls.append(cell.key) or real(cell, runs, seed))
    assert len(calibrate.calibrate(home, runs=20, workers=1, only="ratio").lines) == 4
    assert len(calls) == len(set(calls)) == 4


def test_other_runs_seed_or_code_start_anew(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    one = calibrate.calibrate(home, runs=20, workers=1, only="cuped", seed=1)
    other = calibrate.calibrate(home, runs=20, workers=1, only="cuped", seed=2)
    assert one.lines[0].type_i != other.lines[0].type_i or one.lines[0].bias != other.lines[0].bias
    assert calibrate.is_current(one)
    monkeypatch.setattr(calibrate, "code_version", lambda: "another")
    assert not calibrate.is_current(one)
    again = calibrate.calibrate(home, runs=20, workers=1, only="cuped", seed=1)
    assert text(replace(again, version=one.version)) == text(one)


def test_two_processes_give_the_lines_of_one(home: Home, tmp_path: Path) -> None:
    two = calibrate.calibrate(home, runs=20, workers=2, only="ratio")
    one = calibrate.calibrate(Home.at(tmp_path / "alone"), runs=20, workers=1, only="ratio")
    assert text(two) == text(one)


def test_only_a_whole_certificate_is_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    few = calibrate.all_cells("holm")
    calibrate.calibrate(home, runs=20, workers=1, only="holm")
    assert calibrate.stored(home) is None
    monkeypatch.setattr(calibrate, "all_cells", lambda only: few)
    whole = calibrate.calibrate(home, runs=20, workers=1)
    kept = calibrate.stored(home)
    assert kept is not None
    assert text(kept) == text(whole)


def test_the_table_shows_every_line_and_what_is_wrong(home: Home) -> None:
    found = calibrate.calibrate(home, runs=30, workers=1, only="ratio")
    told = io.StringIO()
    show_certificate.certificate(Console(file=told, width=200), found)
    assert told.getvalue().count("clicks per slate") >= 4
    assert "±" in told.getvalue()
    assert f"code {found.version}" in told.getvalue()


def test_the_command_prints_json_and_says_whether_all_holds(home: Home) -> None:
    result = CliRunner().invoke(
        app, ["calibrate", "--runs", "30", "--workers", "1", "--only", "hash", "--home", str(home.root), "--json"]
    )
    assert result.exit_code == 0
    assert [line["method"] for line in json.loads(result.stdout)["lines"]] == ["hash of assignment"]


def test_nothing_to_run_is_refused(home: Home) -> None:
    with pytest.raises(ValueError, match="runs and workers must be at least 1, got 0 and 2"):
        calibrate.calibrate(home, runs=0)
