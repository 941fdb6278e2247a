"""Where plans come from: an experiment of the home, a file; and the command that prints them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from statsmodels.stats.power import NormalIndPower
from typer.testing import CliRunner

from experiments import histories
from experiments.cli import app


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 4,000 units: spending of mean 10 and deviation 4, its past, its seconds."""
    rng, n, folder = np.random.default_rng(2), 4_000, tmp_path_factory.mktemp("plan")
    past = rng.normal(10.0, 3.0, n)
    units = {
        "variant": np.repeat(["a", "b"], n // 2),
        "spent": past + rng.normal(0.0, np.sqrt(7.0), n),
        "past": past,
        "seconds": rng.exponential(5.0, n),
    }
    pq.write_table(pa.table(units), folder / "units.parquet")
    metrics = {
        "spending": {"kind": "mean", "numerator": "spent", "covariate": "past", "role": "primary"},
        "median_seconds": {"kind": "quantile", "quantile": 0.5, "numerator": "seconds"},
    }
    path = folder / "plan.yaml"
    content = {"title": "t", "table": str(folder / "units.parquet"), "control": "a", "metrics": metrics}
    path.write_text(yaml.safe_dump(content))
    return path


def plan(*arguments: Any) -> Any:
    ran = CliRunner().invoke(app, ["plan", *map(str, arguments), "--json"], catch_exceptions=False)
    return {row["metric"]: row for row in json.loads(ran.output)}


def test_a_table_is_enough_to_plan_from(file: Path) -> None:
    rows = plan(file, "--lift", 0.02)
    spending = rows["spending"]
    assert spending["variance_saved"] == pytest.approx(9 / 16, abs=0.03)
    effect_size = 0.02 * spending["value"] / 4.0 / np.sqrt(1 - spending["variance_saved"])
    expected = 2 * NormalIndPower().solve_power(effect_size=effect_size, alpha=0.05, power=0.8)
    assert spending["units"] == pytest.approx(expected, rel=0.05)  # the deviation of a sample of 2,000
    assert spending["days"] is None
    assert rows["median_seconds"]["units"] > 0


def test_what_is_asked_for_costs_units(file: Path) -> None:
    plain = plan(file, "--metric", "spending")["spending"]["units"]
    for more in (["--no-cuped"], ["--shares", "2:1:1"], ["--looks", "any"], ["--cluster", 10, "--intraclass", 0.1]):
        assert plan(file, "--metric", "spending", *more)["spending"]["units"] > 1.05 * plain, more
    spent = [
        plan(file, "--looks", "planned", "--spending", name)["spending"]["units"] for name in ("kim_demets_3", "pocock")
    ]
    assert plain < spent[0] < spent[1]


def test_the_table_says_what_is_planned(file: Path) -> None:
    arguments = ["plan", str(file), "--margin", "0.02", "--lift", "0", "--looks", "planned", "--shares", "80:20"]
    said = " ".join(CliRunner().invoke(app, arguments, catch_exceptions=False).output.split())
    assert "To exclude a loss of 2.0% where the true lift is +0.00% with a power of 80%: arms of 0.8, 0.2" in said
    assert "daily looks (obrien_fleming)" in said
    assert "The history has no times, so days are not known." in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "spendig"], "unknown metric 'spendig'; did you mean 'spending'"),
        (["--looks", "dayly"], "unknown looks 'dayly'"),
        (["--shares", "1"], "shares must be two numbers above 0 or more, as in 50:50 or 2:1:1, got '1'"),
        (["--shares", "1:x"], "got '1:x'"),
        (["--power", "80"], "power must lie strictly between 0 and 1, got 80"),
    ],
)
def test_a_bad_request_says_what_is_wrong(file: Path, arguments: list[str], words: str) -> None:
    with pytest.raises((ValueError, LookupError), match=words):
        CliRunner().invoke(app, ["plan", str(file), *arguments], catch_exceptions=False)


def test_summaries_are_no_history(tmp_path: Path) -> None:
    path = tmp_path / "courses.yaml"
    rows = {"e": ["x"], "m": ["1"], "t": [1.0], "nc": [10.0], "mc": [1.0], "vc": [1.0], "nt": [10.0], "mt": [1.0]}
    pq.write_table(pa.table(rows | {"vt": [1.0]}), tmp_path / "rows.parquet")
    arm = {"units": "n", "mean": "m", "variance": "v"}
    columns = {"experiment": ["e"], "metric": "m", "time": "t"}
    columns |= {name: {key: value + name[0] for key, value in arm.items()} for name in ("control", "treatment")}
    path.write_text(yaml.safe_dump({"title": "t", "summaries": str(tmp_path / "rows.parquet"), "columns": columns}))
    with pytest.raises(ValueError, match="a plan needs a table of units"):
        histories.of_file(path)
