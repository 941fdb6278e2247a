"""Experiments from files: the three real ones as published, and what a wrong file is told."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pytest
import yaml
from typer.testing import CliRunner

from experiments import analyses
from experiments.analyses import Analysed, Courses
from experiments.cli import app

ROOT = Path(__file__).parents[2]
NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def real(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEOFF_DATA", str(data_folder))
    return ROOT / "configs" / "analyses"


def test_every_analysis_in_configs_is_tested_here() -> None:
    found = {path.stem for path in (ROOT / "configs" / "analyses").glob("*.yaml")}
    assert found == {"cookie_cats", "hillstrom", "asos"}


@pytest.mark.real_data
def test_cookie_cats_is_as_published(real: Path) -> None:
    found = analyses.run(real / "cookie_cats.yaml", NOW)
    assert isinstance(found, Analysed)
    effect = found.readout.effects[0].effect
    assert (effect.control, effect.treatment) == (pytest.approx(0.1902, abs=5e-5), pytest.approx(0.1820, abs=5e-5))
    assert effect.p_value == pytest.approx(0.0016, abs=5e-5)
    assert found.readout.effects[0].adjusted_p == pytest.approx(3 * effect.p_value)
    assert any("49,854" in warning for warning in found.readout.warnings)
    assert found.decision is not None
    assert found.decision.verdict == "stop"


@pytest.mark.real_data
def test_hillstroms_covariate_saves_about_nothing(real: Path) -> None:
    found = analyses.run(real / "hillstrom.yaml", NOW)
    assert isinstance(found, Analysed)
    assert [arm.units for arm in found.readout.arms] == [21_306, 21_307, 21_387]
    spend = [comparison for comparison in found.readout.effects if comparison.metric.name == "spend"]
    for comparison in spend:
        assert comparison.variance_saved == pytest.approx(0.0, abs=0.005)
        assert comparison.posterior is not None
    # dollars per customer more than without an e-mail, as everyone who analysed it has found
    assert [c.effect.absolute for c in spend] == [pytest.approx(0.77, abs=0.01), pytest.approx(0.42, abs=0.01)]
    visit = [comparison.effect.absolute for comparison in found.readout.effects if comparison.metric.name == "visit"]
    assert visit == [pytest.approx(0.0766, abs=5e-4), pytest.approx(0.0452, abs=5e-4)]
    assert not any(check.alarm for check in found.readout.checks)
    assert {comparison.segment.name for comparison in found.readout.segments if comparison.segment} == {
        "newbie",
        "channel",
        "zip_code",
    }
    assert found.decision is not None
    assert (found.decision.verdict, found.decision.winner) == ("ship", "Mens E-Mail")


@pytest.mark.real_data
def test_asos_is_read_by_its_checkpoints(real: Path) -> None:
    found = analyses.run(real / "asos.yaml", NOW)
    assert isinstance(found, Courses)
    assert len(found.show) == 3
    assert {course.metric for course in found.courses} == set(found.names)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cookie_cats", "gate_40 lowers retention 7 by 4.3%"),
        ("hillstrom", "CUPED saves next to nothing on spend"),
        ("asos", "a test meant to be read once flags 112, the always-valid one"),
    ],
)
def test_the_command_line_prints_them(real: Path, name: str, words: str) -> None:
    result = CliRunner().invoke(app, ["analyse", str(real / f"{name}.yaml")], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert words in " ".join(result.output.split())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A table of ten units and the file that describes it."""
    rows = {
        "who": [f"u{i}" for i in range(10)],
        "group": ["old", "new"] * 5,
        "clicks": list(range(10)),
    }
    csv.write_csv(pa.table(rows), tmp_path / "units.csv")
    return write(tmp_path / "mine.yaml", table=str(tmp_path / "units.csv"))


def write(path: Path, drop: str = "", **changes: Any) -> Path:
    tree: dict[str, Any] = {
        "title": "Mine",
        "unit": "who",
        "variant": "group",
        "control": "old",
        "metrics": {"clicks": {"kind": "mean", "numerator": "clicks", "role": "primary"}},
    }
    tree |= yaml.safe_load(path.read_text()) if path.exists() else {}
    tree |= changes
    tree.pop(drop, None)
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_small_table_is_read_from_a_file(file: Path) -> None:
    found = analyses.run(file, NOW)
    assert isinstance(found, Analysed)
    assert (found.readout.control, [arm.units for arm in found.readout.arms]) == ("old", [5, 5])
    result = CliRunner().invoke(app, ["analyse", str(file), "--json"])
    assert json.loads(result.output)["effects"][0]["effect"]["control"] == 4.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"control": "Old"}, "unknown variant 'Old'; did you mean 'old'"),
        ({"variant": "arm"}, "units lacks the column arm"),
        ({"unit": "id"}, "units lacks the column id"),
        ({"unit": "group"}, "10 rows of 2 different group"),
        ({"drop": "table"}, "table: Field required"),
        ({"metricks": {}}, "metricks: unknown key 'metricks'; did you mean 'metrics'?"),
        ({"metrics": {"clicks": {"kind": "mean", "numerator": "cliks"}}}, "units lacks the column cliks"),
        ({"metrics": {"clicks": {"kind": "maen", "numerator": "clicks"}}}, "kind must be one of mean"),
        ({"analysis": {"corection": "holm"}}, "unknown key 'corection'; did you mean 'correction'"),
        ({"analysis": {"correction": "bonferoni"}}, "analysis.correction: Input should be 'none'"),
        ({"decision": {"alfa": 0.1}}, "unknown key 'alfa'; did you mean 'alpha'"),
        ({"weights": {"old": 0.0, "new": 0.0}}, "weights must have a sum above 0"),
        ({"table": "missing.csv"}, "no Parquet or CSV at missing.csv"),
    ],
)
def test_a_wrong_file_is_told_where_and_why(file: Path, changes: dict[str, Any], words: str) -> None:
    write(file, **changes)
    with pytest.raises((ValueError, LookupError, FileNotFoundError)) as error:
        analyses.run(file, NOW)
    assert words in str(error.value)


def test_a_file_of_summaries_needs_every_column(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    columns = {"experiment": ["e"], "metric": "m", "time": "t", "control": {"units": "n"}, "treatment": {"units": "n"}}
    path.write_text(yaml.safe_dump({"title": "S", "summaries": "s.csv", "columns": columns}))
    with pytest.raises(ValueError, match="control needs the columns of units, mean, variance, got units"):
        analyses.run(path, NOW)
